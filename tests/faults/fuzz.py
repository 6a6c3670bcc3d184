"""Damaged at random: whatever a file holds, it is read or refused by one error type, and nothing hangs.

    python -m tests.faults.fuzz --count 1000000 [--target dicom] [--first 0] [--processes 8]

A mutant depends on its target and number only, so that a fault it finds can be looked at again: --first N --count 1.
One line of JSON a target; the exit status is 1 if there was a fault. A mutant that takes longer than HANG_S ends its
process with the place where it hung.
"""

import argparse
import faulthandler
import json
import logging
import multiprocessing
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from data_prep import nih, rsna, siim
from data_prep.errors import DataError
from data_prep.image import read_grey
from data_prep.reports import read_report
from medslip_core import corpus
from medslip_core.corpus import CorpusError, PreparedCorpus

from .damaged_cases import COLOUR_NOISE, DEEP_NOISE, NOISE, WHOLE
from .files import dicom, picture

HANG_S = 60
CANARY = "CANARY^NAME"
NAMES = {"PatientName": CANARY, "PatientID": "CANARY-1", "InstitutionName": "CANARY HOSPITAL", "WindowCenter": 100}
SEEDS = {
    "dicom": [
        dicom(NOISE[:8, :8], WindowWidth=200, **NAMES),
        dicom(DEEP_NOISE[:8, :8], BitsStored=12, PixelPaddingValue=3, RescaleSlope=2, RescaleIntercept=-5, **NAMES),
        dicom(COLOUR_NOISE[:8, :8], **NAMES),
        *(content for name, content in WHOLE.items() if name.startswith("DICOM")),
    ],
    "png": [picture(NOISE[:8, :8]), picture(DEEP_NOISE[:8, :8]), picture(COLOUR_NOISE[:8, :8]), WHOLE["PNG.png"]],
    "report": [
        b"FINDINGS: There is no pleural effusion. Left lower lobe consolidation, new since the prior.\n\nIMPRESSION: "
        b"1. Possible right pneumothorax.\n2. Cardiomegaly without edema; the ETT is 3.5 cm above the carina.\n",
        "BEFUND: Größe unauffällig – no acute disease…\r\n".encode(),
    ],
    "csv": [
        b"Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
        b'00000001_000.png,Effusion|Mass,0,1,58,M,PA\n00000002_000.png,"No Finding",0,2,60,F,AP\n',
        b"patientId,x,y,width,height,Target\na,,,,,0\nb,8.0,16.0,4.0,32.0,1\nb,40.0,16.0,20.0,48.0,1\n",
        b"ImageId, EncodedPixels\n1.2.1, -1\n1.2.2,64 3 61 2\n1.2.2,4032 64\n",
    ],
}
ODD = [None, -1, 0, True, 2.5, 1e308, float("nan"), 10**30, "", "x", "../../etc/passwd", "/etc/passwd", [], [1], {}]


def mutate(content: bytes, random: np.random.Generator) -> bytes:
    """A few changes: bits, bytes and numbers overwritten, pieces cut, repeated, moved, or made up."""
    data = bytearray(content)
    for _ in range(int(random.geometric(0.5))):
        if not data:
            break
        at, length = int(random.integers(len(data))), int(random.integers(1, 17))
        piece = bytes(data[at : at + length])
        match int(random.integers(8)):
            case 0:
                data[at] ^= 1 << int(random.integers(8))
            case 1:
                data[at : at + length] = random.bytes(length)
            case 2:
                data[at : at + 4] = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"][int(random.integers(3))]
            case 3:
                del data[at : len(data) if random.random() < 0.2 else at + length]
            case 4:
                data[at:at] = piece * int(random.integers(1, 50))
            case 5:
                other = int(random.integers(len(data)))
                data[other : other + length] = piece
            case 6:
                data[at:at] = random.bytes(length)
            case 7:
                data[at : at + 1] = random.choice(np.frombuffer(b',"\n\r\t\0-;|. 019eN', np.uint8), 1).tobytes()
    return bytes(data)


def _signed(content: bytes) -> bytes:
    """A PNG with the checksums of its chunks made right again, so that damage gets past them."""
    data, position = bytearray(content), 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        data[end : end + 4] = zlib.crc32(data[position + 4 : end]).to_bytes(4, "big")
        position = end + 4
    return bytes(data)


def _read_image(content: bytes, folder: Path, suffix: str) -> None:
    path = folder / f"mutant{suffix}"
    path.write_bytes(content)
    grey = read_grey(path)
    assert grey.pixels.dtype == np.uint8 and grey.pixels.ndim == 2
    assert "CANARY" not in repr(grey), "a name left the header"


def _read_report(content: bytes, folder: Path) -> None:
    text = content.decode("utf-8", "replace")
    assert all(0 <= triplet.start < triplet.end <= len(text) for triplet in read_report(text))


