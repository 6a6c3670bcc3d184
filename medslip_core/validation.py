"""Validation during pre-training: which rows, which labels, and the figure that chooses the best checkpoint."""

from __future__ import annotations

import numpy as np
import torch

from medslip_core.anatomy_tree import with_wholes
from medslip_core.corpus import PreparedCorpus
from medslip_core.losses.existence import stream_labels
from medslip_core.metrics import auroc
from medslip_core.pretrain_params import PretrainParams
from medslip_core.randomness import random_bits
from medslip_core.transfer import to_device
from medslip_core.vocabulary import ABSENT, PRESENT, UNCERTAIN

STATES = {"unknown": UNCERTAIN, "present": PRESENT, "absent": ABSENT}


def label_matrix(
    params: PretrainParams, corpus: PreparedCorpus, rows: np.ndarray, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Label matrices [B, A, P] int8 on the device, by the parameters' source and meaning of what is not stated."""
    uncertain, unmentioned = STATES[params.uncertain_as], STATES[params.unmentioned_as]
    matrix = to_device(corpus.matrix(rows, uncertain, params.label_source, unmentioned), device)
    return with_wholes(matrix) if params.parts_imply_wholes else matrix


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


def pathology_labels(params: PretrainParams, corpus: PreparedCorpus, rows: np.ndarray) -> np.ndarray:
    """Labels per pathology [B, P] int8: 1 present, 0 absent, -1 unknown."""
    return stream_labels(label_matrix(params, corpus, rows))[0].numpy()


def validation_rows(params: PretrainParams, corpus: PreparedCorpus) -> np.ndarray:
    """Rows of the split "validate" to use, sorted.

    Raises:
        ValueError: the run's result depends on validation, and there is nothing to judge it by.
    """
    rows = corpus.rows("validate")
    if params.validation_images:
        order = np.argsort(random_bits(params.seed, "validation rows", rows), kind="stable")
        rows = np.sort(rows[order[: params.validation_images]])
    needed = params.result == "best" or params.early_stopping_epochs
    if needed and len(rows) == 0:
        raise ValueError("the corpus has no image in the split 'validate': set result: last, early_stopping_epochs: 0")
    if needed and params.best_by == "macro_auroc":
        labels = pathology_labels(params, corpus, rows)
        if len(_judged_pathologies(labels, params.validation_min_count)) == 0:
            raise ValueError(
                f"no pathology has {params.validation_min_count} positives and negatives in {len(rows)} validation "
                "images: lower validation_min_count, or set best_by: total"
            )
    return rows
