"""What every chapter and every params file of the book keeps to."""

import ast
import json
import re
import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml

from pipeline.parameters import check_value, declared_parameters, read_parameters, study_parameters

REPOSITORY = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((REPOSITORY / "book").glob("*.ipynb"))
TRACKED = subprocess.run(["git", "ls-files", "params"], cwd=REPOSITORY, capture_output=True, text=True).stdout
PARAMS = sorted(REPOSITORY / name for name in TRACKED.splitlines())  # a reader's own profiles may name his folders
TOC = yaml.safe_load((REPOSITORY / "_toc.yml").read_text())
PAGE_COLUMNS = 84  # characters of code that fit across the built page at 1280 px; a longer line scrolls sideways
MACHINE_PATH = re.compile(r"(?:/(?:home|root|Users|work|mnt|tmp|opt)/|[A-Z]:\\)\S*")

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
each_params = pytest.mark.parametrize("path", PARAMS, ids=lambda path: f"{path.parent.name}/{path.name}")


def test_toc_and_book_agree() -> None:
    listed = [TOC["root"], *(entry["file"] for entry in TOC["chapters"])]
    assert len(listed) == len(set(listed))
    present = {path.stem for path in (REPOSITORY / "book").iterdir() if path.suffix in (".ipynb", ".md")}
    assert set(listed) == present


@each_chapter
def test_opens_with_title_and_parameters(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
    first_code = next(cell for cell in cells if cell.cell_type == "code")
    assert "parameters" in first_code.metadata.get("tags", [])
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1


@each_chapter
def test_parameters_are_typed_literals_with_comments(path: Path) -> None:
    declared = declared_parameters(path)
    assert "run_dir" in declared, "every chapter writes to run_dir"
    for parameter in declared.values():
        assert parameter.comment, f"{parameter.name} has no trailing comment (what it is, its unit)"
        check_value(parameter.default, parameter, path)


@each_chapter
def test_carries_no_outputs(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, "make lint says which; nbstripout takes them out"


@each_chapter
def test_runs_on_the_python3_kernel_and_finishes(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert re.search(rf'Chapter\(\s*"{path.stem}"', "\n".join(code)), "Chapter(...) has the notebook's own name"
    assert re.search(r"^chapter\.finish\(\)$", code[-1], re.MULTILINE), "the last code cell calls chapter.finish()"


@each_chapter
def test_defines_no_class_and_no_long_function(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        source = "\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!")))
        for node in ast.walk(ast.parse(source)):
            assert not isinstance(node, ast.ClassDef), "a class belongs in a module"
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 12, f"{node.name} is long: it belongs in a module"


@each_chapter
def test_code_lines_fit_the_page(path: Path) -> None:
    longer = [
        f"{path.name}, cell {cell.id}, line {number} has {len(line)} characters: {line}"
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code"
        for number, line in enumerate(cell.source.splitlines(), start=1)
        if len(line) > PAGE_COLUMNS
    ]
    assert not longer, "\n".join([f"more than {PAGE_COLUMNS} characters scroll on the page", *longer])


@each_chapter
def test_figures_are_shown_with_their_words(path: Path) -> None:
    """A bare matplotlib figure would leave out what `Described` says of it."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert not re.search(r"\.figure\b|plt\.show\b", cell.source), cell.source
            assert "plt.subplots" not in cell.source or "figures.described(" in cell.source, cell.source


@each_chapter
def test_names_no_machine_path(path: Path) -> None:
    found = MACHINE_PATH.findall("\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells))
    assert not found


@each_params
def test_params_fit_their_chapter(path: Path) -> None:
    assert path.suffix == ".yaml", "params/<profile>/ holds <chapter>.yaml files only"
    chapter = REPOSITORY / "book" / f"{path.stem}.ipynb"
    assert chapter.is_file(), f"no chapter {path.stem}"
    values = read_parameters(path, declared_parameters(chapter), data="data")
    assert values, "an empty params file says nothing: remove it"
    assert not MACHINE_PATH.findall(path.read_text())


def test_the_spread_over_seeds_is_of_the_demo_as_it_is() -> None:
    """Else the first page leaves its column empty."""
    asked = json.loads((REPOSITORY / "benchmarks" / "results" / "demo_seeds.json").read_text())["asked"]
    for chapter, parameters in asked.items():
        declared = declared_parameters(REPOSITORY / "book" / f"{chapter}.ipynb")
        now = {name: one.default for name, one in declared.items()}
        assert study_parameters({"parameters": now}) == parameters
