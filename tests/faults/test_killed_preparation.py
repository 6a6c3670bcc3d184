"""A preparation that is killed leaves no corpus, and run again it gives the bytes of an undisturbed one."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_prep.corpus import prepare

REPOSITORY = Path(__file__).parents[2]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("delay_s", [0.0, 0.01])
def test_killed_while_writing(mimic_layout, tmp_path, delay_s):
    clean = digests(prepare("mimic", mimic_layout, tmp_path / "clean", 512))
    out, partial = tmp_path / "out", tmp_path / ".out.partial"
    command = [sys.executable, "-m", "data_prep", "prepare", "mimic", str(mimic_layout), str(out)]
    process = subprocess.Popen([*command, "--image-size-px", "512"], cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    while not partial.exists() and process.poll() is None:
        time.sleep(0.001)
    time.sleep(delay_s)
    process.kill()
    process.wait()
    if out.exists():  # it was faster than the kill: then it is whole
        assert digests(out) == clean
    assert digests(prepare("mimic", mimic_layout, out, 512)) == clean
    assert not partial.exists()
