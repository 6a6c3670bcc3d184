"""Any image file to 8-bit grey levels, air dark and bone bright: the one path for every dataset.

1. The file is recognised by its content. Empty files, Git LFS pointers, and images whose header announces more than
   MAX_PIXELS are refused before decoding; a truncated one is refused, never filled up.
2. DICOM: bits above BitsStored are dropped (with sign), the modality LUT or rescale is applied, then the first VOI LUT
   or window; MONOCHROME1 is inverted; pixel padding becomes black. Several frames are refused.
3. PNG, JPEG and the like: 1-bit becomes 0 and 255, palette and colour become luma, transparency is laid on black, the
   EXIF orientation is applied.
4. 8-bit levels without a window stay as they are. Deeper ones without a window are spread over 0..255 from the image's
   own minimum to its maximum, because their nominal depth often isn't the one used (12-bit data stored as 16-bit).

Source: DICOM PS3.3 C.7.6.3 (image pixel), C.11.1 (modality LUT), C.11.2 (VOI LUT).
"""

import hashlib
import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, ImageFile

from data_prep.errors import UnreadableImage

if TYPE_CHECKING:
    import pydicom

MAX_PIXELS = 64 * 1024 * 1024
"""Largest image that is decoded: several times the largest chest radiograph, far below a decompression bomb."""

DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.8.1")
"""Transfer syntaxes whose whole data set is compressed: its size is not known before it is unpacked."""

LFS_POINTER = b"version https://git-lfs"
AGAIN = "Download the file again."


@dataclass(frozen=True)
class GreyImage:
    """An image, and what a DICOM header says that the study's tables may not."""

    pixels: np.ndarray  # uint8 [H, W], 0 black (air) … 255 white (bone)
    view: str | None = None
    age_years: float | None = None
    sex: str | None = None
    patient_digest: str | None = None  # stands for the patient id, which itself never leaves this file


