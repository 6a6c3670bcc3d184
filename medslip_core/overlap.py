"""How much of two masks is the same: IoU and Dice, also at many thresholds at once, and which threshold is best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

THRESHOLDS = np.round(np.arange(0.05, 1.0, 0.05), 2)
"""Of probabilities and of normalised maps; what is at least as high is inside."""


@dataclass(frozen=True)
class Overlap:
    """Pixels of each image that lie in both masks and in either of them, int64 of any shape."""

    both: np.ndarray
    either: np.ndarray

    @property
    def iou(self) -> np.ndarray:
        """both / either, 1 where both masks are empty; float64."""
        return np.divide(self.both, self.either, out=np.ones(np.shape(self.either)), where=self.either > 0)

    @property
    def dice(self) -> np.ndarray:
        """2 both / (both + either), the sum being that of the masks' areas; 1 where both masks are empty; float64."""
        areas = self.both + self.either
        return np.divide(2 * self.both, areas, out=np.ones(np.shape(areas)), where=areas > 0)


def overlap(predicted: np.ndarray, truth: np.ndarray) -> Overlap:
    """Overlap [...] of masks [..., S, S] bool.

    Raises:
        ValueError: masks of different sizes.
    """
    _require_one_size(predicted, truth)
    both = np.count_nonzero(predicted & truth, axis=(-2, -1))
    areas = np.count_nonzero(predicted, axis=(-2, -1)) + np.count_nonzero(truth, axis=(-2, -1))
    return Overlap(both, areas - both)


def overlap_by_threshold(values: np.ndarray, truth: np.ndarray) -> Overlap:
    """`overlap(values >= threshold, truth)` at each of `THRESHOLDS`, counted with less work.

    Args:
        values: [n, S, S] float, compared with the thresholds in their own precision; truth: [n, S, S] bool.

    Returns:
        [n, thresholds].

    Raises:
        ValueError: masks of different sizes.
    """
    _require_one_size(values, truth)
    thresholds, both, areas = THRESHOLDS.tolist(), [], []
    for one, mask in zip(values, truth, strict=True):
        inside = one[mask]
        both.append([np.count_nonzero(inside >= threshold) for threshold in thresholds])
        areas.append([np.count_nonzero(one >= threshold) + len(inside) for threshold in thresholds])
    both, areas = (np.array(counts, np.int64).reshape(-1, len(thresholds)) for counts in (both, areas))
    return Overlap(both, areas - both)


def best_threshold(dice: np.ndarray) -> float:
    """The one of `THRESHOLDS` with the highest mean Dice, the lowest of several.

    Args:
        dice: [n, thresholds].
    """
    return float(THRESHOLDS[np.argmax(np.mean(dice, axis=0))])


def _require_one_size(predicted: np.ndarray, truth: np.ndarray) -> None:
    if predicted.shape[-2:] != truth.shape[-2:]:
        raise ValueError(f"predicted masks are {predicted.shape[-2:]} px, the truth is {truth.shape[-2:]} px")
