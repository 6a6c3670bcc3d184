"""A book of tiny chapters in a temporary folder, for tests of the machinery around the real ones."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = """run_dir: str = "../runs/demo"  # where results go
data_dir: str = "../data/demo"  # where data is
seed: int = 0  # of everything drawn
scale: float = 1.0  # a factor
steps: int = 3  # how often
names: list[str] = ["a"]  # labels"""


def write_chapter(
    book: Path, name: str, *cells: str, after: str = "", first: str = "", parameters: str = PARAMETERS
) -> Path:
    """Write book/name.ipynb: title, parameters, Chapter(...), the given code cells, finish.

    `after` is a chapter whose results it opens; `first` is code that comes before everything else.
    """
    opening = f'from pipeline.chapter import Chapter\nchapter = Chapter("{name}", globals())'
    if after:
        opening += f'\nchapter.input("{after}")'
    notebook = new_notebook(
        cells=[
            new_markdown_cell(f"# {name.capitalize()}\n\nOne claim."),
            new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            *([new_code_cell(first)] if first else []),
            new_code_cell(opening),
            *(new_code_cell(cell) for cell in cells),
            new_code_cell("chapter.finish()"),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    book.mkdir(parents=True, exist_ok=True)
    path = book / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path
