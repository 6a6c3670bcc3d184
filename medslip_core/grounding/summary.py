"""Scores over images and labels: means with intervals over patients, and methods compared on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from medslip_core.grounding.scores import SCORES
from medslip_core.metrics import (
    Estimate,
    has_interval,
    mean_over_classes,
    patient_bootstrap,
    patients_behind,
    patients_behind_macro,
    weighted_mean,
)

NO_SUMMARY = pd.DataFrame(
    columns="dataset label truth method metric value low high n threshold protocol".split()
).astype({"value": float, "low": float, "high": float, "threshold": float, "n": int})
"""What `summarise` returns where there is nothing to score."""

COMPARED = "metric against labels above below even mean mean_other value low high".split()
"""Columns of what `compare` returns."""


def summarise(
    scores: pd.DataFrame, dataset: str, protocol: str = "zero-shot", resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Mean of each score per method, kind of truth and label, and of several labels their mean ("macro").

    Args:
        scores: what `score` and `score_baselines` returned, concatenated.

    Returns:
        columns dataset, label, truth, method, metric, value, low, high (NaN where `metrics.has_interval` grants none),
        n (images that show the label, for macro any of the labels), threshold, protocol.
    """
    tables = []
    for (kind, method), group in scores.groupby(["truth", "method"], sort=False):
        labels = list(dict.fromkeys(group["label"]))
        tables.append(_summary_of_method(group, labels, resamples, seed).assign(truth=kind, method=method))
    if not tables:
        return NO_SUMMARY
    return pd.concat(tables, ignore_index=True).assign(dataset=dataset, protocol=protocol)[NO_SUMMARY.columns]


def _summary_of_method(group: pd.DataFrame, labels: list[str], resamples: int, seed: int) -> pd.DataFrame:
    belongs = {label: (group["label"] == label).to_numpy() for label in labels}
    values = {metric: group[metric].to_numpy(float) for metric in SCORES}

    def per_label(weight: np.ndarray) -> np.ndarray:  # [R, n] -> [R, labels, scores]
        return np.stack(
            [
                np.stack([weighted_mean(values[metric][b], weight[:, b]) for metric in SCORES], axis=1)
                for b in belongs.values()
            ],
            axis=1,
        )

    defined = ~np.isnan(per_label(np.ones((1, len(group)))))[0]

    def means(weight: np.ndarray) -> np.ndarray:  # [R, n] -> [R, labels + 1, scores], the last "label" being macro
        of_label = per_label(weight)
        return np.concatenate([of_label, mean_over_classes(of_label, defined)[:, None]], axis=1)

    patients = group["patient"].to_numpy()

    def told(metric: str) -> list[bool]:  # of each label, and of macro
        counted = [np.where(b, values[metric], np.nan) for b in belongs.values()]
        behind = [patients_behind(metric, of_label, patients) for of_label in counted]
        behind.append(patients_behind_macro(metric, counted, patients))
        return [has_interval(metric, one) for one in behind]

    estimate = patient_bootstrap(means, patients, resamples, seed)
    estimate = estimate.where(np.stack([told(metric) for metric in SCORES], axis=1))
    table = []
    for i, label in enumerate([*labels, "macro"] if len(labels) > 1 else labels):
        members = group if label == "macro" else group[belongs[label]]
        for m, metric in enumerate(SCORES):
            uses_threshold = metric in ("iou", "dice") and label != "macro"
            table.append({
                "label": label, "metric": metric, "value": estimate.value[i, m], "low": estimate.low[i, m],
                "high": estimate.high[i, m], "n": members["row"].nunique(),
                "threshold": members["threshold"].iloc[0] if uses_threshold else np.nan,
            })  # fmt: skip
    return pd.DataFrame(table)


def compare(
    scores: pd.DataFrame, method: str, others: Sequence[str], metrics: Sequence[str], resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """How much higher a method scores than others on the same images, and for how many labels.

    Args:
        scores: what `score` and `score_baselines` returned, concatenated, of one dataset and one kind of truth.
        method, others: the method, and what it is compared with.
        metrics: columns of `scores`.
        resamples: draws of patients; seed: of them.

    Returns:
        columns metric, against, labels, then counts of them: above and below (the 95 % interval over patients of the
        paired difference lies on that side of zero), and even; mean and mean_other, the means over labels; and their
        difference, value, with its interval, low and high. Where `metrics.has_interval` grants none, a label is even
        and low and high are NaN. No row for a method that is not there.
    """
    parts = {name: part.set_index(["label", "row"]) for name, part in scores.groupby("method")}
    rows = []
    for metric, other in product(metrics, others):
        if not {method, other} <= set(parts):
            continue
        theirs = parts[other][metric].rename("other")
        both = parts[method][["patient", metric]].join(theirs, how="inner").dropna().reset_index()
        belongs = [(both["label"] == label).to_numpy() for label in both["label"].unique()]
        if not belongs:
            continue
        values = both[[metric, "other"]].to_numpy(float)
        behind = [both["patient"][b].nunique() for b in belongs]
        told = [has_interval(metric, one) for one in [*behind, min(behind)]]
        apart = _differences(values, belongs, both["patient"].to_numpy(), resamples, seed).where(told)
        above, below = (apart.low[:-1] > 0).sum(), (apart.high[:-1] < 0).sum()
        mean, mean_other = np.mean([values[b].mean(axis=0) for b in belongs], axis=0)
        rows.append([metric, other, len(belongs), above, below, len(belongs) - above - below, mean, mean_other,
                     apart.value[-1], apart.low[-1], apart.high[-1]])  # fmt: skip
    return pd.DataFrame(rows, columns=COMPARED)


def _differences(
    values: np.ndarray, belongs: Sequence[np.ndarray], patients: np.ndarray, resamples: int, seed: int
) -> Estimate:
    """The mean of values[:, 0] - values[:, 1] for each label, and last the mean of these, [labels + 1]."""
    difference = values[:, 0] - values[:, 1]

    def means(weight: np.ndarray) -> np.ndarray:  # [R, n] -> [R, labels + 1]
        of_label = np.stack([weighted_mean(difference[b], weight[:, b]) for b in belongs], axis=1)
        return np.column_stack([of_label, mean_over_classes(of_label, np.ones(len(belongs), bool))])

    return patient_bootstrap(means, patients, resamples, seed)
