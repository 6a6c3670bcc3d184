"""Metrics of binary classification with 95 % intervals over patients.

Every metric takes sample *weights* with a leading dimension R. Weights of one give the plain metric; the number of
times a patient was drawn gives its value on a bootstrap resample, for all R resamples at once.

A value has an interval, and a verdict built on one, where at least `LEAST_PATIENTS` speak of it and resampling does not
bias it (`has_interval`). Of a mean over classes speak as many as of its class with the fewest. The n beside a value is
the number of distinct images behind it (`images_behind`).

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993 (percentile interval, clusters drawn whole);
Guo et al., "On Calibration of Modern Neural Networks", 2017 (ECE; here the binary variant, which bins the probability
of the positive class and not that of the likelier one).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

NO_LABELS = "no labels"
ONE_LABEL = "only one label"
NO_THRESHOLD = "no threshold: validation data hold only one label"

RANKING_METRICS = ("auroc", "average_precision")
THRESHOLD_METRICS = ("f1", "accuracy", "sensitivity", "specificity")
CALIBRATION_METRICS = ("brier", "ece")
WITHOUT_INTERVAL = ("ece",)
"""A resample repeats patients, which moves small bins off the diagonal: percentiles would lie above the value."""
METRICS = RANKING_METRICS + THRESHOLD_METRICS + CALIBRATION_METRICS

LEAST_PATIENTS = 10
"""Of what fewer patients speak of, there is neither an interval nor a verdict: draws of so few say little of others.
(With 10 positives, the interval of an AUROC of 0.8 holds it in 90 % of samples instead of 95, with 5 in 83 %, with one
in 14 %.)"""

TOO_FEW = f"fewer than {LEAST_PATIENTS} patients: no interval"

NEEDED_LABELS = {"auroc": (1, 0), "average_precision": (1, 0), "f1": (1,), "sensitivity": (1,), "specificity": (0,)}
"""Those without which a metric is undefined."""

_ELEMENTS_AT_ONCE = 4_000_000  # resamples x samples held in memory together (32 MB)


@dataclass(frozen=True)
class Estimate:
    """Values with percentile intervals; all three of the same shape, NaN where undefined."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def where(self, told: np.ndarray | Sequence | bool) -> Estimate:
        """The same values, without an interval where not `told` (bool, of their shape): see `has_interval`."""
        return Estimate(self.value, *(np.where(told, end, np.nan) for end in (self.low, self.high)))


# -- metrics: truth [n] 0/1, score or probability [n], weight [R, n] >= 0  ->  [R], NaN where undefined or unordered --


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(np.shape(denominator), np.nan), where=denominator != 0)


