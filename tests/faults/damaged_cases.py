"""Image files that cannot be trusted: name -> how the file is made, and what the refusal says."""

import io
import struct
import zlib

import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from .files import dicom, picture, rle_segments

NOISE = np.random.default_rng(0).integers(0, 256, (40, 48), np.uint8)
DEEP_NOISE = np.random.default_rng(1).integers(0, 65536, (40, 48)).astype(np.uint16)
COLOUR_NOISE = np.random.default_rng(2).integers(0, 256, (40, 48, 3), np.uint8)

WHOLE = {  # one of each kind, to be cut off
    "PNG.png": picture(NOISE),
    "PNG 16 bit.png": picture(DEEP_NOISE),
    "PNG colour.png": picture(COLOUR_NOISE),
    "JPEG.jpg": picture(NOISE, "JPEG"),
    "JPEG progressive.jpg": picture(NOISE, "JPEG", progressive=True),
    "JPEG 2000.jpg": picture(NOISE, "JPEG2000"),
    "GIF.png": picture(NOISE, "GIF"),
    "BMP.png": picture(NOISE, "BMP"),
    "TIFF.png": picture(NOISE, "TIFF"),
    "WebP.png": picture(NOISE, "WEBP"),
    "DICOM.dcm": dicom(NOISE),
    "DICOM 16 bit.dcm": dicom(DEEP_NOISE),
    "DICOM JPEG.dcm": dicom(NOISE, JPEGBaseline8Bit, picture(NOISE, "JPEG")),
    "DICOM JPEG 2000.dcm": dicom(NOISE, JPEG2000Lossless, picture(NOISE, "JPEG2000", no_jp2=True)),
    "DICOM RLE.dcm": dicom(NOISE, RLELossless, rle_segments([NOISE.tobytes()])),
}
SHARES = (0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 0.97)
TRUNCATED = {f"{share:.0%} of {name}": (name, share) for name in WHOLE for share in SHARES}


def png(width: int, height: int, depth: int = 8, colour: int = 0, data: bytes = b"", extra: bytes = b"") -> bytes:
    """A PNG whose header says what one wants, with any compressed pixel data and further chunks."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def png_chunk(name: bytes, content: bytes) -> bytes:
    """One chunk, its checksum right."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _patched(content: bytes, old: bytes, new: bytes, after: int = 0) -> bytes:
    at = content.index(old, after)
    return content[:at] + new + content[at + len(old) :]


def _frames(kind: str) -> bytes:
    buffer = io.BytesIO()
    first, second = Image.fromarray(NOISE), Image.fromarray(255 - NOISE)
    first.save(buffer, kind, save_all=True, append_images=[second])
    return buffer.getvalue()


def deflated(size: int, preamble: bool = True) -> bytes:
    """A deflated DICOM file of so many zero bytes of pixels."""
    plain = dicom(NOISE[:1, :2], DeflatedExplicitVRLittleEndian, preamble=preamble)
    head = plain[: plain.index(b"1.2.840.10008.1.2.1.99") + 22]
    rest = plain[len(head) :]  # whatever file meta information follows lies before the compressed part
    squeezed = zlib.compressobj(wbits=-15)
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, size)
    bomb = squeezed.compress(pixels) + b"".join(squeezed.compress(bytes(1 << 20)) for _ in range(size >> 20))
    return head + rest + bomb + squeezed.flush()


def nested(depth: int) -> bytes:
    """A DICOM file with sequences in sequences."""
    item = b""
    for _ in range(depth):
        start = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
        item = start + struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
        if len(item) > 1 << 20:
            break
    return _patched(dicom(NOISE), b"\xe0\x7f\x10\x00", item + b"\xe0\x7f\x10\x00")


def _private() -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(dicom(NOISE)))
    del dataset.PixelData
    block = dataset.private_block(0x0019, "SOMEONE'S OWN", create=True)
    block.add_new(0x01, "UN", bytes(range(256)))
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


NAN = picture(np.full((4, 4), np.nan, np.float32), "TIFF")
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(/tmp/canary) (w) file\nshowpage\n"
DAMAGED, PIXELS, ONE_FRAME = "truncated or damaged", "DICOM without pixel data", "holds 2 frames"

