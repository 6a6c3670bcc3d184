"""`benchmarks/gpu.sh` calls commands as they are, with options that they have; none of them can run here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.sh"
STAND_IN = """#!/bin/bash
[ "$1" = -c ] || echo "$*" >> "$CALLS"
"""


def called(folder: Path, *arguments: str) -> list[list[str]]:
    """What the script starts in `folder`, each as a list of arguments."""
    python, calls = folder / "python", folder / "calls"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(python), "CALLS": str(calls)}
    subprocess.run(["bash", str(SCRIPT), *arguments], env=environment, check=True, cwd=folder)
    return [line.split() for line in calls.read_text().splitlines()]


@pytest.mark.parametrize(("part", "commands"), [("step", 2), ("loop", 2), ("kills", 2), ("study", 6)])
def test_every_option_is_one_that_the_command_has(part: str, commands: int, tmp_path: Path) -> None:
    calls = called(tmp_path, part, str(tmp_path / "out"), *["checkout"] * (part == "step"))
    assert len(calls) == commands
    known: dict[str, str] = {}
    for call in calls:
        command = call[: 2 if call[0] == "-m" else 1]
        if " ".join(command) not in known:
            asked = subprocess.run([sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True)
            assert asked.returncode == 0, asked.stderr
            known[" ".join(command)] = asked.stdout
        options = {word for word in call if word.startswith("--")}
        assert options <= set(re.findall(r"--[\w-]+", known[" ".join(command)])), call
        if "campaigns" in call[1]:
            assert call[2] in known[" ".join(command)]


def test_the_published_code_is_measured_at_its_own_batch(tmp_path: Path) -> None:
    for call in called(tmp_path, "step", "out", "checkout"):
        assert call[call.index("--published") + 1] == str(tmp_path / "checkout")
        assert Path(call[call.index("--json") + 1]).parent == tmp_path / "out", "seen from where it was called"
        assert call[call.index("--published-batch") + 1] == "64"


def test_without_a_gpu_it_says_so() -> None:
    environment = {**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(["bash", str(SCRIPT), "step", "nowhere"], env=environment, capture_output=True, text=True)
    assert ended.returncode == 1 and "torch sees no GPU here" in ended.stderr
    assert not (ROOT / "nowhere").exists()


@pytest.mark.parametrize("arguments", [[], ["step"], ["steps", "out"]])
def test_what_it_does_not_know_is_refused_before_anything_else(arguments: list[str]) -> None:
    environment = {**os.environ, "PYTHON": "/nowhere"}
    ended = subprocess.run(["bash", str(SCRIPT), *arguments], env=environment, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr == "usage: bash benchmarks/gpu.sh step|loop|kills|study OUT [CHECKOUT]\n"


def test_the_environment_of_make_serves(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    environment |= {"VENV": sys.prefix, "CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(["bash", str(SCRIPT), "step", "nowhere"], env=environment, capture_output=True, text=True)
    assert "torch sees no GPU here" in ended.stderr
