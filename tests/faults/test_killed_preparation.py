"""A preparation that is killed at any moment and run again gives the bytes of an undisturbed one.

A few kills in the tests; a campaign by  MEDSLIP_KILLS=200 python -m pytest -s tests/faults/test_killed_preparation.py
"""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from file_digests import file_digests

REPOSITORY = Path(__file__).parents[2]
KILLS = int(os.environ.get("MEDSLIP_KILLS", 4))
IMAGES = 400
SIZE_PX = 96


@pytest.fixture
def dataset(tmp_path) -> Path:
    """Radiographs enough for a dozen chunks, with boxes, two of them unreadable, in NIH's layout."""
    root = tmp_path / "nih"
    (root / "images").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (256, 256), np.uint8)
    names = [f"{patient:08d}_000.png" for patient in range(IMAGES)]
    for number, name in enumerate(names):
        cv2.imwrite(str(root / "images" / name), np.roll(noise, number))
    for name in names[37], names[333]:
        (root / "images" / name).write_bytes(b"not an image")
    header = "Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position"
    rows = [f"{name},Effusion|Mass,{name[:8]},50,F,PA" for name in names]
    (root / "Data_Entry_2017.csv").write_text("\n".join([header, *rows]) + "\n")
    boxes = [f"{name},Mass,{number},10,100,200" for number, name in enumerate(names[::3])]
    (root / "BBox_List_2017.csv").write_text("\n".join(["Image Index,Finding Label,Bbox [x,y,w,h]", *boxes]) + "\n")
    return root


def start(root: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "data_prep", "prepare", "nih", root, out, "--image-size-px", str(SIZE_PX)]
    return subprocess.Popen([*command, "--processes", "2"], cwd=REPOSITORY, stderr=subprocess.DEVNULL)


def state(out: Path) -> str:
    """Where a kill struck, as far as the folders tell."""
    work = out.with_name(f".{out.name}.partial")
    journal = work / "journal.jsonl"
    if not journal.exists():
        return "after the rename" if out.exists() else "before the first byte"
    if (work / "corpus" / "manifest.parquet").exists():
        return "in the tables"
    return "in the records" if len(journal.read_bytes().splitlines()) > 1 else "before the first chunk"


def run_undisturbed(root: Path, out: Path) -> tuple[float, float]:
    """Prepare once; the seconds until the first byte, before which nothing can be lost, and until the end."""
    began, process, first_s = time.monotonic(), start(root, out), None
    while process.poll() is None:
        if first_s is None and out.with_name(f".{out.name}.partial").exists():
            first_s = time.monotonic() - began
        time.sleep(0.001)
    assert process.returncode == 0 and first_s is not None
    return first_s, time.monotonic() - began


def test_kills_at_random_moments(dataset, tmp_path):
    first_s, all_s = run_undisturbed(dataset, tmp_path / "clean")
    clean = file_digests(tmp_path / "clean")
    random, out, struck = np.random.default_rng(0), tmp_path / "out", Counter()
    while struck.total() < KILLS:
        process = start(dataset, out)
        time.sleep(random.uniform(first_s, all_s))
        process.kill()
        if process.wait() != 0:
            struck[state(out)] += 1
        if out.exists():  # it was faster than the kill, or all but done: then it is whole, and the next begins anew
            assert file_digests(out) == clean
            shutil.rmtree(out)
    assert start(dataset, out).wait() == 0
    assert file_digests(out) == clean
    assert not out.with_name(".out.partial").exists()
    print(f"\n{KILLS} kills, each result byte-identical; struck {dict(struck)}")