REFUSED = {  # name -> (file name, content, said)
    "empty PNG": ("a.png", b"", "the file is empty"),
    "empty JPEG": ("a.jpg", b"", "the file is empty"),
    "empty DICOM": ("a.dcm", b"", "the file is empty"),
    "one byte": ("a.png", b"\x89", DAMAGED),
    "LFS pointer": ("a.dcm", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "LFS pointer"),
    "a web page": ("a.jpg", b"<!DOCTYPE html><title>Log in</title>", "begins with '<!DOCTYPE…' and is no image"),
    "a zip archive": ("a.png", b"PK\x03\x04" + bytes(60), DAMAGED),
    "a PDF": ("a.png", b"%PDF-1.4\n1 0 obj\n", "begins with '%PDF-1.4…' and is no image"),
    "EPS, which Pillow gives to Ghostscript": ("a.png", EPS, "begins with '%!PS.* and is no image"),
    "zero bytes": ("a.png", bytes(4096), DAMAGED),
    "wrong PNG magic": ("a.png", b"\x88" + picture(NOISE)[1:], DAMAGED),
    "wrong JPEG magic": ("a.jpg", b"\xff\xd7" + picture(NOISE, "JPEG")[2:], DAMAGED),
    "wrong DICOM magic": ("a.png", _patched(dicom(NOISE), b"DICM", b"DICN"), DAMAGED),
    "PNG: checksum of the header": ("a.png", _patched(picture(NOISE), b"IHDR\0\0\0\x30", b"IHDR\0\0\0\x31"), DAMAGED),
    "PNG: no width": ("a.png", png(0, 8, data=zlib.compress(bytes(8))), "0 x 8 pixels|" + DAMAGED),
    "PNG: less data than announced": ("a.png", png(64, 64, data=zlib.compress(bytes(65 * 30))), DAMAGED),
    "PNG: pixels that are not compressed": ("a.png", png(8, 8, data=bytes(72)), DAMAGED),
    "PNG: unknown depth": ("a.png", png(8, 8, depth=7, data=zlib.compress(bytes(72))), DAMAGED),
    "PNG: two frames": ("a.png", _frames("PNG"), ONE_FRAME),
    "GIF: two frames": ("a.png", _frames("GIF"), ONE_FRAME),
    "TIFF: two pages": ("a.png", _frames("TIFF"), ONE_FRAME),
    "TIFF: not a number": ("a.png", NAN, DAMAGED),
    "JPEG: 12 bits a sample": ("a.jpg", _patched(picture(NOISE, "JPEG"), b"\0\x0b\x08", b"\0\x0b\x0c"), DAMAGED),
    "JPEG: no scan": ("a.jpg", picture(NOISE, "JPEG").split(b"\xff\xda")[0] + b"\xff\xd9", DAMAGED),
    "DICOM: private tags and no pixels": ("a.dcm", _private(), PIXELS),
    "DICOM: no pixels": ("a.dcm", dicom(NOISE, PixelData=None), PIXELS),
    "DICOM: pixels of no length": ("a.dcm", dicom(NOISE, data=b""), f"{PIXELS}|{DAMAGED}"),
    "DICOM: fewer pixels than announced": ("a.dcm", dicom(NOISE, data=NOISE.tobytes()[:-100]), DAMAGED),
    "DICOM: two frames": ("a.dcm", dicom(NOISE, NumberOfFrames=2, Rows=20), ONE_FRAME),
    "DICOM: no rows": ("a.dcm", dicom(NOISE, Rows=0), "48 x 0 pixels"),
    "DICOM: Rows missing": ("a.dcm", dicom(NOISE, Rows=None), "lacks Rows"),
    "DICOM: Columns missing": ("a.dcm", dicom(NOISE, Columns=None), "lacks Columns"),
    "DICOM: 13 bits allocated": ("a.dcm", dicom(NOISE, BitsAllocated=13), DAMAGED),
    "DICOM: more bits stored than allocated": ("a.dcm", dicom(NOISE, BitsStored=17), DAMAGED),
    "DICOM: unknown photometric interpretation": ("a.dcm", dicom(NOISE, PhotometricInterpretation="HSV"), "'HSV'"),
    "DICOM: palette without tables": ("a.dcm", dicom(NOISE, PhotometricInterpretation="PALETTE COLOR"), DAMAGED),
    "DICOM: deflated": ("a.dcm", deflated(1 << 20), "deflated"),
    "DICOM: JPEG-LS": ("a.dcm", dicom(NOISE, JPEGLSLossless, b"\xff\xd8\xff\xf7" + bytes(60)), "compressed as JPEG-LS"),
    "DICOM: unknown transfer syntax": (
        "a.dcm", _patched(dicom(NOISE), b".10008.1.2.1\0", b".10088.1.2.1\0"), "compressed as unknown"
    ),
    "DICOM: frame that is no JPEG": ("a.dcm", dicom(NOISE, JPEGBaseline8Bit, bytes(100)), DAMAGED),
    "DICOM: frame of another size": (
        "a.dcm", dicom(NOISE, JPEGBaseline8Bit, picture(NOISE[:8, :8], "JPEG")), "48 x 40 pixels, the image in it 8 x 8"
    ),
    "DICOM: sequences in sequences": ("a.dcm", nested(400), DAMAGED),
}  # fmt: skip
