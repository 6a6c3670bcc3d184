"""The chapters, with the test profile, cell by cell under nbval; and a reference notebook compared strictly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from pipeline.parameters import declared_parameters, read_parameters

REPOSITORY = Path(__file__).resolve().parents[2]
TOC = yaml.safe_load((REPOSITORY / "_toc.yml").read_text())
CHAPTERS = [e["file"] for e in TOC["chapters"] if (REPOSITORY / "book" / f"{e['file']}.ipynb").is_file()]

pytestmark = pytest.mark.book


def nbval(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-x", *map(str, arguments)]
    environment = {**os.environ, "TQDM_MININTERVAL": "30"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_chapters_run_in_order(tmp_path: Path) -> None:
    """Copies with the test profile's parameters, in one run folder, as a reader would run them: no papermill."""
    book = tmp_path / "book"
    book.mkdir()
    copies = []
    for name in CHAPTERS:
        source = REPOSITORY / "book" / f"{name}.ipynb"
        declared = declared_parameters(source)
        values = read_parameters(REPOSITORY / "params" / "test" / f"{name}.yaml", declared)
        folders = {"run_dir": "../runs/test", "data_dir": "../data/test"}
        values = {**{key: folder for key, folder in folders.items() if key in declared}, **values}
        copy = parameterize_notebook(load_notebook_node(str(source)), values, kernel_name="python3")
        copies.append(book / f"{name}.ipynb")
        nbformat.write(copy, copies[-1])
    assert copies, "no chapter in _toc.yml"
    done = nbval("--nbval-lax", "--nbval-cell-timeout=300", f"--rootdir={tmp_path}", *copies)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    for name in CHAPTERS:
        assert json.loads((tmp_path / "runs" / "test" / name / "results.json").read_text())["finished"] is True


def test_reference_notebook_gives_the_same_outputs() -> None:
    done = nbval("--nbval", "--nbval-cell-timeout=120", Path(__file__).with_name("reference.ipynb"))
    assert done.returncode == 0, done.stdout[-6000:]
