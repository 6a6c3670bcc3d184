"""The chapters, with the test profile, cell by cell under nbval; and a reference notebook compared strictly."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from PIL import Image

from medslip_core.corpus import PreparedCorpus
from pipeline.parameters import declared_parameters, read_parameters

REPOSITORY = Path(__file__).resolve().parents[2]
TOC = yaml.safe_load((REPOSITORY / "_toc.yml").read_text())
CHAPTERS = [e["file"] for e in TOC["chapters"] if (REPOSITORY / "book" / f"{e['file']}.ipynb").is_file()]

pytestmark = pytest.mark.book


def nbval(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-x", *map(str, arguments)]
    environment = {**os.environ, "TQDM_MININTERVAL": "30"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chapters' run folders, from copies with the test profile's parameters, as a reader runs them."""
    folder = tmp_path_factory.mktemp("study")
    book = folder / "book"
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
    done = nbval("--nbval-lax", "--nbval-cell-timeout=1800", f"--rootdir={folder}", *copies)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return folder / "runs" / "test"


def test_chapters_run_in_order(runs: Path) -> None:
    for name in CHAPTERS:
        assert json.loads((runs / name / "results.json").read_text())["finished"] is True


def test_no_image_to_learn_from_is_one_to_judge_by(runs: Path) -> None:
    """A fine-tuned network may be asked about the images of the other chapters."""
    labelled = [PreparedCorpus.open(path).images for path in (runs / "finetuning" / "corpora").iterdir()]
    others = [PreparedCorpus.open(path.parent).images for path in (runs / "corpus").glob("*/corpus.json")]
    seen = [{image.tobytes() for images in some for image in np.asarray(images)} for some in (labelled, others)]
    assert all(seen) and not seen[0] & seen[1]


def test_a_finished_run_is_gathered_into_one_file(runs: Path, tmp_path: Path) -> None:
    for path in [*runs.glob("*/results.json"), runs / "pretraining" / "history.csv"]:
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / path.parent.name)
    gather = REPOSITORY / "benchmarks" / "full_size.py"
    command = [sys.executable, gather, "--run", tmp_path, "--json", tmp_path / "all.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "all.json").read_text())
    printed = json.loads((runs / "zero_shot" / "results.json").read_text())["numbers"]
    headlines = {name: number for name, number in printed.items() if "headline" in number}
    assert headlines and headlines.items() <= content["figures"].items()
    history = pd.DataFrame(content["history"]["data"], columns=content["history"]["columns"])
    assert history["step"].is_monotonic_increasing and history["macro_auroc"].notna().any()
    assert content["parameters"]["phantom"]["studies"]["mimic"] == 160

    results = tmp_path / "zero_shot" / "results.json"
    results.write_text(json.dumps(json.loads(results.read_text()) | {"started": "2020-01-01T00:00:00+00:00"}))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "zero_shot: pretraining was run again since" in done.stderr
    results.unlink()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "the chapter zero_shot has not finished" in done.stderr


def test_reference_notebook_gives_the_same_outputs() -> None:
    done = nbval("--nbval", "--nbval-cell-timeout=120", Path(__file__).with_name("reference.ipynb"))
    assert done.returncode == 0, done.stdout[-6000:]


def test_short_reports_without_a_label_are_enough_to_get_to_pretraining(tmp_path: Path) -> None:
    """What a hospital has that exports images and reports."""
    clinic, book = tmp_path / "clinic", tmp_path / "book"
    clinic.mkdir()
    book.mkdir()
    generator = np.random.default_rng(0)
    for name in range(12):
        Image.fromarray(generator.integers(0, 256, (40, 40), np.uint8)).save(clinic / f"{name}.png")
    told = pd.DataFrame({"path": [f"{name}.png" for name in range(12)], "patient": range(12), "view": "PA"})
    told.assign(report="FINDINGS: Small left effusion. No pneumothorax.").to_csv(clinic / "manifest.csv", index=False)
    values = {"run_dir": "../runs", "data_dir": "..", "image_size_px": 32,
              "datasets": {"pretraining": {"dataset": "manifest", "root": "clinic"}}}  # fmt: skip
    for name, own in {"corpus": values, "reports": {"run_dir": "../runs"}}.items():
        source = load_notebook_node(str(REPOSITORY / "book" / f"{name}.ipynb"))
        nbformat.write(parameterize_notebook(source, own, kernel_name="python3"), book / f"{name}.ipynb")
    done = nbval("--nbval-lax", "--nbval-cell-timeout=600", f"--rootdir={tmp_path}",
                 *(book / f"{name}.ipynb" for name in ("corpus", "reports")))  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]

    told.to_csv(clinic / "manifest.csv", index=False)
    done = nbval("--nbval-lax", "--nbval-cell-timeout=600", f"--rootdir={tmp_path}", book / "corpus.ipynb")
    assert done.returncode == 1 and "no image of pretraining has a report" in done.stdout


def test_grounding_finishes_where_there_is_nothing_to_point_at(runs: Path) -> None:
    """Data sets without boxes or masks are no reason for the chapters after it to wait."""
    bare, book = runs.parent / "bare", runs.parents[1] / "book"
    bare.mkdir()
    for name in ("corpus", "pretraining"):
        (bare / name).symlink_to(runs / name)
    nothing = {"run_dir": "../runs/bare", "boxes": {}, "masks": {}, "anatomy_corpus": ""}
    source = load_notebook_node(str(REPOSITORY / "book" / "grounding.ipynb"))
    nbformat.write(parameterize_notebook(source, nothing, kernel_name="python3"), book / "grounding.ipynb")
    done = nbval("--nbval-lax", "--nbval-cell-timeout=1800", f"--rootdir={book.parent}", book / "grounding.ipynb")
    assert done.returncode == 0, done.stdout[-6000:]
    assert json.loads((bare / "grounding" / "results.json").read_text())["numbers"]["first_asked"]["value"] == "nothing"
