"""make as the pipeline engine: what runs again, and what does not. A stand-in for Python plays the chapters."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CHAPTERS = ("phantom", "corpus", "pretraining", "zero_shot")

STAND_IN = """#!/bin/sh
# called as: -m pipeline.run_chapter NAME --profile PROFILE [--data DATA]
echo "$3"
grep -qs fail params/$5/$3.yaml && exit 1
echo done > runs/$5/$3/$3.ipynb
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """This repository's Makefile and table of contents, empty chapters and code files, all a minute old."""
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    code = ("data_prep/phantom/render.py", "data_prep/nih.py", "data_prep/image/read.py", "data_prep/words.toml")
    core = (f"medslip_core/{name}.py" for name in ("vocabulary", "corpus", "model"))
    pipeline = (f"pipeline/{name}.py" for name in ("chapter", "parameters", "run_chapter", "build_book"))
    chapters = (f"book/{name}.ipynb" for name in CHAPTERS)
    others = ("requirements.lock", "pyproject.toml", "book/references.md", "installed")
    for name in (*code, *core, *pipeline, *chapters, *others):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (time.time() - 60, time.time() - 60))
    toc = "".join(f"  - file: {name}\n" for name in (*CHAPTERS, "references"))
    (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: index\nchapters:\n{toc}")
    (tmp_path / "params" / "demo").mkdir(parents=True)
    (tmp_path / "python").write_text(STAND_IN)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def make(study: Path, *arguments: str) -> list[str]:
    """Run `make run` and return the chapters that ran, with "failed" last if make failed."""
    command = ["make", "run", "PY=./python", "ENV=installed", *arguments]
    done = subprocess.run(command, cwd=study, capture_output=True, text=True)
    ran = [line for line in done.stdout.splitlines() if line in CHAPTERS]
    return [*ran, "failed"] if done.returncode else ran


def test_runs_in_order_and_only_once(study: Path) -> None:
    assert make(study) == list(CHAPTERS)
    assert make(study) == []


def test_changed_parameters_run_that_chapter_and_those_after(study: Path) -> None:
    make(study)
    params = study / "params" / "demo" / "pretraining.yaml"
    params.write_text("steps: 7\n")
    assert make(study) == ["pretraining", "zero_shot"]
    params.touch()
    assert make(study) == [], "the same parameters, only saved again"
    params.unlink()
    assert make(study) == ["pretraining", "zero_shot"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("book/zero_shot.ipynb", ["zero_shot"]),
        ("medslip_core/model.py", ["pretraining", "zero_shot"]),
        ("medslip_core/vocabulary.py", list(CHAPTERS)),
        ("medslip_core/corpus.py", list(CHAPTERS)),
        ("data_prep/phantom/render.py", list(CHAPTERS)),
        ("data_prep/nih.py", list(CHAPTERS)),
        ("data_prep/image/read.py", list(CHAPTERS)),
        ("data_prep/words.toml", ["corpus", "pretraining", "zero_shot"]),
        ("book/references.md", []),
    ],
)
def test_changed_file(study: Path, path: str, expected: list[str]) -> None:
    make(study)
    os.utime(study / path, (time.time() + 5, time.time() + 5))  # apart from the run, however coarse the clock
    assert make(study) == expected


def test_failure_stops_the_run_and_leaves_finished_chapters(study: Path) -> None:
    params = study / "params" / "demo" / "pretraining.yaml"
    params.write_text("fail: true\n")
    assert make(study) == ["phantom", "corpus", "pretraining", "failed"]
    params.write_text("steps: 7\n")
    assert make(study) == ["pretraining", "zero_shot"]


def test_profiles_and_data_are_told_apart(study: Path) -> None:
    make(study)
    assert make(study, "PROFILE=covid-smoke", "DATA=here") == list(CHAPTERS)
    assert make(study, "PROFILE=covid-smoke", "DATA=here") == []
    assert make(study, "PROFILE=covid-smoke", "DATA=there") == list(CHAPTERS)
    assert make(study) == []
