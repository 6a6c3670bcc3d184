"""Validation during pre-training: which rows, and the figures of which one chooses the best checkpoint."""

from __future__ import annotations

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from medslip_core.corpus import PreparedCorpus
from medslip_core.labels import pathology_labels
from medslip_core.metrics import auroc
from medslip_core.pretrain_params import PretrainParams
from medslip_core.randomness import random_bits
from medslip_core.training_task import Task
from medslip_core.trunk_model import TrunkModel
from medslip_core.vocabulary import ABSENT, PRESENT

BATCH = 64  # fixed, as the negatives are drawn per batch


class Validation:
    """The validation images of a run, whole and not augmented, with negatives that are always the same.

    Args:
        params: of the run.
        corpus: of whose split "validate" those images are used that state something, as of those that are trained on.

    Attributes:
        rows: [n] int64, sorted; labels: [n, P] int8.

    Raises:
        ValueError: the run's result depends on validation, and there is nothing to judge it by.
    """

    def __init__(self, params: PretrainParams, corpus: PreparedCorpus) -> None:
        rows = corpus.stated("validate", params.label_source)
        if params.validation_images:
            order = np.argsort(random_bits(params.seed, "validation rows", rows), kind="stable")
            rows = np.sort(rows[order[: params.validation_images]])
        needed = params.result == "best" or params.early_stopping_epochs
        if needed and len(rows) == 0:
            raise ValueError(
                "no image in the split 'validate' states anything: set result: last, early_stopping_epochs: 0"
            )
        labels = pathology_labels(params, corpus, rows)
        judged = _judged_pathologies(labels, params.validation_min_count)
        if needed and params.best_by == "macro_auroc" and len(judged) == 0:
            least = params.validation_min_count
            lower = "lower validation_min_count, or " if least > 1 else ""
            raise ValueError(
                f"no pathology has {least} or more positive and as many negative labels in {len(rows)} validation "
                f"images: {lower}set best_by: total"
            )
        self.rows, self.labels, self.min_count = rows, labels, params.validation_min_count

    @torch.no_grad()
    @torch.compiler.set_stance("force_eager")  # else one more graph to wait for, and no faster a run
    def figures(self, task: Task, model: TrunkModel, accelerator: Accelerator) -> dict[str, float]:
        """Loss terms and macro AUROC, the same on every process.

        Args:
            task: of the run.
            model: in evaluation mode, unwrapped, as one process may have a batch more than another.
            accelerator: whose processes divide the batches.
        """
        results = []
        for number, start in enumerate(range(0, len(self.rows), BATCH)):
            if number % accelerator.num_processes != accelerator.process_index:
                continue
            batch = task.validation_batch(self.rows[start : start + BATCH], number)
            output = task.output(model, model.pixel_values(task.source.images(batch.rows)), batch)
            sums, counts = task.losses(output, batch) * task.counts(batch), task.counts(batch)
            results.append((number, *(t.float().cpu().numpy() for t in (sums, counts, task.probabilities(output)))))
        results = sorted(gather_object(results), key=lambda result: result[0])
        _, sums, counts, prob = zip(*results, strict=True)
        terms = torch.from_numpy(sum(sums) / np.maximum(sum(counts), 1))
        total = (task.weights.cpu() * terms).sum().reshape(1)
        score = macro_auroc(self.labels, np.concatenate(prob), self.min_count)
        return {**dict(zip(task.terms, torch.cat([total, terms]).tolist(), strict=True)), "macro_auroc": score}


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
