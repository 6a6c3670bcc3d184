"""Build the book of a profile from its executed chapters; nothing is executed here, and a warning is an error.

    python -m pipeline.build_book --profile demo

Gathers the executed copies and the pages of book/ in `_build/<profile>/src`, writes the tables that come from the
results files, and lets Jupyter Book make `_build/<profile>/html`.
"""

import argparse
import json
import logging
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import nbformat
import yaml

from pipeline.parameters import study_parameters

logger = logging.getLogger(__name__)

COPIED_FOLDERS = ("_static", "extra", "images")


class BookNotReady(RuntimeError):
    """Chapters are missing or do not belong together; the message says what to run."""


@dataclass(frozen=True)
class FinishedChapter:
    """A chapter as it was run: its executed notebook and its results.json."""

    name: str
    notebook: nbformat.NotebookNode
    results: dict[str, object]

    @property
    def title(self) -> str:
        first = next(cell.source for cell in self.notebook.cells if cell.cell_type == "markdown")
        return first.splitlines()[0].lstrip("# ")


def build_book(profile: str, repository: Path = Path()) -> Path:
    """Build the pages.

    Returns:
        The folder of the built pages.

    Raises:
        BookNotReady: a chapter has not finished, or its executed copy is of another run than its results.
        subprocess.CalledProcessError: Jupyter Book found an error or a warning.
    """
    build = repository / "_build" / profile
    source = build / "src"
    chapters = _finished_chapters(repository, profile)
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(repository / name, source)
    for page in [*(repository / "book").glob("*.md"), *(repository / "book").glob("*.bib")]:
        shutil.copy(page, source)
    for folder in COPIED_FOLDERS:
        shutil.copytree(repository / "book" / folder, source / folder)
    for chapter in chapters:
        nbformat.write(chapter.notebook, source / f"{chapter.name}.ipynb")
    (source / "generated").mkdir()
    (source / "generated" / "glance.md").write_text(glance_table(chapters, profile, repository))
    (source / "generated" / "chapters.md").write_text(chapter_list(chapters))
    (source / "generated" / "statistics.md").write_text(statistics_tables(chapters, profile))

    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command = [jupyter_book, "build", source, "--path-output", build, "-W", "-n", "--keep-going", "-q"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # warnings and errors go to stderr
    html = build / "html"
    shutil.rmtree(html, ignore_errors=True)
    (build / "_build" / "html").rename(html)
    return html


def glance_table(chapters: list[FinishedChapter], profile: str, repository: Path) -> str:
    """Markdown table of the numbers to which chapters gave a headline."""
    trained, seeds = _of_seeds(repository, chapters)
    rows = [
        (
            f"[{number['headline']}]({chapter.name})",
            f"**{number['text']}**",
            number.get("interval_text", ""),
            f"{min(seeds[name]):.3f} to {max(seeds[name]):.3f}" if name in seeds else "",
            number.get("beside", ""),
        )
        for chapter in chapters
        for name, number in chapter.results["numbers"].items()
        if "headline" in number
    ]
    made = f"Profile `{profile}`, {_date(chapters[-1].results['started'])}."
    note = (
        f"{made} Intervals are 95 %, over test patients, for the one model that "
        "was trained here. How much another training seed would change is a question of its own: where the same study "
        "was run with several, apart from this run (`benchmarks/seeds.py`), a column gives the least and the greatest "
        "value. The last column says what to compare a result with, or how to take it: *mean truth* knows where "
        "findings or anatomies usually lie, and looks at no image.\n\n"
    )
    return note + _table(
        ("Result", "Value", "Interval", f"Over training seeds {trained}".strip(), "Compare with"), rows
    )


def _of_seeds(repository: Path, chapters: list[FinishedChapter]) -> tuple[str, dict[str, list[float]]]:
    """The training seeds, and number -> its value for each, if those chapters had the same parameters as these."""
    file = repository / "benchmarks" / "results" / "demo_seeds.json"
    if not file.is_file():
        return "", {}
    told = json.loads(file.read_text())
    here = {chapter.name: study_parameters(chapter.results) for chapter in chapters}
    if any(here.get(name) != asked for name, asked in told["asked"].items()):
        return "", {}
    values = {figure["name"]: figure["values"] for figure in told["figures"]}
    return ", ".join(map(str, told["seeds"])), values


def chapter_list(chapters: list[FinishedChapter]) -> str:
    """Markdown list of the chapters with links."""
    return "".join(f"{i}. [{chapter.title}]({chapter.name})\n" for i, chapter in enumerate(chapters, start=1))


def statistics_tables(chapters: list[FinishedChapter], profile: str) -> str:
    """Markdown tables: time and cells of each chapter, and the environment they share."""
    rows = []
    for chapter in chapters:
        cells = [cell for cell in chapter.notebook.cells if cell.cell_type == "code"]
        slowest = max(cells, key=lambda cell: cell.metadata.papermill["duration"] or 0.0)
        rows.append(
            (
                f"[{chapter.title}]({chapter.name})",
                _duration(chapter.notebook.metadata.papermill["duration"]),
                str(len(cells)),
                _duration(slowest.metadata.papermill["duration"]),
                _date(chapter.results["started"]),
            )
        )
    total = sum(chapter.notebook.metadata.papermill["duration"] for chapter in chapters)
    rows.append(("All", f"**{_duration(total)}**", "", "", ""))
    timing = _table(("Chapter", "Time", "Code cells", "Slowest cell", "Started (UTC)"), rows)

    environment = chapters[-1].results["environment"]
    machine = environment["machine"]
    torch = next((c.results["environment"]["torch"] for c in chapters if c.results["environment"]["torch"]), None)
    facts = [
        ("Profile", f"`{profile}`"),
        ("Seed", ", ".join(sorted({str(chapter.results["seed"]) for chapter in chapters}))),
        ("Revision", _revisions(chapters)),
        ("Lock file (SHA-256)", f"`{(environment['lock_sha256'] or 'none')[:16]}…`"),
        ("Machine", f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"),
        ("Device", f"{torch['device']} × {torch['devices']}, {torch['threads']} threads" if torch else "no torch used"),
        ("Python", environment["python"]),
        *((name, version or "not installed") for name, version in environment["packages"].items()),
    ]
    return f"## Time\n\n{timing}\n\n## What it was made with\n\n{_table(('What', 'Value'), facts)}"


def _finished_chapters(repository: Path, profile: str) -> list[FinishedChapter]:
    toc = yaml.safe_load((repository / "_toc.yml").read_text())
    names = [entry["file"] for entry in toc["chapters"] if (repository / "book" / f"{entry['file']}.ipynb").is_file()]
    chapters = []
    for name in names:
        folder = repository / "runs" / profile / name
        copy, results = folder / f"{name}.ipynb", folder / "results.json"
        if not copy.is_file() or not results.is_file():
            raise BookNotReady(f"chapter {name} has not finished in {folder}: make run PROFILE={profile}")
        chapter = FinishedChapter(name, nbformat.read(copy, as_version=4), json.loads(results.read_text()))
        if chapter.results["run_id"] not in chapter.notebook.cells[-1].outputs[0].text:
            raise BookNotReady(f"{copy} and {results} are of different runs: remove {copy}, then make run")
        chapters.append(chapter)
    if not chapters:
        raise BookNotReady(f"no entry of {repository / '_toc.yml'} is a notebook in book/")
    return chapters


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _revisions(chapters: list[FinishedChapter]) -> str:
    """Of the repository; where chapters were run at several, which at which."""
    ran_at: dict[str, list[str]] = {}
    for chapter in chapters:
        environment = chapter.results["environment"]
        revision = f"`{(environment['git_revision'] or 'not a git checkout')[:12]}`"
        revision += " with local changes" if environment["git_dirty"] else ""
        ran_at.setdefault(revision, []).append(chapter.name)
    if len(ran_at) == 1:
        return next(iter(ran_at))
    return "several: " + "; ".join(f"{revision} ({', '.join(names)})" for revision, names in ran_at.items())


def _duration(seconds: float | None) -> str:
    seconds = seconds or 0.0
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _date(started: object) -> str:
    return datetime.fromisoformat(str(started)).strftime("%Y-%m-%d %H:%M")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="demo", help="folder of runs/ (default: demo)")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        build_book(given.profile)
    except (BookNotReady, subprocess.CalledProcessError) as error:
        logger.error("book of profile %s: FAILED\n%s", given.profile, error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
