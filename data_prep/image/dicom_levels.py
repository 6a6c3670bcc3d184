"""Stored values of a DICOM image -> grey levels, as its header asks for: bits, modality, window, inversion, padding.

Source: DICOM PS3.3 C.7.6.3 (image pixel), C.11.1 (modality LUT), C.11.2 (VOI LUT).
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from data_prep.errors import UnreadableImage
from data_prep.image.levels import reversed_percentiles, spread, stretch

if TYPE_CHECKING:
    import pydicom


def grey_levels(dataset: "pydicom.Dataset", path: Path, percentiles: tuple[float, float] | None) -> np.ndarray:
    """Stored values -> 0..255 as the header asks for: uint8 [H, W].

    Raises:
        UnreadableImage: a photometric interpretation that is neither colour nor monochrome, or several frames.
    """
    from pydicom.pixels import apply_color_lut, apply_modality_lut

    photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    dataset.pixel_array_options(correct_unused_bits=False)  # pydicom takes HighBit for BitsStored - 1
    stored = dataset.pixel_array
    samples = int(dataset.get("SamplesPerPixel", 1))
    if stored.shape != (dataset.Rows, dataset.Columns, samples)[: 3 if samples > 1 else 2]:
        raise UnreadableImage(path, f"its pixels hold {len(stored)} frames", "Save the radiograph as one frame.")
    if photometric == "PALETTE COLOR":
        colour = apply_color_lut(stored, dataset)
        return stretch(_luma(spread(colour) if colour.dtype != np.uint8 else colour), percentiles)
    if stored.ndim == 3:
        return stretch(_luma(spread(stored) if stored.dtype != np.uint8 else stored), percentiles)
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
    rescale = (dataset.get("RescaleSlope"), dataset.get("RescaleIntercept"))
    same = rescale == (1, 0) and not dataset.get("ModalityLUTSequence")
    values = stored if same else apply_modality_lut(stored, dataset)  # floats from any rescale, even one by 1 and 0
    window = _first_window(dataset)
    if dataset.get("VOILUTSequence"):
        little = dataset.file_meta.TransferSyntaxUID.is_little_endian
        levels = np.clip(_through_table(values, dataset.VOILUTSequence[0], little), 0, 1) * 255
    elif window is not None:
        levels = np.clip(_through_window(values.astype(np.float32), *window), 0, 1) * 255
    elif values is stored and stored.dtype == np.uint8 and bits_stored == 8:
        levels = stored
    else:
        levels = None
    inverted = photometric == "MONOCHROME1"
    if levels is None or percentiles is not None:
        counted = values if levels is None else levels
        pixels = spread(counted, padded, reversed_percentiles(percentiles) if inverted else percentiles)
    else:
        pixels = levels if levels is stored else np.rint(levels).astype(np.uint8)
    if inverted:
        pixels = 255 - pixels
    if padded is not None:
        pixels = np.where(padded, np.uint8(0), pixels)
    return np.ascontiguousarray(pixels)


def _luma(colour: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] -> grey uint8 [H, W], as Pillow's "L"."""
    return np.asarray(Image.fromarray(colour[..., :3], "RGB").convert("L"))


def _between(stored: np.ndarray, one: int, other: int) -> np.ndarray:
    return stored == one if one == other else (stored >= min(one, other)) & (stored <= max(one, other))


def _first_window(dataset: "pydicom.Dataset") -> tuple[float, float, str] | None:
    """Centre, width and function of the header's first usable window."""
    centres, widths = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if centres is None or widths is None:
        return None
    function = str(dataset.get("VOILUTFunction", "LINEAR") or "LINEAR")
    smallest = 1 if function == "LINEAR" else 0
    for centre, width in zip(np.ravel(centres), np.ravel(widths), strict=False):  # one number or several
        if math.isfinite(float(centre)) and float(width) > smallest:
            return float(centre), float(width), function
    return None


def _through_window(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """A VOI window as PS3.3 C.11.2.1.2 and C.11.2.1.3 define it: -> float 0..1."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - centre) / width))
    if function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    return (values - (centre - 0.5)) / (width - 1) + 0.5


def _through_table(values: np.ndarray, table: "pydicom.Dataset", little_endian: bool) -> np.ndarray:
    """A VOI table as PS3.3 C.11.2.1.1 defines it: -> float, 1 for white.

    Not pydicom's `apply_voi`, which misreads tables of 8-bit entries: packed as the standard has them, or over 256.
    White is the largest number of the bits it announces, or its own where it uses less than half of them or goes beyond
    them: some tables of 12 bits announce 16, and would leave an image nearly black.

    Raises:
        ValueError: the table is not what its descriptor says.
    """
    count, first, bits = table.LUTDescriptor
    count = count or 2**16  # which its 16 bits cannot hold
    data = table.LUTData
    words = np.frombuffer(data, "<u2" if little_endian else ">u2") if isinstance(data, bytes) else np.ravel(data)
    entries = words.astype("<u2")
    if bits == 8 and len(entries) < count:
        entries = entries.view(np.uint8)  # two to a word; many writers give each a word of its own
    entries = entries[:count]
    if len(entries) < count or not 8 <= bits <= 16:
        raise ValueError("a VOI table that is not what its descriptor says")
    largest, own = 2**bits - 1, max(int(entries.max()), 1)
    white = largest if largest <= 2 * own <= 2 * largest else own
    return entries[np.clip(values.astype(np.int64) - first, 0, count - 1)] / white
