"""Run-length coding of the SIIM-ACR masks: column by column, each start counted from the end of the run before.

Source: SIIM-ACR Pneumothorax Segmentation challenge, description of `train-rle.csv`; "-1" stands for no mask.
"""

import numpy as np

from data_prep.errors import RecordError

EMPTY = "-1"


def decode(text: str, width_px: int, height_px: int, source: str = "RLE") -> np.ndarray:
    """Decodes "gap length gap length …" into a mask.

    Args:
        text: blank-separated integers, or "-1" for an empty mask.
        width_px: width of the mask.
        height_px: height of the mask.
        source: table and row, for the error message.

    Returns:
        bool [height_px, width_px].

    Raises:
        RecordError: not pairs of whole numbers, a negative gap, a run without length, or a run past the end.
    """
    remedy = "Download the table again; this record is set aside."
    if text.strip() == EMPTY:
        return np.zeros((height_px, width_px), bool)
    try:
        numbers = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise RecordError(source, f"RLE is not a list of whole numbers: {text[:40]!r}", remedy) from error
    if len(numbers) == 0 or len(numbers) % 2:
        raise RecordError(source, f"RLE has {len(numbers)} numbers, not pairs of gap and length", remedy)
    gaps, lengths = numbers[0::2], numbers[1::2]
    size = width_px * height_px
    if (gaps < 0).any() or (lengths < 1).any() or numbers.max() > size:
        bad = int(np.flatnonzero((gaps < 0) | (lengths < 1) | (gaps > size) | (lengths > size))[0])
        raise RecordError(source, f"RLE pair {bad + 1} is {gaps[bad]} {lengths[bad]}, image has {size} pixels", remedy)
    ends = np.cumsum(gaps + lengths)
    if ends[-1] > size:
        raise RecordError(source, f"RLE ends at pixel {ends[-1]}, past the image's {size}", remedy)
    edges = np.zeros(size + 1, np.int8)
    np.add.at(edges, ends - lengths, 1)
    np.add.at(edges, ends, -1)
    return np.cumsum(edges[:-1], dtype=np.int8).astype(bool).reshape(width_px, height_px).T
