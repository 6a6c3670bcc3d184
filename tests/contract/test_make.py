"""make as the pipeline engine: what runs again, and what does not. A stand-in for Python plays running a chapter."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CHAPTERS = ("phantom", "corpus", "reports", "pretraining", "zero_shot", "grounding", "finetuning", "comparison")
TRAINED = ["pretraining", "zero_shot", "grounding", "finetuning", "comparison"]

STAND_IN = f"""#!/bin/sh
# called as: -m pipeline.asked --profile PROFILE [--data DATA]; plays -m pipeline.run_chapter NAME --profile PROFILE
[ "$2" = pipeline.asked ] && PYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -P "$@"
echo "$3"
grep -qs fail params/$5/$3.yaml && exit 1
echo done > runs/$5/$3/$3.ipynb
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository's Makefile and chapters, a table of contents, and empty code files, a minute old, and a run."""
    folder = tmp_path_factory.mktemp("study")
    shutil.copy(REPOSITORY / "Makefile", folder)
    code = ("data_prep/phantom/render.py", "data_prep/nih.py", "data_prep/image/read.py", "data_prep/words.toml")
    core = (
        f"medslip_core/{name}.py"
        for name in (
            "vocabulary",
            "corpus",
            "model",
            "naming",
            "report_sections",
            "figures",
            "image_figures",
        )
    )
    pipeline = (f"pipeline/{name}.py" for name in ("chapter", "parameters", "run_chapter", "build_book"))
    others = ("requirements.lock", "pyproject.toml", "book/references.md", "installed")
    for name in (*code, *core, *pipeline, *others):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in CHAPTERS:
        shutil.copyfile(REPOSITORY / "book" / f"{name}.ipynb", folder / "book" / f"{name}.ipynb")
    for path in folder.rglob("*.*"):
        os.utime(path, (time.time() - 60, time.time() - 60))
    os.utime(folder / "installed", (time.time() - 60, time.time() - 60))
    toc = "".join(f"  - file: {name}\n" for name in (*CHAPTERS, "references"))
    (folder / "_toc.yml").write_text(f"format: jb-book\nroot: index\nchapters:\n{toc}")
    (folder / "params" / "demo").mkdir(parents=True)
    (folder / "python").write_text(STAND_IN)
    (folder / "python").chmod(0o755)
    assert make(folder) == list(CHAPTERS), "in order"
    return folder


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, as old as it."""
    return shutil.copytree(finished, tmp_path / "study")


def make(study: Path, *arguments: str) -> list[str]:
    """Run `make run` and return the chapters that ran, with "failed" last if make failed."""
    command = ["make", "run", "PY=./python", "ENV=installed", *arguments]
    done = subprocess.run(command, cwd=study, capture_output=True, text=True)
    ran = [line for line in done.stdout.splitlines() if line in CHAPTERS]
    return [*ran, "failed"] if done.returncode else ran


def test_runs_only_once(study: Path) -> None:
    assert make(study) == []


def test_changed_parameters_run_that_chapter_and_those_that_take_its_results(study: Path) -> None:
    params = study / "params" / "demo" / "pretraining.yaml"
    params.write_text("seed: 7\n")
    assert make(study) == TRAINED
    params.write_text("# a comment\nseed: 7\n")
    assert make(study) == [], "the same parameters, only saved again"
    params.unlink()
    assert make(study) == TRAINED


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("book/zero_shot.ipynb", ["zero_shot", "comparison"]),
        ("book/reports.ipynb", ["reports"]),
        ("book/comparison.ipynb", ["comparison"]),
        ("medslip_core/model.py", TRAINED),
        ("medslip_core/naming.py", list(CHAPTERS)),
        ("medslip_core/figures.py", list(CHAPTERS)),
        ("medslip_core/vocabulary.py", list(CHAPTERS)),
        ("medslip_core/corpus.py", list(CHAPTERS)),
        ("data_prep/phantom/render.py", list(CHAPTERS)),
        ("data_prep/nih.py", list(CHAPTERS)),
        ("data_prep/image/read.py", list(CHAPTERS)),
        ("data_prep/words.toml", ["corpus", "reports", *TRAINED]),
        ("requirements.lock", list(CHAPTERS)),
        ("installed", []),
        ("book/references.md", []),
    ],
)
def test_changed_file(study: Path, path: str, expected: list[str]) -> None:
    for changed in (path, "installed"):  # apart from the run, however coarse the clock
        os.utime(study / changed, (time.time() + 5, time.time() + 5))
    assert make(study) == expected


def test_failure_stops_the_run_and_leaves_finished_chapters(study: Path) -> None:
    params = study / "params" / "demo" / "pretraining.yaml"
    params.write_text("seed: 7  # fail\n")
    assert make(study) == ["pretraining", "failed"]
    params.write_text("seed: 8\n")
    assert make(study) == TRAINED


@pytest.fixture
def elsewhere(study: Path) -> Path:
    """A study with profile `own`, whose corpora lie below DATA."""
    (study / "params" / "own").mkdir()
    (study / "params" / "own" / "corpus.yaml").write_text("data_dir: ${DATA}\n")
    for name in ("here", "there"):
        (study / name).mkdir()
    return study


def test_profiles_and_data_are_told_apart(elsewhere: Path) -> None:
    assert make(elsewhere, "PROFILE=own", "DATA=here") == list(CHAPTERS)
    assert make(elsewhere, "PROFILE=own", f"DATA={elsewhere}/here/") == [], "the same folder in other words"
    assert make(elsewhere, "PROFILE=own", "DATA=there") == ["corpus", "reports", *TRAINED], "the phantom is elsewhere"
    assert make(elsewhere) == []
    assert make(elsewhere, "DATA=here") == [], "the demo reads nothing there"


@pytest.mark.parametrize("arguments", [["PROFILE=own"], ["PROFILE=own", "DATA=missing"], ["PROFILE=onw", "DATA=here"]])
def test_what_is_refused_leaves_all_as_it_was(elsewhere: Path, arguments: list[str]) -> None:
    make(elsewhere, "PROFILE=own", "DATA=here")
    assert make(elsewhere, *arguments) == ["failed"]
    assert not (elsewhere / "runs" / "onw").exists()
    assert make(elsewhere, "PROFILE=own", "DATA=here") == []


def test_a_mistake_in_a_later_chapter_s_options_stops_the_first(elsewhere: Path) -> None:
    (elsewhere / "params" / "own" / "comparison.yaml").write_text("variants: {all: {}, mine: {icl_wieght: 0}}\n")
    assert make(elsewhere, "PROFILE=own", "DATA=here") == ["failed"]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_s_inputs_are_those_whose_results_it_asks_for(chapter: str) -> None:
    source = (REPOSITORY / "book" / f"{chapter}.ipynb").read_text()
    asked = set(re.findall(r'chapter\.(?:input|parameters_of)\(\\"(\w+)\\"\)', source))
    named = re.findall(rf"^INPUTS_{chapter} *:= (.*)$", (REPOSITORY / "Makefile").read_text(), flags=re.M)
    assert asked == set(named[0].split() if named else []) - {"phantom"}  # whose datasets the corpus reads


def test_clean_takes_one_profile_or_nothing(study: Path) -> None:
    refused = subprocess.run(["make", "-n", "clean", "PROFILE="], cwd=study, capture_output=True, text=True)
    assert refused.returncode and "rm" not in refused.stdout
