"""Bombs are refused before they go off (row 10); how long each takes is printed by `python -m tests.faults.bombs`."""

import json
import subprocess
import sys
from pathlib import Path

from faults.bombs import BOMBS

MOST_MB = 1024


def test_every_bomb_is_refused_in_little_memory(tmp_path):
    command = [sys.executable, "-m", "tests.faults.bombs", str(tmp_path)]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    answers = {answer["bomb"]: answer for answer in map(json.loads, run.stdout.splitlines())}
    assert answers.keys() == BOMBS.keys()
    for name, answer in answers.items():
        assert answer["said"] and answer["peak_mb"] < MOST_MB, (name, answer)
