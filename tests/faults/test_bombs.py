"""Bombs are refused before they go off, in under 1 GB and 5 s.

What each takes is printed by  python -m tests.faults.bombs FOLDER
"""

import json
import subprocess
import sys
from pathlib import Path

from faults.bombs import BOMBS

MOST_MB, MOST_S = 1024, 5


def test_every_bomb_is_refused_in_little_memory_and_time(tmp_path):
    command = [sys.executable, "-m", "tests.faults.bombs", str(tmp_path)]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    answers = {answer["bomb"]: answer for answer in map(json.loads, run.stdout.splitlines())}
    assert answers.keys() == BOMBS.keys()
    for name, answer in answers.items():
        assert answer["said"] and answer["peak_mb"] < MOST_MB and answer["s"] < MOST_S, (name, answer)
