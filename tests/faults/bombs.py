"""Small files that unpack to far more than there is room for, tried one by one in a process of their own.

    python -m tests.faults.bombs FOLDER      prints what each was refused with, the time, and the peak memory so far

Address space is limited, so that a bomb that goes off ends this process and not the machine.
"""

import gzip
import json
import resource
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from .damaged_cases import deflated, nested, png, png_chunk
from .files import dicom, picture, rle_segments

SMALL = np.zeros((64, 64), np.uint8)
ADDRESS_SPACE_BYTES = 6 << 30  # much of it is reserved by libraries and never used; what is used is measured


def _jpeg(width: int, height: int) -> bytes:
    content = picture(SMALL, "JPEG")
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


def _jpeg_2000(width: int, height: int) -> bytes:
    content = picture(SMALL, "JPEG2000", no_jp2=True)
    at = content.index(b"\xff\x51") + 6  # SIZ: width, height, offsets, tile width, tile height
    size = struct.pack(">II", width, height)
    return content[:at] + size + content[at + 8 : at + 16] + size + content[at + 24 :]


def _bmp(width: int, height: int) -> bytes:
    content = picture(SMALL, "BMP")
    return content[:18] + struct.pack("<ii", width, height) + content[26:]


def _gif(width: int, height: int) -> bytes:
    content = picture(SMALL, "GIF")
    return content[:6] + struct.pack("<HH", width, height) + content[10:]


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.write(png(64, 64))
        file.truncate(8 << 30)


def _gzip(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"a,b\n")
        for _ in range(300):
            file.write(b"1,2\n" * (1 << 18))


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("table.csv", "w", force_zip64=True) as file:
            for _ in range(300):
                file.write(b"1,2\n" * (1 << 18))


def _runs(size: int) -> bytes:
    """RLE of zeros, 128 for every two bytes."""
    return rle_segments([b""])[:64] + b"\x81\x00" * (size // 128)


ZEROS = zlib.compress(bytes(64 << 20))
TEXT = png_chunk(b"zTXt", b"Comment\0\0" + ZEROS)
COLOUR = np.zeros((64, 64, 3), np.uint32)

BOMBS: dict[str, tuple[str, bytes | Callable[[Path], None]]] = {
    "PNG of 9000 x 9000": ("a.png", png(9000, 9000, depth=1, data=ZEROS)),
    "PNG of 2^31 x 2^31": ("a.png", png(2**31 - 1, 2**31 - 1, data=ZEROS)),
    "PNG with a text of 64 MB": ("a.png", png(64, 64, data=zlib.compress(bytes(65 * 64)), extra=TEXT)),
    "JPEG of 65500 x 65500": ("a.jpg", _jpeg(65500, 65500)),
    "JPEG 2000 of 60000 x 60000": ("a.jpg", _jpeg_2000(60000, 60000)),
    "BMP of 40000 x 40000": ("a.png", _bmp(40000, 40000)),
    "GIF of 65535 x 65535": ("a.png", _gif(65535, 65535)),
    "file of 8 GB": ("a.png", _sparse),
    "DICOM of 65535 x 65535": ("a.dcm", dicom(SMALL, Rows=65535, Columns=65535)),
    "DICOM of 3 x 32 bits a pixel": ("a.dcm", dicom(COLOUR, Rows=8000, Columns=8000)),
    "DICOM, deflated": ("a.dcm", deflated(64 << 20)),
    "DICOM, deflated, without preamble": ("a.dcm", deflated(64 << 20, preamble=False)),
    "DICOM with a JPEG of 13000 x 13000 in it": ("a.dcm", dicom(SMALL, JPEGBaseline8Bit, _jpeg(13000, 13000))),
    "DICOM with a JPEG 2000 of 13000 x 13000": ("a.dcm", dicom(SMALL, JPEG2000Lossless, _jpeg_2000(13000, 13000))),
    "DICOM with RLE of 1 GB": ("a.dcm", dicom(SMALL, RLELossless, _runs(1 << 30))),
    "DICOM with 5000 sequences in each other": ("a.dcm", nested(5000)),
    "table, gzipped": ("table.csv.gz", _gzip),
    "table, zipped": ("table.csv.zip", _zip),
    "table of a million columns": ("table.csv", b"a," * 1_000_000 + b"a\n"),
    "corpus header of 100,000 lists": ("corpus.json", b"[" * 100_000),
}


def write(name: str, folder: Path) -> Path:
    """Writes a bomb under its file name."""
    file, content = BOMBS[name]
    folder.mkdir(parents=True)
    if callable(content):
        content(folder / file)
    else:
        (folder / file).write_bytes(content)
    return folder / file


def main(folder: Path) -> None:
    """Reads every bomb as what its name says it is; one JSON line each."""
    from data_prep.errors import DataError
    from data_prep.image import read_grey
    from data_prep.tables import read_table
    from medslip_core.corpus import CorpusError, read_header

    paths = {name: write(name, folder / str(number)) for number, name in enumerate(BOMBS)}
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    for name, path in paths.items():
        begin = time.process_time()
        try:
            if "table" in path.name:
                read_table(path, ["a"])
            elif path.name == "corpus.json":
                read_header(path.parent)
            else:
                read_grey(path)
            said = None
        except (DataError, CorpusError) as error:
            said = str(error).replace(str(folder), "")
        print(json.dumps({"bomb": name, "said": said, "s": time.process_time() - begin, "peak_mb": peak_mb()}))


def peak_mb() -> int:
    """Most memory this program has held; `ru_maxrss` also counts what the process held before it became this."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]))
