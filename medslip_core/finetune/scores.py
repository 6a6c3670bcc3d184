"""How well masks are predicted: Dice and IoU per image, over all images and over those that show something.

Without truth and without prediction an image scores 1, with only one of both 0. Papers differ in whether they average
over all images or over positives only; both are reported, by name. The threshold comes from validation images.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medslip_core.grounding import THRESHOLDS
from medslip_core.metrics import patient_bootstrap, weighted_mean

MASK_METRICS = ("dice_all", "dice_positives", "iou_all", "iou_positives")
Predictions = Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Batches of rows [b], probability [b, S, S] and truth [b, S, S] bool."""


def dice_and_iou(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dice and IoU of each image.

    Args:
        predicted, truth: [..., S, S] bool.

    Raises:
        ValueError: masks of different sizes.
    """
    if predicted.shape[-2:] != truth.shape[-2:]:
        raise ValueError(f"predicted masks are {predicted.shape[-2:]} px, the truth is {truth.shape[-2:]} px")
    both = (predicted & truth).sum(axis=(-2, -1))
    either = (predicted | truth).sum(axis=(-2, -1))
    iou = np.divide(both, either, out=np.ones(both.shape), where=either > 0)
    return 2 * iou / (1 + iou), iou


def best_threshold(validation: Predictions) -> float:
    """The threshold in `grounding.THRESHOLDS` with the highest mean Dice over all *validation* images."""
    dice = [
        np.stack([dice_and_iou(prob >= threshold, truth)[0] for threshold in THRESHOLDS], axis=1)
        for _, prob, truth in validation
    ]
    return float(THRESHOLDS[np.argmax(np.concatenate(dice).mean(axis=0))])


@dataclass(frozen=True)
class MaskScores:
    """Scores of each test image at a threshold.

    table: columns row, patient, positive (bool: the truth shows something), dice, iou; masks: [n, S, S / 8] uint8, the
    predicted masks, packed along their last axis.
    """

    table: pd.DataFrame
    masks: np.ndarray
    threshold: float


def score_masks(test: Predictions, patients: np.ndarray, threshold: float) -> MaskScores:
    """Dice and IoU of every image.

    Args:
        test: predictions on test rows.
        patients: [N] patient of every row of the corpus.
        threshold: `prob >= threshold` is inside.
    """
    tables, masks = [], []
    for rows, prob, truth in test:
        dice, iou = dice_and_iou(prob >= threshold, truth)
        positive = truth.any(axis=(-2, -1))
        tables.append(
            pd.DataFrame({"row": rows, "patient": patients[rows], "positive": positive, "dice": dice, "iou": iou})
        )
        masks.append(np.packbits(prob >= threshold, axis=-1))
    return MaskScores(pd.concat(tables, ignore_index=True), np.concatenate(masks), threshold)


def mask_values(table: pd.DataFrame, weight: np.ndarray) -> np.ndarray:
    """`MASK_METRICS` of images under weights [R, n] -> [R, 4]."""
    of_positives = table[["dice", "iou"]].where(table["positive"])
    columns = [table["dice"], of_positives["dice"], table["iou"], of_positives["iou"]]
    return np.stack([weighted_mean(column.to_numpy(float), weight) for column in columns], axis=1)


def evaluate_masks(scores: MaskScores, resamples: int, seed: int) -> pd.DataFrame:
    """Columns metric, value, low, high (95 % over patients), n, positives, threshold."""
    table = scores.table
    estimate = patient_bootstrap(lambda weight: mask_values(table, weight), table["patient"], resamples, seed)
    positives = int(table["positive"].sum())
    counts = [len(table), positives, len(table), positives]
    return pd.DataFrame(
        {
            "metric": MASK_METRICS, "value": estimate.value, "low": estimate.low, "high": estimate.high,
            "n": counts, "positives": positives, "threshold": scores.threshold,
        }
    )  # fmt: skip
