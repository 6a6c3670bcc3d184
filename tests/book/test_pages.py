"""Built pages in headless Chromium: they need nothing from outside, report no error, fit the window, describe images.

Looks at every built book in _build/, and at a small one built from a tiny chapter and this book's own pages.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Page, chromium_page, find_chromium, served

REPOSITORY = Path(__file__).resolve().parents[2]
BUILT = sorted((REPOSITORY / "_build").glob("*/html"))

pytestmark = [
    pytest.mark.book,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium_page(find_chromium()) as page:
        yield page


@pytest.fixture(params=["tiny", *(folder.parent.name for folder in BUILT)])
def html(request: pytest.FixtureRequest) -> Path:
    if request.param == "tiny":
        return request.getfixturevalue("tiny_html")
    return REPOSITORY / "_build" / request.param / "html"


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_pages_stand_on_their_own(html: Path, page: Page, scheme: str) -> None:
    faults: list[str] = []
    names = sorted(path.name for path in html.glob("*.html"))
    assert {"index.html", "references.html", "statistics.html"} <= set(names)
    with served(html) as address:
        root = address if scheme == "http" else html.as_uri()
        for name in names:
            page.look(1280)
            seen = page.open(f"{root}/{name}")
            faults += [f"{name}: {problem}" for problem in seen.problems]
            faults += [f"{name}: asks for {url}" for url in seen.requests if not url.startswith((root, "data:"))]
            faults += [f"{name}: {fault}" for fault in _looks(page)]
    assert not faults, "\n".join(faults)


def _looks(page: Page) -> Iterator[str]:
    """What is wrong with the open page as it is seen."""
    for image, alt in page.run("[...document.images].map(i => [i.src, i.alt])"):
        if len(alt.split()) < 3 or alt.endswith((".png", ".svg", ".jpg")):
            yield f"image {image[-40:]} has no written alt text: {alt!r}"
    if page.run("[...document.images].some(i => i.complete && !i.naturalWidth)"):
        yield "an image does not show"
    formulas, typeset = page.run(
        "['.math', '.math mjx-container'].map(s => document.querySelectorAll('.bd-article ' + s).length)"
    )
    if formulas > typeset:
        yield f"{formulas - typeset} formulas are not typeset"
    for width in (1280, 390):
        for dark in (False, True):
            page.look(width, dark=dark)
            theme = page.run("document.documentElement.dataset.theme")
            if theme != ("dark" if dark else "light"):
                yield f"theme is {theme} where the reader prefers dark={dark}"
            wide = page.run("document.scrollingElement.scrollWidth")
            if wide > width:
                yield f"{wide} px wide in a window of {width} px"


def test_a_fault_is_seen(page: Page, tmp_path: Path) -> None:
    """The checks above can fail: a page with one fault of each kind."""
    (tmp_path / "index.html").write_text(
        '<html data-theme="light"><body><img src="missing.png" alt="missing.png"><div style="width: 2000px">x</div>'
        '<article class="bd-article"><span class="math">x</span></article><script>throw new Error("oh")</script>'
    )
    with served(tmp_path) as address:
        page.look(1280)
        seen = page.open(f"{address}/index.html")
        assert any("404" in problem for problem in seen.problems)
        assert any("exception" in problem for problem in seen.problems)
        found = " ".join(_looks(page))
    for fault in ("alt text", "does not show", "not typeset", "theme is light", "2008 px wide"):
        assert fault in found