def _counts_by_falling_score(
    truth: np.ndarray, score: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Weight of positives and negatives at each distinct score [R, G], highest first, and summed so far."""
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])  # equal scores count as one step
    weight, positive = weight[:, order], truth[order] == 1
    positives = np.add.reduceat(np.where(positive, weight, 0), starts, axis=1)
    negatives = np.add.reduceat(np.where(positive, 0, weight), starts, axis=1)
    return positives, negatives, positives.cumsum(axis=1), negatives.cumsum(axis=1)


def auroc(truth: np.ndarray, score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: the share of (positive, negative) pairs in the right order, ties counting half."""
    if len(truth) == 0 or np.isnan(score).any():
        return np.full(len(weight), np.nan)
    positives, negatives, _, negatives_so_far = _counts_by_falling_score(truth, score, weight)
    all_negatives = negatives_so_far[:, -1]
    below = all_negatives[:, None] - negatives_so_far + negatives / 2
    return _ratio((positives * below).sum(axis=1), positives.sum(axis=1) * all_negatives)


def average_precision(truth: np.ndarray, score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Average precision: precision at each distinct score, weighted by the rise in recall (no interpolation)."""
    if len(truth) == 0 or np.isnan(score).any():
        return np.full(len(weight), np.nan)
    positives, _, positives_so_far, negatives_so_far = _counts_by_falling_score(truth, score, weight)
    precision = np.nan_to_num(_ratio(positives_so_far, positives_so_far + negatives_so_far))
    return _ratio((positives * precision).sum(axis=1), positives_so_far[:, -1])


def confusion(
    truth: np.ndarray, prob: np.ndarray, threshold: float, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Weights [R] of true and false positives, false and true negatives; `prob >= threshold` is called positive."""
    positive, called = truth == 1, prob >= threshold
    cells = [positive & called, ~positive & called, positive & ~called, ~positive & ~called]
    tp, fp, fn, tn = (weight @ np.stack(cells, axis=1).astype(float)).T
    return tp, fp, fn, tn


def brier(truth: np.ndarray, prob: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean squared distance of probability and label."""
    return _ratio(weight @ (prob - truth) ** 2, weight.sum(axis=1))


def expected_calibration_error(truth: np.ndarray, prob: np.ndarray, weight: np.ndarray, bins: int = 10) -> np.ndarray:
    """Mean distance of probability (of the positive class) and observed frequency over bins of equal width, by size."""
    in_bin = np.eye(bins)[_bin_index(prob, bins)]  # [n, bins]
    gap = np.abs(weight @ (in_bin * (prob - truth)[:, None])).sum(axis=1)
    return _ratio(gap, weight.sum(axis=1))


def _bin_index(prob: np.ndarray, bins: int) -> np.ndarray:
    return np.clip((np.asarray(prob) * bins).astype(int), 0, bins - 1)


def require_labels(labels: np.ndarray) -> None:
    """Raise ValueError unless all are 1, 0 or NaN: uncertain ones, -1 in CheXpert's tables, would count as they are."""
    other = labels[~(np.isnan(labels) | (labels == 0) | (labels == 1))]
    if len(other):
        raise ValueError(f"labels must be 1, 0 or NaN, and one is {other[0]:g}: write NaN for unknown or uncertain")


def reliability(truth: np.ndarray, prob: np.ndarray, bins: int = 10) -> pd.DataFrame:
    """Mean probability and observed frequency per bin of equal width (bins without samples left out).

    Args:
        truth: [n] 1, 0 or NaN (unknown, left out).
        prob: [n] in [0, 1].

    Returns:
        columns bin, probability, frequency, n.

    Raises:
        ValueError: other labels.
    """
    truth, prob = np.asarray(truth, float), np.asarray(prob, float)
    require_labels(truth)
    known = ~np.isnan(truth)
    samples = pd.DataFrame(
        {"bin": _bin_index(prob[known], bins), "probability": prob[known], "frequency": truth[known], "n": 1}
    )
    return samples.groupby("bin", as_index=False).agg({"probability": "mean", "frequency": "mean", "n": "sum"})


def best_f1_threshold(truth: np.ndarray, prob: np.ndarray) -> float:
    """The threshold with the highest F1, half way to the next lower score. For *validation* data only.

    Args:
        truth: [n] 1, 0 or NaN (unknown, left out).
        prob: [n] in [0, 1].

    Returns:
        the threshold (`prob >= threshold` is positive); NaN if the known labels are all alike.

    Raises:
        ValueError: other labels.
    """
    truth, prob = np.asarray(truth, float), np.asarray(prob, float)
    require_labels(truth)
    truth, prob = truth[~np.isnan(truth)], prob[~np.isnan(truth)]
    if len(np.unique(truth)) < 2:
        return float("nan")
    _, _, tp, fp = _counts_by_falling_score(truth, prob, np.ones((1, len(truth))))
    f1 = 2 * tp[0] / (tp[0] + fp[0] + truth.sum())
    scores = np.unique(prob)[::-1]
    best = int(np.argmax(f1))  # the highest such threshold among equals
    if best == len(scores) - 1:
        return float(scores[best])
    return float((scores[best] + scores[best + 1]) / 2)


def class_metrics(truth: np.ndarray, prob: np.ndarray, threshold: float, weight: np.ndarray) -> np.ndarray:
    """All `METRICS` of one class on every resample.

    Args:
        truth: [n] 1, 0 or NaN (unknown, left out).
        prob: [n] in [0, 1].
        threshold: decision threshold, NaN if there is none.
        weight: [R, n].

    Returns:
        [R, len(METRICS)], NaN where undefined.
    """
    known = ~np.isnan(truth)
    truth, prob, weight = truth[known], prob[known], weight[:, known]
    tp, fp, fn, tn = confusion(truth, prob, threshold, weight)
    at_threshold = np.stack(
        [
            np.where(tp + fn > 0, _ratio(2 * tp, 2 * tp + fp + fn), np.nan),  # else 0 from the first false positive on
            _ratio(tp + tn, tp + fp + fn + tn),
            _ratio(tp, tp + fn),
            _ratio(tn, tn + fp),
        ],
        axis=1,
    )
    if np.isnan(threshold):
        at_threshold[:] = np.nan
    ranking = [auroc(truth, prob, weight), average_precision(truth, prob, weight)]
    calibration = [brier(truth, prob, weight), expected_calibration_error(truth, prob, weight)]
    both_labels = (tp + fn > 0) & (fp + tn > 0)
    ranking = [np.where(both_labels, values, np.nan) for values in ranking]
    return np.column_stack([*ranking, at_threshold, *calibration])


def mean_over_classes(values: np.ndarray, defined: np.ndarray) -> np.ndarray:
    """Macro value: the mean over the classes that are defined; NaN if none is.

    Args:
        values: [R, C, ...].
        defined: [C, ...] bool, the classes defined on all samples: a draw that leaves out one of them is NaN, as the
            mean of the others would be another quantity.

    Returns:
        [R, ...].
    """
    counted = np.broadcast_to(defined, values.shape)
    return _ratio(np.where(counted, values, 0).sum(axis=1), counted.sum(axis=1))


def patients_behind(metric: str, counted: np.ndarray, patients: np.ndarray) -> int:
    """How many patients a value speaks of: where a metric needs certain labels, the fewest that have one of them.

    Args:
        metric: one of `METRICS`, or any mean.
        counted: [n] labels 1 or 0, of a mean what it is of; NaN where an image does not count.
        patients: [n] patient of each image.
    """
    kinds = [counted == label for label in NEEDED_LABELS.get(metric, ())] or [~np.isnan(counted)]
    return min(len(np.unique(patients[kind])) for kind in kinds)


def patients_behind_macro(metric: str, counted: Iterable[np.ndarray], patients: np.ndarray) -> int:
    """As `patients_behind`, of the class with the fewest: its draws decide what the mean over classes is worth.

    Args:
        counted: of each class [n]; a class that nobody speaks of has no value and is left out.
    """
    return min(filter(None, (patients_behind(metric, of_class, patients) for of_class in counted)), default=0)


def has_interval(metric: str, behind: int) -> bool:
    """Whether a value of `metric` that so many patients speak of is given an interval, and a verdict built on one.

    Args:
        behind: as `patients_behind` counts them, of a mean over classes `patients_behind_macro`.
    """
    return behind >= LEAST_PATIENTS and metric not in WITHOUT_INTERVAL


def images_behind(counted: np.ndarray, rows: np.ndarray) -> int:
    """How many distinct images a value is of: those that count for it, for a mean over classes those for any of them.

    Args:
        counted: [n], or of a mean over classes [C, n]; NaN where an image does not count, as for `patients_behind`.
        rows: [n] the row of each image, the same in every place of one.
    """
    known = ~np.isnan(np.atleast_2d(counted)).all(axis=0)
    return len(np.unique(np.asarray(rows)[known]))


def why_undefined(truth: np.ndarray, threshold: float, metric: str) -> str:
    """The reason for which `metric` came out as NaN on labels `truth` [n] (1, 0 or NaN)."""
    if np.isnan(truth).all():
        return NO_LABELS
    return NO_THRESHOLD if metric in THRESHOLD_METRICS and np.isnan(threshold) else ONE_LABEL


# -- intervals --------------------------------------------------------------------------------------------------------


def patient_bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    patients: np.ndarray,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Percentile interval of a weighted statistic, drawing whole patients with replacement.

    Images of one patient are alike; drawing images instead of patients makes intervals too narrow. A resample on
    which the statistic is undefined (NaN) does not count. The result does not depend on the order of the samples.

    Args:
        statistic: weights [R, n] float64 -> values [R, ...].
        patients: [n] patient of each sample.
        resamples: number of draws.
        level: coverage in (0, 1).

    Returns:
        value on the samples as they are, low and high end of the interval.

    Raises:
        ValueError: fewer than one draw.
    """
    if resamples < 1:
        raise ValueError(f"resamples: {resamples} draws give no interval; take some hundreds")
    value = np.asarray(statistic(np.ones((1, len(patients)))))[0]
    if len(patients) == 0:
        return Estimate(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    return percentile_interval(value, patient_resamples(statistic, patients, resamples, seed), level)


def percentile_interval(value: np.ndarray, drawn: np.ndarray, level: float = 0.95) -> Estimate:
    """A value [...] between the percentiles of what was drawn [R, ...]; draws that are NaN do not count."""
    tail = (1 - level) / 2
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice encountered")
        low, high = np.nanquantile(drawn, [tail, 1 - tail], axis=0)
    undefined = np.isnan(value)
    return Estimate(value, np.where(undefined, np.nan, low), np.where(undefined, np.nan, high))


def patient_resamples(
    statistic: Callable[[np.ndarray], np.ndarray], patients: np.ndarray, resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """The statistic on each draw of whole patients, [resamples, ...]; arguments as for `patient_bootstrap`."""
    names, patient_of_sample = np.unique(np.asarray(patients), return_inverse=True)
    generator = np.random.default_rng(seed)
    at_once = max(1, _ELEMENTS_AT_ONCE // len(patients))
    drawn = []
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        times = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=count)  # [count, patients]
        drawn.append(np.asarray(statistic(times[:, patient_of_sample].astype(float))))
    return np.concatenate(drawn)


def weighted_mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean of values [n] (NaN left out) under weights [R, n] -> [R]."""
    known = ~np.isnan(values)
    return _ratio(weight[:, known] @ values[known], weight[:, known].sum(axis=1))
