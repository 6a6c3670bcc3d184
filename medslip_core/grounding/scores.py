"""How well maps agree with the truth, image by image, beside baselines that do not look at the image.

The scores of one image take a map [S, S] in [0, 1] and a mask [S, S] bool with at least one pixel.

Source: Zhang et al., "Top-down Neural Attention by Excitation Backprop", 2016 (pointing game); Boecking et al., "Making
the Most of Text Semantics", 2022 (contrast-to-noise ratio).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from medslip_core.grounding.maps import normalise, stretched
from medslip_core.grounding.truth import Question, Truth
from medslip_core.overlap import best_threshold, overlap, overlap_by_threshold
from medslip_core.zero_shot import check_apart

SCORES = ("pointing_game", "pointing_near", "iou", "dice", "cnr")


def pointing_game(heat: np.ndarray, mask: np.ndarray) -> float:
    """1 if the maximum lies inside the truth, else 0; ties count by their share.

    A constant map thus scores the share of the image that the truth covers, which is chance.
    """
    at_maximum = heat >= heat.max() - 1e-6  # equal but for rounding in the interpolation
    return np.count_nonzero(at_maximum & mask) / np.count_nonzero(at_maximum)


def contrast_to_noise(heat: np.ndarray, mask: np.ndarray) -> float:
    """(mean inside - mean outside) / sqrt(variance inside + variance outside); 0 for a constant map.

    NaN if the truth fills the image. Signed, where the source takes the absolute value: below 0 looks elsewhere.
    """
    inside, outside = heat[mask], heat[~mask]
    if len(outside) == 0:
        return float("nan")
    noise = np.sqrt(inside.var() + outside.var())
    return float((inside.mean() - outside.mean()) / noise) if noise > 0 else 0.0


def best_dice_threshold(maps: np.ndarray, masks: np.ndarray) -> float:
    """The threshold in `overlap.THRESHOLDS` with the highest mean Dice. For *validation* data only.

    Args:
        maps: [n, h, w]; masks: [n, S, S] bool.

    Returns:
        a threshold on normalised maps; NaN if n is 0.
    """
    if len(maps) == 0:
        return float("nan")
    size = masks.shape[-1]
    pairs = zip(maps, masks, strict=True)
    return best_threshold([overlap_by_threshold(stretched(one, size)[None], mask[None]).dice[0] for one, mask in pairs])


def score(
    method: str,
    maps: np.ndarray,
    truth: Truth,
    validation_maps: np.ndarray,
    validation_truth: Truth,
) -> pd.DataFrame:
    """Scores of a method on each image that shows the label.

    Args:
        method: name for the tables, e.g. "pathology".
        maps: [n, h, w] one map per row of `truth`; validation_maps likewise.

    Returns:
        one row per image: label, truth (boxes or masks), method, row, patient, pointing_game, pointing_near (the
        maximum lies within `NEAR` of the truth), iou, dice, cnr, threshold (the best Dice on validation; NaN, with IoU
        and Dice, if validation shows no such label).

    Raises:
        ValueError: if maps and truth differ in length, or test and validation share rows or patients.
    """
    for some_maps, some_truth in ((maps, truth), (validation_maps, validation_truth)):
        if len(some_maps) != len(some_truth.rows):
            raise ValueError(f"{len(some_maps)} maps for {len(some_truth.rows)} rows that show {some_truth.label!r}")
    check_apart(truth.rows, truth.patients, validation_truth.rows, validation_truth.patients)
    threshold = best_dice_threshold(validation_maps, validation_truth.masks)
    table = []
    for one, mask, near, row, patient in zip(maps, truth.masks, truth.near, truth.rows, truth.patients, strict=True):
        heat = stretched(one, mask.shape[-1])
        found = overlap(heat >= threshold, mask)
        agreed = (np.nan, np.nan) if np.isnan(threshold) else (float(found.iou), float(found.dice))
        pointed = (pointing_game(heat, mask), pointing_game(heat, near))
        values = (*pointed, *agreed, contrast_to_noise(heat, mask), threshold)
        table.append((truth.label, truth.kind, method, row, patient, *values))
    return pd.DataFrame(table, columns=["label", "truth", "method", "row", "patient", *SCORES, "threshold"])


def score_question(
    question: Question, maps: Mapping[str, np.ndarray], validation_maps: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """`score` of every method on one question, then of the baselines.

    Args:
        maps: method -> [n, h, w], one map per row of `question.test`; the first method is the one that the baseline
            "mean map" averages. validation_maps: likewise for `question.validation`.
    """
    test, known = question.test, question.validation
    tables = [score(method, maps[method], test, validation_maps[method], known) for method in maps]
    baselines = score_baselines(test, known, next(iter(validation_maps.values())))
    return pd.concat([*tables, baselines], ignore_index=True)


def score_baselines(truth: Truth, validation_truth: Truth, validation_maps: np.ndarray | None = None) -> pd.DataFrame:
    """The same scores for maps that do not look at the image, so that figures mean something.

    "random point": a constant map, which hits by the share of area and has neither IoU nor Dice; "centre point":
    brightest in the middle; "mean truth": how often each pixel lay inside the truth on validation rows; "mean map":
    the method's own maps, averaged over validation rows. The last two are left out if validation lacks the label.
    """
    size = truth.masks.shape[-1]
    from_middle = np.abs(np.arange(size) - (size - 1) / 2)
    fixed_maps = {
        "random point": np.zeros((size, size), np.float32),
        "centre point": -np.hypot(from_middle[:, None], from_middle[None, :]),
    }
    if len(validation_truth.rows):
        fixed_maps["mean truth"] = validation_truth.masks.mean(axis=0)
        if validation_maps is not None:
            fixed_maps["mean map"] = normalise(validation_maps).mean(axis=0)
    tables = []
    for method, fixed in fixed_maps.items():
        repeated = [np.broadcast_to(fixed, (len(some.rows), *fixed.shape)) for some in (truth, validation_truth)]
        tables.append(score(method, repeated[0], truth, repeated[1], validation_truth))
    scores = pd.concat(tables, ignore_index=True)
    scores.loc[scores["method"] == "random point", ["iou", "dice", "threshold"]] = np.nan
    return scores


def example_cases(scores: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Three cases among the scores of one method, from good to bad: at 95 %, 50 % and 5 % of their order.

    Args:
        by: columns that order them, the first before the second.

    Returns:
        three rows of `scores` with a column case, "95 %" and so on.
    """
    ranked = scores.sort_values([*by, "row"], na_position="first").reset_index(drop=True)
    positions = [round(q * (len(ranked) - 1)) for q in (0.95, 0.5, 0.05)]
    return ranked.iloc[positions].assign(case=["95 %", "50 %", "5 %"]).reset_index(drop=True)
