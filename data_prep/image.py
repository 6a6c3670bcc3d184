"""Any image file to 8-bit grey levels, air dark and bone bright: the one path for every dataset.

1. The file is recognised by its content. Empty files, Git LFS pointers, files above MAX_BYTES, and images whose header
   announces more than MAX_PIXELS are refused before decoding; a truncated one is refused, never filled up.
2. DICOM: bits outside BitsStored are dropped (with sign), the modality LUT or rescale is applied, then the first VOI
   LUT or window; MONOCHROME1 is inverted; pixel padding becomes black. Several frames are refused.
3. PNG, JPEG and the like: 1-bit becomes 0 and 255, palette and colour become luma, transparency is laid on black, the
   EXIF orientation is applied.
4. 8-bit levels without a window stay as they are. Deeper ones without a window are spread over 0..255 from the image's
   own minimum to its maximum, because their nominal depth often isn't the one used (12-bit data stored as 16-bit).
5. Only if asked for: what lies between two percentiles of the levels, padding left out, is spread over 0..255 and the
   rest is cut off; after a window, and in place of step 4.

Source: DICOM PS3.3 C.7.6.3 (image pixel), C.11.1 (modality LUT), C.11.2 (VOI LUT).
"""

import hashlib
import io
import math
import re
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageFile

from data_prep.age import parse_age
from data_prep.errors import UnreadableImage

if TYPE_CHECKING:
    import pydicom

MAX_PIXELS = 64 * 1024 * 1024
"""Largest image that is decoded: several times the largest chest radiograph, far below a decompression bomb."""

MAX_BYTES = 4 * MAX_PIXELS
"""Largest file that is opened, and largest image in stored bytes: MAX_PIXELS of 32 bits."""

FORMATS = ("PNG", "JPEG", "JPEG2000", "TIFF", "BMP", "GIF", "WEBP")
"""What Pillow may take a file for. It knows others, and for some of them starts other programs."""

DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.8.1")
"""Transfer syntaxes whose whole data set is compressed: its size is not known before it is unpacked."""

PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
"""TIFF's tag of the photometric interpretation, and its value for images that are stored inverted."""

