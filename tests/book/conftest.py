"""A small book made of a tiny chapter and this book's own pages and settings."""

import shutil
from pathlib import Path

import nbformat
import pytest
from tiny_book import write_chapter

from pipeline.build_book import COPIED_FOLDERS, build_book
from pipeline.run_chapter import ChapterRun, run_chapter

REPOSITORY = Path(__file__).resolve().parents[2]

FORMULA = r"""
$$\mathcal{L}_{\text{ICL}} = -\sum_{a,p} M_{ap} \log \sigma(\langle f_a, f_p \rangle) + (1 - M_{ap}) \log
(1 - \sigma(\langle f_a, f_p \rangle)) + \mathbb{E}\left[\frac{\exp x_i / \tau}{\sum_{j} \exp x_j / \tau}\right]$$

The value is {glue:text}`auroc` ({glue:text}`auroc_interval`), by the method of {cite}`fan2024medslip`."""


@pytest.fixture(scope="session")
def tiny_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of one tiny chapter, run but not built: a formula, a wide table, a plot, glued numbers."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "book").mkdir()
    for page in [*(REPOSITORY / "book").glob("*.md"), REPOSITORY / "book" / "references.bib"]:
        shutil.copy(page, root / "book")
    for folder in COPIED_FOLDERS:
        (root / "book" / folder).symlink_to(REPOSITORY / "book" / folder)
    shutil.copy(REPOSITORY / "_config.yml", root)
    toc = ["format: jb-book", "root: index", "chapters:", *(f"  - file: {n}" for n in ("one", "references"))]
    (root / "_toc.yml").write_text("\n".join([*toc, "  - file: statistics"]))
    path = write_chapter(
        root / "book",
        "one",
        'chapter.number("auroc", 0.871, "{:.2f}", interval=(0.81, 0.92), headline="Macro AUROC over 14 findings")',
        "import numpy as np, pandas as pd\n"
        'chapter.table("wide", pd.DataFrame(np.eye(3, 20), columns=[f"finding {i}" for i in range(20)]))',
        "from IPython.display import display\nfrom medslip_core import figures\nfor end in (3, 0):\n"
        "    with figures.page_style() as plt:\n        figure, axis = plt.subplots()\n        axis.plot([1, 2, end])\n"
        '    display(figures.described(figure, f"A line from one to {end}"))',
    )
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source += FORMULA
    nbformat.write(notebook, path)
    run_chapter(ChapterRun("one", "demo", root / "book", root / "params", root / "runs"))
    return root


@pytest.fixture(scope="session")
def tiny_html(tiny_study: Path) -> Path:
    """Its built pages."""
    return build_book("demo", tiny_study)
