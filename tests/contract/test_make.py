"""make as the pipeline engine: what runs again, and what does not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_book import write_chapter

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A repository with this one's Makefile and packages, and a chain of three tiny chapters."""
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    for package in ("pipeline", "medslip_core", "data_prep"):
        (tmp_path / package).symlink_to(REPOSITORY / package)
    for name, before in (("first", ""), ("second", "first"), ("third", "second")):
        write_chapter(tmp_path / "book", name, "assert scale < 9", after=before)
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nchapters:\n  - file: first\n  - file: second\n  - file: third\n  - file: page\n"
    )
    (tmp_path / "params" / "demo").mkdir(parents=True)
    for name in ("requirements.lock", "pyproject.toml", "environment-is-ready"):
        (tmp_path / name).touch()
    return tmp_path


def make(study: Path, *arguments: str) -> tuple[int, list[str], str]:
    """Run `make run`: exit code, the chapters that were run, the whole output."""
    command = ["make", "run", f"PY={sys.executable}", "ENV=environment-is-ready", *arguments]
    done = subprocess.run(command, cwd=study, capture_output=True, text=True)
    output = done.stdout + done.stderr
    return done.returncode, [line.split()[2][:-1] for line in output.splitlines() if line.endswith(": running")], output


def test_runs_only_what_changed(study: Path) -> None:
    params = study / "params" / "demo" / "second.yaml"
    assert make(study)[:2] == (0, ["first", "second", "third"])
    assert make(study)[:2] == (0, [])

    params.write_text("scale: 2.0\n")
    assert make(study)[:2] == (0, ["second", "third"])

    params.write_text("scale: 9.0\n")
    code, ran, output = make(study)
    assert code != 0 and ran == ["second"]
    assert "chapter second failed at cell 3 (counted from 0): assert scale < 9" in output
    assert (study / "runs/demo/second/second.failed.ipynb").is_file()
    assert (study / "runs/demo/first/results.json").is_file(), "finished chapters stay valid"

    params.unlink()
    assert make(study)[:2] == (0, ["second", "third"])