RLE_LOSSLESS = "1.2.840.10008.1.2.5"
COMPRESSED = (RLE_LOSSLESS, "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
"""Transfer syntaxes whose frame has a size of its own: RLE, JPEG baseline, JPEG 2000 lossless and not."""

LFS_POINTER = b"version https://git-lfs"
AGAIN = "Download the file again."
SMALLER = "Resize it first if it is a radiograph."

VIEWS = frozenset(
    "AP PA LL RL LLD RLD LLO RLO LPO RPO LAO RAO LAT LATERAL AXIAL LORDOTIC OBLIQUE SUPINE XTABLE SWIMMERS".split()
)
"""Words that a DICOM ViewPosition may consist of; other text, which may be anything, does not leave this file."""


@dataclass(frozen=True)
class GreyImage:
    """An image, and what a DICOM header says that the study's tables may not."""

    pixels: np.ndarray  # uint8 [H, W], 0 black (air) … 255 white (bone)
    view: str | None = None
    age_years: float | None = None
    sex: str | None = None
    patient_digest: str | None = None  # of the patient id, which can be found from it by trying: only while preparing


def read_grey(path: Path, percentiles: tuple[float, float] | None = None) -> GreyImage:
    """Reads an image file as grey levels.

    Args:
        path: a DICOM, PNG or JPEG file, or anything else that Pillow reads.
        percentiles: of the levels, from dark to bright, that become 0 and 255 (step 5); None leaves that step out.

    Raises:
        UnreadableImage: with path, reason and remedy, whatever is wrong with the file.
    """
    try:
        if not path.is_file() and path.exists():
            raise UnreadableImage(path, "is a folder or a device, not a file", "Put the image itself there.")
        if path.stat().st_size > MAX_BYTES:
            raise UnreadableImage(path, f"{path.stat().st_size} bytes long, over the limit of {MAX_BYTES}", SMALLER)
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn of each value that breaks a standard, quoting it
            return decode(content, path, percentiles)
    except UnreadableImage:
        raise
    except Exception as error:  # decoders raise a dozen types, RecursionError and MemoryError among them
        # A DICOM error may quote the header, names in it; another may name an object's address, new in each run.
        said = "" if is_dicom else f": {re.sub(' <.* at 0x.*>', '', str(error))[:120]}"
        raise UnreadableImage(path, f"truncated or damaged ({type(error).__name__}{said})", AGAIN) from error


@dataclass(frozen=True)
class DicomHeader:
    """What can be known of a DICOM file without decoding it."""

    width_px: int
    height_px: int
    view: str | None


def read_header(path: Path) -> DicomHeader:
    """Reads size and view of a DICOM file; its pixels are not touched.

    Raises:
        UnreadableImage: with path, reason and remedy.
    """
    import pydicom

    tags = ["Rows", "Columns", "ViewPosition"]
    try:
        with warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")
            _transfer_syntax(stream, path)
            stream.seek(0)
            dataset = pydicom.dcmread(stream, specific_tags=tags, stop_before_pixels=True, force=True)
        if dataset.get("Rows") is None or dataset.get("Columns") is None:
            raise UnreadableImage(path, "DICOM header lacks Rows or Columns", AGAIN)
        return DicomHeader(int(dataset.Columns), int(dataset.Rows), _view(dataset))
    except UnreadableImage:
        raise
    except Exception as error:
        raise UnreadableImage(path, f"truncated or damaged ({type(error).__name__})", AGAIN) from error


def _decode_picture(content: bytes, path: Path, percentiles: tuple[float, float] | None) -> GreyImage:
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise UnreadableImage(path, f"too large ({error})", SMALLER) from error
    _check_size(image.width, image.height, path)
    if getattr(image, "n_frames", 1) > 1:
        raise UnreadableImage(path, f"holds {image.n_frames} frames", "Save the radiograph as one frame.")
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        reason = "Pillow is set to fill truncated images with grey"
        raise UnreadableImage(path, reason, "Leave PIL.ImageFile.LOAD_TRUNCATED_IMAGES False.")
    image.load()
    if image.format == "PNG" and not np.asarray(image.crop((0, image.height - 1, image.width, image.height))).any():
        _check_png_end(content)
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    if image.mode.startswith("I") or image.mode == "F":
        inverted = image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
        pixels = _spread(np.asarray(image), percentiles=_reversed(percentiles) if inverted else percentiles)
        pixels = 255 - pixels if inverted else pixels  # Pillow does so for 8 bits only
    else:
        pixels = _stretch(np.asarray(image if image.mode == "L" else image.convert("L")), percentiles)
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


def _decode_dicom(content: bytes, path: Path, percentiles: tuple[float, float] | None) -> GreyImage:
    import pydicom  # only where DICOM is read: it is slow to import

    syntax = _transfer_syntax(io.BytesIO(content), path)
    dataset = pydicom.dcmread(io.BytesIO(content), force=True)
    if syntax is None:  # no file meta information, as in old files; pydicom has found out how the rest is coded
        implicit, little = dataset.original_encoding
        plain = pydicom.uid.ExplicitVRLittleEndian if little else pydicom.uid.ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian if implicit else plain
    _check_dicom(dataset, path)
    pixels = _window(dataset, path, percentiles)
    return GreyImage(
        pixels,
        view=_view(dataset),
        age_years=parse_age(str(dataset.get("PatientAge", "") or "")),
        sex=sex if (sex := str(dataset.get("PatientSex", "") or "").strip().upper()) in ("M", "F") else None,
        patient_digest=_digest(str(dataset.get("PatientID", "") or "").strip()),
    )


def _transfer_syntax(stream: BinaryIO, path: Path) -> str | None:
    import pydicom

    meta = pydicom.filereader.read_partial(stream, lambda tag, *_: True, force=True).file_meta
    syntax = meta.get("TransferSyntaxUID")
    if syntax in DEFLATED:
        raise UnreadableImage(path, "deflated DICOM", "Rewrite it uncompressed, for example with `dcmconv +te`.")
    return syntax


def _view(dataset: "pydicom.Dataset") -> str | None:
    view = str(dataset.get("ViewPosition", "") or "").strip()
    return view if view and VIEWS.issuperset(view.upper().split()) else None


def _check_dicom(dataset: "pydicom.Dataset", path: Path) -> None:
    if "PixelData" not in dataset:
        raise UnreadableImage(path, "DICOM without pixel data", "Leave it out, or download it again.")
    missing = [name for name in ("Rows", "Columns", "BitsAllocated") if dataset.get(name) is None]
    if missing:
        raise UnreadableImage(path, f"DICOM header lacks {', '.join(missing)}", AGAIN)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise UnreadableImage(path, f"holds {frames} frames", "Save the radiograph as one frame.")
    width, height = int(dataset.Columns), int(dataset.Rows)
    _check_size(width, height, path)
    size = width * height * int(dataset.get("SamplesPerPixel") or 1) * math.ceil(int(dataset.BitsAllocated) / 8)
    if size > MAX_BYTES:
        raise UnreadableImage(path, f"its header says {size} bytes of pixels, over the limit of {MAX_BYTES}", SMALLER)
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_transfer_syntax or syntax.is_compressed and not _has_decoder(syntax):
        problem = (
            f"compressed as {syntax.name if syntax.is_transfer_syntax else 'unknown'}, which cannot be decoded here"
        )
        raise UnreadableImage(path, problem, "Rewrite it uncompressed, for example with `dcmdjpeg` or `gdcmconv -w`.")
    if syntax in COMPRESSED:
        _check_frame(dataset, size, path)


def _has_decoder(syntax: "pydicom.uid.UID") -> bool:
    from pydicom.pixels import get_decoder

    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False


def _check_frame(dataset: "pydicom.Dataset", size: int, path: Path) -> None:
    """Compares a compressed frame with the DICOM header, which its own size need not follow."""
    from pydicom.encaps import get_frame

    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if dataset.file_meta.TransferSyntaxUID == RLE_LOSSLESS:
        if len(frame) > 2 * size + 64:  # at worst RLE adds a byte to 128, and 64 of header
            raise UnreadableImage(path, f"RLE of {len(frame)} bytes for {size} bytes of pixels", AGAIN)
        return
    width, height = Image.open(io.BytesIO(frame), formats=("JPEG", "JPEG2000")).size
    if (width, height) != (dataset.Columns, dataset.Rows):
        said = f"its header says {dataset.Columns} x {dataset.Rows} pixels, the image in it {width} x {height}"
        raise UnreadableImage(path, said, AGAIN)


def _check_size(width_px: int, height_px: int, path: Path) -> None:
    if width_px < 1 or height_px < 1:
        raise UnreadableImage(path, f"its header says {width_px} x {height_px} pixels", AGAIN)
    if width_px * height_px > MAX_PIXELS:
        reason = f"its header says {width_px} x {height_px} pixels, over the limit of {MAX_PIXELS}"
        raise UnreadableImage(path, reason, SMALLER)


def _window(dataset: "pydicom.Dataset", path: Path, percentiles: tuple[float, float] | None) -> np.ndarray:
    """Stored values -> 0..255 as the header asks for: uint8 [H, W]."""
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi

    photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    dataset.pixel_array_options(correct_unused_bits=False)  # pydicom takes HighBit for BitsStored - 1
    stored = dataset.pixel_array
    if photometric == "PALETTE COLOR":
        colour = apply_color_lut(stored, dataset)
        return _stretch(_luma(_spread(colour) if colour.dtype != np.uint8 else colour), percentiles)
    if stored.ndim == 3:
        return _stretch(_luma(_spread(stored) if stored.dtype != np.uint8 else stored), percentiles)
    if not photometric.startswith("MONOCHROME"):
        raise UnreadableImage(path, f"photometric interpretation {photometric!r}", "Save it as MONOCHROME2.")

    bits = stored.dtype.itemsize * 8
    bits_stored = int(dataset.get("BitsStored") or dataset.BitsAllocated)
    unused_bits = bits - bits_stored
    if unused_bits > 0:
        above = min(bits - 1 - int(dataset.get("HighBit") or bits_stored - 1), unused_bits)
        stored = (stored << above) >> unused_bits  # the dtype's sign decides what comes in from the left
    padding = dataset.get("PixelPaddingValue")
    padded = None if padding is None else _between(stored, padding, dataset.get("PixelPaddingRangeLimit", padding))
    values = apply_modality_lut(stored, dataset)
    window = _first_window(dataset)
    if dataset.get("VOILUTSequence"):
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        levels = np.clip(apply_voi(values.astype(np.int64), dataset) / (2**bits - 1), 0, 1) * 255
    elif window is not None:
        levels = np.clip(_through_window(values.astype(np.float32), *window), 0, 1) * 255
    elif values is stored and stored.dtype == np.uint8 and bits_stored == 8:
        levels = stored
    else:
        levels = None
    inverted = photometric == "MONOCHROME1"
    if levels is None or percentiles is not None:
        counted = values if levels is None else levels
        pixels = _spread(counted, ignore=padded, percentiles=_reversed(percentiles) if inverted else percentiles)
    else:
        pixels = levels if levels is stored else np.rint(levels).astype(np.uint8)
    if inverted:
        pixels = 255 - pixels
    if padded is not None:
        pixels = np.where(padded, np.uint8(0), pixels)
    return np.ascontiguousarray(pixels)


def _between(stored: np.ndarray, one: int, other: int) -> np.ndarray:
    return stored == one if one == other else (stored >= min(one, other)) & (stored <= max(one, other))


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


def _stretch(pixels: np.ndarray, percentiles: tuple[float, float] | None) -> np.ndarray:
    return pixels if percentiles is None else _spread(pixels, percentiles=percentiles)


def _reversed(percentiles: tuple[float, float] | None) -> tuple[float, float] | None:
    """The same percentiles where dark and bright are exchanged."""
    return None if percentiles is None else (100 - percentiles[1], 100 - percentiles[0])


def _spread(
    values: np.ndarray, ignore: np.ndarray | None = None, percentiles: tuple[float, float] | None = None
) -> np.ndarray:
    """Minimum … maximum, or percentile … percentile, -> 0..255, without `ignore`; a constant image becomes black."""
    counted = values if ignore is None or ignore.all() else values[~ignore]
    lowest, highest = float(counted.min()), float(counted.max())
    if not math.isfinite(highest - lowest):
        raise ValueError("pixel values that are not finite")
    if percentiles is not None:
        low, high = (float(level) for level in np.percentile(counted, percentiles))
        if high > low:  # otherwise nearly the whole image is of one level, and its few others are kept
            lowest, highest = low, high
    if highest <= lowest:
        return np.zeros(values.shape, np.uint8)
    levels = np.subtract(values, lowest, dtype=np.float32 if values.dtype.itemsize <= 2 else np.float64)
    levels *= 255 / (highest - lowest)  # in place: the largest images would need gigabytes otherwise
    return np.rint(np.clip(levels, 0, 255, out=levels), out=levels).astype(np.uint8)


def _luma(colour: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] -> grey uint8 [H, W], as Pillow's "L"."""
    return np.asarray(Image.fromarray(colour[..., :3], "RGB").convert("L"))


def _digest(patient_id: str) -> str | None:
    return hashlib.sha256(patient_id.encode()).hexdigest()[:16] if patient_id else None