def read_grey(path: Path) -> GreyImage:
    """Reads an image file as grey levels.

    Args:
        path: a DICOM, PNG or JPEG file, or anything else that Pillow reads.

    Raises:
        UnreadableImage: with path, reason and remedy, whatever is wrong with the file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableImage(path, f"cannot be opened ({error.strerror})", "Check the path and its rights.") from error
    if not content:
        raise UnreadableImage(path, "the file is empty", AGAIN)
    if content.startswith(LFS_POINTER):
        raise UnreadableImage(path, "a Git LFS pointer, not the image itself", "Run `git lfs pull` in its repository.")
    is_dicom = content[128:132] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom")
    decode = _decode_dicom if is_dicom else _decode_picture
    try:
        return decode(content, path)
    except UnreadableImage:
        raise
    except Exception as error:  # decoders raise a dozen types, RecursionError and MemoryError among them
        reason = f"truncated or damaged ({type(error).__name__}: {str(error)[:120]})"
        raise UnreadableImage(path, reason, AGAIN) from error


def _decode_picture(content: bytes, path: Path) -> GreyImage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
        try:
            image = Image.open(io.BytesIO(content))
        except Image.DecompressionBombError as error:
            raise UnreadableImage(path, f"too large ({error})", "Resize it first if it is a radiograph.") from error
    _check_size(image.width, image.height, path)
    if getattr(image, "n_frames", 1) > 1:
        raise UnreadableImage(path, f"holds {image.n_frames} frames", "Save the radiograph as one frame.")
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        reason = "Pillow is set to fill truncated images with grey"
        raise UnreadableImage(path, reason, "Leave PIL.ImageFile.LOAD_TRUNCATED_IMAGES False.")
    image.load()
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    if image.mode.startswith("I") or image.mode == "F":
        pixels = _spread(np.asarray(image))
    else:
        pixels = np.asarray(image if image.mode == "L" else image.convert("L"))
    return GreyImage(np.ascontiguousarray(_upright(pixels, orientation)))


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes an EXIF orientation 1..8."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.T
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _decode_dicom(content: bytes, path: Path) -> GreyImage:
    import pydicom  # only where DICOM is read: it is slow to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on values that break the standard, each time they are read
        has_preamble = content[128:132] == b"DICM"
        if has_preamble and pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID") in DEFLATED:
            raise UnreadableImage(path, "deflated DICOM", "Rewrite it uncompressed, for example with `dcmconv +te`.")
        dataset = pydicom.dcmread(io.BytesIO(content), force=True)
        _check_dicom(dataset, path)
        pixels = _window(dataset, path)
        return GreyImage(
            pixels,
            view=str(dataset.get("ViewPosition", "") or "").strip() or None,
            age_years=parse_age(str(dataset.get("PatientAge", "") or "")),
            sex=sex if (sex := str(dataset.get("PatientSex", "") or "").strip().upper()) in ("M", "F") else None,
            patient_digest=_digest(str(dataset.get("PatientID", "") or "").strip()),
        )


def _check_dicom(dataset: "pydicom.Dataset", path: Path) -> None:
    if "PixelData" not in dataset:
        raise UnreadableImage(path, "DICOM without pixel data", "Leave it out, or download it again.")
    missing = [name for name in ("Rows", "Columns", "BitsAllocated") if dataset.get(name) is None]
    if missing:
        raise UnreadableImage(path, f"DICOM header lacks {', '.join(missing)}", AGAIN)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise UnreadableImage(path, f"holds {frames} frames", "Save the radiograph as one frame.")
    _check_size(int(dataset.Columns), int(dataset.Rows), path)


def _check_size(width_px: int, height_px: int, path: Path) -> None:
    if width_px < 1 or height_px < 1:
        raise UnreadableImage(path, f"its header says {width_px} x {height_px} pixels", AGAIN)
    if width_px * height_px > MAX_PIXELS:
        reason = f"its header says {width_px} x {height_px} pixels, over the limit of {MAX_PIXELS}"
        raise UnreadableImage(path, reason, "Resize it first if it is a radiograph.")


def _window(dataset: "pydicom.Dataset", path: Path) -> np.ndarray:
    """Stored values -> 0..255 as the header asks for: uint8 [H, W]."""
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi

    photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    stored = dataset.pixel_array
    if photometric == "PALETTE COLOR":
        colour = apply_color_lut(stored, dataset)
        return _luma(_spread(colour) if colour.dtype != np.uint8 else colour)
    if stored.ndim == 3:
        return _luma(_spread(stored) if stored.dtype != np.uint8 else stored)
    if not photometric.startswith("MONOCHROME"):
        raise UnreadableImage(path, f"photometric interpretation {photometric!r}", "Save it as MONOCHROME2.")

    unused_bits = stored.dtype.itemsize * 8 - int(dataset.get("BitsStored") or dataset.BitsAllocated)
    if unused_bits > 0:
        stored = (stored << unused_bits) >> unused_bits  # the dtype's sign decides what comes in from the left
    padding = dataset.get("PixelPaddingValue")
    padded = None if padding is None else stored == padding
    values = apply_modality_lut(stored, dataset)
    window = _first_window(dataset)
    if dataset.get("VOILUTSequence"):
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        pixels = _to_uint8(apply_voi(values.astype(np.int64), dataset) / (2**bits - 1))
    elif window is not None:
        pixels = _to_uint8(_through_window(values.astype(np.float32), *window))
    elif values is stored and stored.dtype == np.uint8:
        pixels = stored
    else:
        pixels = _spread(values, ignore=padded)
    if photometric == "MONOCHROME1":
        pixels = 255 - pixels
    if padded is not None:
        pixels = np.where(padded, np.uint8(0), pixels)
    return np.ascontiguousarray(pixels)


def _first_window(dataset: "pydicom.Dataset") -> tuple[float, float, str] | None:
    """Centre, width and function of the header's first usable window."""
    centre, width = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if centre is None or width is None:
        return None
    centre, width = (float(np.ravel(value)[0]) for value in (centre, width))  # one number or several
    function = str(dataset.get("VOILUTFunction", "LINEAR") or "LINEAR")
    smallest = 1 if function == "LINEAR" else 0
    return (centre, width, function) if math.isfinite(centre) and width > smallest else None


def _through_window(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """A VOI window as PS3.3 C.11.2.1.2 and C.11.2.1.3 define it: -> float 0..1."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - centre) / width))
    if function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    return (values - (centre - 0.5)) / (width - 1) + 0.5


def _to_uint8(share: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)


def _spread(values: np.ndarray, ignore: np.ndarray | None = None) -> np.ndarray:
    """Minimum … maximum -> 0..255, leaving out the pixels of `ignore`; a constant image becomes black."""
    values = values.astype(np.float64)
    counted = values if ignore is None or ignore.all() else values[~ignore]
    lowest, highest = counted.min(), counted.max()
    return _to_uint8((values - lowest) / (highest - lowest)) if highest > lowest else np.zeros(values.shape, np.uint8)


def _luma(colour: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] -> grey uint8 [H, W], as Pillow's "L"."""
    return np.asarray(Image.fromarray(colour[..., :3], "RGB").convert("L"))


def parse_age(text: str) -> float | None:
    """Years from "058Y", "58", "018M" (months), "003W", "012D"; None for anything else or beyond 120 years."""
    text = text.strip().upper()
    per_year = {"Y": 1, "M": 12, "W": 52.18, "D": 365.25}.get(text[-1:], None)
    number, per_year = (text[:-1], per_year) if per_year else (text, 1)
    try:
        years = float(number) / per_year
    except ValueError:
        return None
    return round(years, 2) if 0 <= years <= 120 else None


def _digest(patient_id: str) -> str | None:
    return hashlib.sha256(patient_id.encode()).hexdigest()[:16] if patient_id else None
