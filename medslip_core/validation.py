"""Validation during pre-training: which rows, and the figure that chooses the best checkpoint."""

from __future__ import annotations

import numpy as np

from medslip_core.corpus import PreparedCorpus
from medslip_core.labels import pathology_labels
from medslip_core.metrics import auroc
from medslip_core.pretrain_params import PretrainParams
from medslip_core.randomness import random_bits
from medslip_core.vocabulary import ABSENT, PRESENT


def macro_auroc(labels: np.ndarray, prob: np.ndarray, min_count: int) -> float:
    """Mean AUROC over the pathologies with at least `min_count` positives and negatives; NaN if there is none.

    Args:
        labels: [n, P] int8; 1 present, 0 absent, -1 unknown (left out).
        prob: [n, P] in [0, 1].
        min_count: of either label.
    """
    values = []
    for column in _judged_pathologies(labels, min_count):
        known = labels[:, column] >= ABSENT
        truth = labels[known, column]
        values.append(auroc(truth, prob[known, column], np.ones((1, len(truth))))[0])
    return float(np.mean(values)) if values else float("nan")


def _judged_pathologies(labels: np.ndarray, min_count: int) -> np.ndarray:
    positives, negatives = (labels == PRESENT).sum(axis=0), (labels == ABSENT).sum(axis=0)
    return np.flatnonzero(np.minimum(positives, negatives) >= min_count)


def validation_rows(params: PretrainParams, corpus: PreparedCorpus) -> np.ndarray:
    """Rows of the split "validate" to use, sorted: of those that state something, as of those that are trained on.

    Raises:
        ValueError: the run's result depends on validation, and there is nothing to judge it by.
    """
    rows = corpus.stated("validate", params.label_source)
    if params.validation_images:
        order = np.argsort(random_bits(params.seed, "validation rows", rows), kind="stable")
        rows = np.sort(rows[order[: params.validation_images]])
    needed = params.result == "best" or params.early_stopping_epochs
    if needed and len(rows) == 0:
        raise ValueError("no image in the split 'validate' states anything: set result: last, early_stopping_epochs: 0")
    if needed and params.best_by == "macro_auroc":
        labels = pathology_labels(params, corpus, rows)
        if len(_judged_pathologies(labels, params.validation_min_count)) == 0:
            raise ValueError(
                f"no pathology has {params.validation_min_count} positives and negatives in {len(rows)} validation "
                "images: lower validation_min_count, or set best_by: total"
            )
    return rows
