"""PNG, JPEG and whatever else Pillow reads -> grey levels, upright."""

import io
import math
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from data_prep.errors import UnreadableImage
from data_prep.image.levels import GreyImage, reversed_percentiles, spread, stretch
from data_prep.image.limits import SMALLER, check_size

FORMATS = ("PNG", "JPEG", "JPEG2000", "TIFF", "BMP", "GIF", "WEBP")
"""What Pillow may take a file for. It knows others, and for some of them starts other programs."""

BEGINNING = 9
"""Bytes that are quoted of a file that is no image: enough to know a web page or a PDF by, and little of a report."""

TEXT = {*b"\t\r\n", *range(32, 127)}

PNG_DEPTH = 24
"""Place of a PNG's bits per sample, in bytes."""

PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
"""TIFF's tag of the photometric interpretation, and its value for images that are stored inverted."""


def decode_picture(content: bytes, path: Path, percentiles: tuple[float, float] | None) -> GreyImage:
    """Pixels of a picture as grey levels; `path` is named in errors, `percentiles` as in `read_grey`.

    Raises:
        UnreadableImage: no image but text, too large, several frames, or filled up where it is truncated.
        Exception: whatever Pillow raises where the file is damaged.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise UnreadableImage(path, f"too large ({error})", SMALLER) from error
    except UnidentifiedImageError as error:
        if not all(byte in TEXT for byte in content[:BEGINNING]):
            raise
        begins = " ".join(content[:BEGINNING].decode("ascii").split())
        raise UnreadableImage(
            path, f"begins with '{begins}…' and is no image", "Put the image itself there."
        ) from error
    check_size(image.width, image.height, path)
    if getattr(image, "n_frames", 1) > 1:
        raise UnreadableImage(path, f"holds {image.n_frames} frames", "Save the radiograph as one frame.")
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        reason = "Pillow is set to fill truncated images with grey"
        raise UnreadableImage(path, reason, "Leave PIL.ImageFile.LOAD_TRUNCATED_IMAGES False.")
    image.load()
    if image.format == "PNG" and not np.asarray(image.crop((0, image.height - 1, image.width, image.height))).any():
        _check_png_end(content)
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    of_16_bits = image.format == "PNG" and content[PNG_DEPTH] == 16
    if not of_16_bits and (image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    if of_16_bits:  # of which Pillow keeps eight, where there is colour or transparency
        asked = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = spread(cv2.imdecode(np.frombuffer(content, np.uint8), asked), percentiles=percentiles)
    elif image.mode.startswith("I") or image.mode == "F":
        inverted = image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
        pixels = spread(np.asarray(image), percentiles=reversed_percentiles(percentiles) if inverted else percentiles)
        pixels = 255 - pixels if inverted else pixels  # Pillow does so for 8 bits only
    else:
        pixels = stretch(np.asarray(image if image.mode == "L" else image.convert("L")), percentiles)
    return GreyImage(np.ascontiguousarray(_upright(pixels, orientation)))


def _check_png_end(content: bytes) -> None:
    """Raises ValueError if the compressed stream of a PNG ends before its last row, which Pillow leaves black."""
    width, height, depth, colour, *_, interlaced = struct.unpack_from(">IIBBBBB", content, 16)
    if interlaced:
        return
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    missing = height * (1 + math.ceil(width * depth * samples / 8))
    inflate, position = zlib.decompressobj(), 8
    while position + 8 <= len(content) and missing > 0:
        length, name = struct.unpack_from(">I4s", content, position)
        waiting = content[position + 8 : position + 8 + length] if name == b"IDAT" else b""
        while waiting and not inflate.eof:
            missing -= len(inflate.decompress(waiting, 1 << 20))
            waiting = inflate.unconsumed_tail
        position += 12 + length
    if missing - len(inflate.flush()) > 0:
        raise ValueError("pixels missing at the end")


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes an EXIF orientation 1..8."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.T
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