def _read_table(content: bytes, folder: Path) -> None:
    readers = [(b"Image I", "Data_Entry_2017.csv", nih), (b"patient", "stage_2_train_labels.csv", rsna)]
    known = (rest for start, *rest in readers if content.startswith(start))
    name, reader = next(known, ("train-rle.csv", siim))
    root = folder / reader.__name__
    root.mkdir(exist_ok=True)
    for image in ("00000001_000.png", "00000002_000.png", "a.png", "b.png", "1.2.1.png", "1.2.2.png"):
        (root / image).touch()
    (root / name).write_bytes(content)
    for study in reader.read(root):
        assert study.image_path.parent == root
        for mask in study.masks:
            mask.load()


def _open_corpus(content: bytes, folder: Path) -> None:
    (folder / corpus.HEADER).write_bytes(content)
    PreparedCorpus.open(folder)


READ: dict[str, Callable[[bytes, Path], None]] = {
    "dicom": partial(_read_image, suffix=".dcm"),
    "png": partial(_read_image, suffix=".png"),
    "csv": _read_table,
    "report": _read_report,
    "corpus": _open_corpus,
}


def _write_corpus(folder: Path) -> dict:
    """A corpus of one pixel, without what is not needed to open it."""
    (folder / "images.u8").write_bytes(b"\x07")
    (folder / "masks.bits").write_bytes(b"")
    pd.DataFrame({"study_id": ["a"], "split": ["test"]}).to_parquet(folder / "manifest.parquet")
    files = {
        path.name: {"sha256": corpus.block_digests(path), "bytes": path.stat().st_size} for path in folder.iterdir()
    }
    head = {"format": corpus.FORMAT, "version": corpus.VERSION, "vocabulary": corpus.VOCABULARY}
    head |= {"count": 1, "set_aside": 0, "image_size_px": 1}
    return head | {"dataset": "nih", "fit": "pad", "parameters": {"seed": 0}, "files": files}


def _header(header: dict, random: np.random.Generator) -> bytes:
    """A header with odd values at random places, signed; or with random bytes."""
    header = json.loads(json.dumps(header))
    for _ in range(int(random.integers(1, 4))):
        place = header
        while isinstance(place[key := str(random.choice(list(place)))], dict) and place[key] and random.random() < 0.7:
            place = place[key]
        if random.random() < 0.2:
            del place[key]
        elif random.random() < 0.2:
            place[str(random.choice(["../../outside", "/etc/hostname", "more", ".."]))] = place.pop(key)
        else:
            place[key] = ODD[int(random.integers(len(ODD)))]
        if not header:
            break
    header["sha256"] = corpus.header_digest(header)
    signed = json.dumps(header).encode()
    return signed if random.random() < 0.7 else mutate(signed, random)


def fuzz(target: str, first: int, count: int, hang_s: float | None = None) -> dict:
    """Tries mutants `first` … `first + count - 1`; how many were read and refused, and what else happened to which."""
    read, refused, faults = 0, 0, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        header = _write_corpus(folder) if target == "corpus" else {}
        for number in range(first, first + count):
            random = np.random.default_rng([list(READ).index(target), number])
            if target == "corpus":
                content = _header(header, random)
            else:
                content = mutate(SEEDS[target][number % len(SEEDS[target])], random)
                if target == "png" and random.random() < 0.5:
                    content = _signed(content)
            if hang_s:
                faulthandler.dump_traceback_later(hang_s, exit=True)
            try:
                READ[target](content, folder)
                read += 1
            except (DataError, CorpusError) as error:
                refused += 1
                if "CANARY" in str(error):
                    faults.append((number, f"a name left the header: {error}"))
            except Exception as error:  # the very thing that is looked for
                faults.append((number, repr(error)[:200]))
    faulthandler.cancel_dump_traceback_later()
    return {"target": target, "count": count, "read": read, "refused": refused, "faults": faults}


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", choices=READ, action="append", help="default: all")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    failed = False
    for target in given.target or READ:
        begin, share = time.perf_counter(), -(-given.count // given.processes)
        firsts = range(given.first, given.first + given.count, share)
        parts = [(target, first, min(share, given.first + given.count - first), HANG_S) for first in firsts]
        quiet = {"initializer": logging.disable, "initargs": (logging.WARNING,)}
        with multiprocessing.get_context("spawn").Pool(len(parts), **quiet) as pool:
            results = pool.starmap_async(fuzz, parts)
            while not results.ready():
                results.wait(1)
                if any(worker.exitcode for worker in pool._pool):
                    return 1  # a worker hung and has said where; the pool would start it anew for ever
        answers = results.get()
        total = {name: sum((answer[name] for answer in answers), start=[] if name == "faults" else 0)
                 for name in ("count", "read", "refused", "faults")}  # fmt: skip
        print(json.dumps({"target": target, **total, "s": round(time.perf_counter() - begin, 1)}), flush=True)
        failed |= bool(total["faults"])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
