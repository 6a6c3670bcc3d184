"""A corpus that is not what was written is found out when opened: by its files' sizes, and by their checksums.

A few flips in the tests; a campaign by  MEDSLIP_FLIPS=10000 python -m pytest -s tests/faults/test_damaged_corpus.py
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_prep.corpus import prepare
from medslip_core.corpus import HEADER, CorpusError, PreparedCorpus, header_digest, read_header

FLIPS = int(os.environ.get("MEDSLIP_FLIPS", 200))


@pytest.fixture
def folder(covid_layout, tmp_path, monkeypatch) -> Path:
    """A corpus with masks and reports whose larger files have many blocks."""
    monkeypatch.setattr("medslip_core.corpus.BLOCK_BYTES", 1000)
    return prepare("covid", covid_layout, tmp_path / "corpus", image_size_px=64)


def test_every_flipped_bit_is_found(folder):
    random = np.random.default_rng(0)
    files = [path for path in sorted(folder.iterdir()) if path.stat().st_size]
    found = 0
    for number in range(FLIPS):
        path = files[number % len(files)]
        with path.open("r+b") as file:
            place, bit = int(random.integers(path.stat().st_size)), 1 << int(random.integers(8))
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ bit]))
            file.flush()
            with pytest.raises(CorpusError, match=f"{path.name}: "):
                PreparedCorpus.open(folder)
            found += 1
            file.seek(place)
            file.write(bytes([byte]))
    PreparedCorpus.open(folder)
    print(f"\n{found} of {FLIPS} flips found, in {len(files)} files")


CHANGES = {
    "gone": None,
    "empty": lambda content: b"",
    "one byte less": lambda content: content[:-1],
    "one byte more": lambda content: content + b"\0",
    "half": lambda content: content[: len(content) // 2],
}


@pytest.mark.parametrize("name", ["images.u8", "masks.bits", "manifest.parquet", "boxes.parquet", "set_aside.csv"])
@pytest.mark.parametrize("change", CHANGES)
def test_every_wrong_size_is_found_when_opening(folder, name, change):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if CHANGES[change] is not None:
        path.write_bytes(CHANGES[change](content))
    for verify in (True, False):  # sizes are always compared: a map of a file too short would kill the process
        with pytest.raises(CorpusError, match=f"{name}: (missing|.* bytes long), should have {len(content)} bytes"):
            PreparedCorpus.open(folder, verify=verify)


def test_a_header_that_agrees_with_a_file_of_the_wrong_length_is_found(folder):
    """Another writer's mistake: digests and sizes right, but not for as many images as it says."""
    header = read_header(folder)
    header["count"] -= 1
    header["sha256"] = header_digest(header)
    (folder / HEADER).write_text(json.dumps(header))
    with pytest.raises(CorpusError, match="images.u8: not .* bytes, as count and size ask for"):
        PreparedCorpus.open(folder)


def test_the_place_of_the_damage_is_named(folder):
    path = folder / "images.u8"
    content = bytearray(path.read_bytes())
    content[2500] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorpusError, match="images.u8: damaged .* between bytes 2000 and 3000.*Prepare"):
        PreparedCorpus.open(folder)
    shutil.copy(folder / "manifest.parquet", folder / "unknown.parquet")  # a file more harms nothing
    assert len(PreparedCorpus.open(folder, verify=False)) == 3
