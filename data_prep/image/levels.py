"""Grey levels, and how they are spread over 0..255."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.errors import DataError


@dataclass(frozen=True)
class GreyImage:
    """An image, and what a DICOM header says that the study's tables may not."""

    pixels: np.ndarray  # uint8 [H, W], 0 black (air) … 255 white (bone)
    view: str | None = None
    age_years: float | None = None
    sex: str | None = None
    patient_digest: str | None = None  # of the patient id, which can be found from it by trying: only while preparing


def stretch(pixels: np.ndarray, percentiles: tuple[float, float] | None) -> np.ndarray:
    """Levels that are 0..255 already stay as they are, unless percentiles are asked for: uint8 [H, W]."""
    return pixels if percentiles is None else spread(pixels, percentiles=percentiles)


def rising(percentiles: Sequence[float] | None) -> tuple[float, float] | None:
    """Percentiles as they were asked for, or None.

    Raises:
        DataError: not two rising numbers in 0..100.
    """
    if percentiles is None:
        return None
    try:
        low, high = map(float, percentiles)
    except (TypeError, ValueError):
        low = high = math.nan
    if not 0 <= low < high <= 100:
        raise DataError(f"percentiles {percentiles}", "not two rising numbers in 0..100", "For example (0.5, 99.5).")
    return low, high


def reversed_percentiles(percentiles: tuple[float, float] | None) -> tuple[float, float] | None:
    """The same percentiles where dark and bright are exchanged."""
    return None if percentiles is None else (100 - percentiles[1], 100 - percentiles[0])


def spread(
    values: np.ndarray, ignore: np.ndarray | None = None, percentiles: tuple[float, float] | None = None
) -> np.ndarray:
    """Minimum … maximum, or percentile … percentile, -> 0..255; a constant image becomes black.

    Args:
        values: any numbers, [H, W] or with channels.
        ignore: bool as `values`: pixels that are not counted.
        percentiles: of the counted values that become 0 and 255; None for the lowest and the highest.

    Returns:
        uint8 as `values`.

    Raises:
        ValueError: a value that is not finite.
    """
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
