"""How well masks are predicted: Dice and IoU per image, over all images and over those that show something.

Without truth and without prediction an image scores 1, with only one of both 0. Papers differ in whether they average
over all images or over positives only; both are reported, by name, each at the threshold that is best for it on
validation images: a model that marks nothing has a high Dice over all images where most show nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medslip_core.metrics import has_interval, patient_bootstrap, patients_behind, weighted_mean
from medslip_core.overlap import Overlap, best_threshold, overlap, overlap_by_threshold

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
    found = overlap(predicted, truth)
    return _dice(found), found.iou


def _dice(found: Overlap) -> np.ndarray:
    """By way of IoU, and so rounded otherwise than `Overlap.dice` in the last bit of one value in three."""
    return 2 * found.iou / (1 + found.iou)


@dataclass(frozen=True)
class Thresholds:
    """Of probability: `all_images` for the scores over all images, `positives` for those over positives only."""

    all_images: float
    positives: float


def best_thresholds(validation: Predictions) -> Thresholds:
    """The thresholds in `overlap.THRESHOLDS` with the highest mean Dice, over all *validation* images and over
    those that show something (where none does, the same for both).
    """
    dice, positive = [], []
    for _, prob, truth in validation:
        dice.append(_dice(overlap_by_threshold(prob.astype(np.float64), truth)))  # float32(0.7) is less than 0.7
        positive.append(truth.any(axis=(-2, -1)))
    dice, positive = np.concatenate(dice), np.concatenate(positive)  # [n, thresholds], [n]
    of_all = best_threshold(dice)
    of_positives = best_threshold(dice[positive]) if positive.any() else of_all
    return Thresholds(of_all, of_positives)


@dataclass(frozen=True)
class MaskScores:
    """Scores of each test image.

    table: columns row, patient, positive (bool: the truth shows something) and `MASK_METRICS` (those over positives are
    NaN elsewhere); masks: [n, S, S / 8] uint8, predicted at the threshold for positives, packed along the last axis.
    """

    table: pd.DataFrame
    masks: np.ndarray
    thresholds: Thresholds


def score_masks(test: Predictions, patients: np.ndarray, thresholds: Thresholds) -> MaskScores:
    """Dice and IoU of every image; `prob >= threshold` is inside.

    Args:
        test: predictions on test rows.
        patients: [N] patient of every row of the corpus.
        thresholds: from validation images.
    """
    tables, masks = [], []
    for rows, prob, truth in test:
        positive = truth.any(axis=(-2, -1))
        table = {"row": rows, "patient": patients[rows], "positive": positive}
        table["dice_all"], table["iou_all"] = dice_and_iou(prob >= thresholds.all_images, truth)
        of_positives = dice_and_iou(prob >= thresholds.positives, truth)
        for name, values in zip(("dice_positives", "iou_positives"), of_positives, strict=True):
            table[name] = np.where(positive, values, np.nan)
        tables.append(pd.DataFrame(table))
        masks.append(np.packbits(prob >= thresholds.positives, axis=-1))
    return MaskScores(pd.concat(tables, ignore_index=True), np.concatenate(masks), thresholds)


def mask_values(table: pd.DataFrame, weight: np.ndarray) -> np.ndarray:
    """`MASK_METRICS` of images under weights [R, n] -> [R, 4]."""
    return np.stack([weighted_mean(table[name].to_numpy(float), weight) for name in MASK_METRICS], axis=1)


def evaluate_masks(scores: MaskScores, resamples: int, seed: int) -> pd.DataFrame:
    """Columns metric, value, low, high, n, positives, threshold.

    low and high are the 95 % interval over patients; NaN where `metrics.has_interval` grants none.
    """
    table, thresholds = scores.table, scores.thresholds
    patients = table["patient"].to_numpy()
    behind = [patients_behind(name, table[name].to_numpy(float), patients) for name in MASK_METRICS]
    told = [has_interval(*one) for one in zip(MASK_METRICS, behind, strict=True)]
    estimate = patient_bootstrap(lambda weight: mask_values(table, weight), patients, resamples, seed).where(told)
    positives = int(table["positive"].sum())
    of_all, of_positives = (len(table), thresholds.all_images), (positives, thresholds.positives)
    images, used = zip(*(of_all if name.endswith("_all") else of_positives for name in MASK_METRICS), strict=True)
    return pd.DataFrame(
        {
            "metric": MASK_METRICS, "value": estimate.value, "low": estimate.low, "high": estimate.high,
            "n": images, "positives": positives, "threshold": used,
        }
    )  # fmt: skip
