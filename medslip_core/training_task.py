"""What a pre-training run trains: where its batches come from, and what they teach.

`training_run` knows steps, checkpoints and validations, a task knows the method. MeDSLIP's own is `MedslipTask`; those
of the models it is compared with are in `medslip_core.contrastive.task`.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from medslip_core.corpus import PreparedCorpus
from medslip_core.labels import label_counts
from medslip_core.losses.objective import TERMS, LossTerms, medslip_objective
from medslip_core.model import MedslipModel, MedslipOutput
from medslip_core.pretrain_params import PretrainParams
from medslip_core.training_batch import BatchSource, ImageSource, TrainingBatch
from medslip_core.trunk_model import TrunkModel


class Task(Protocol):
    """A method as a run sees it; `batch` stands for whatever its own batches are, with `rows`, `views` and `part`.

    Attributes:
        terms: names of the loss's terms, the weighted total first.
        weights: [n] of the n terms after it.
        divisible: whether the losses of parts of a batch, weighted by `counts`, are those of the whole.
        source: order and images.
    """

    terms: tuple[str, ...]
    weights: Tensor
    divisible: bool
    source: ImageSource

    def batch(self, step: int) -> Any:
        """The whole batch of a step (from 0)."""

    def validation_batch(self, rows: np.ndarray, number: int) -> Any:
        """Rows to validate on, the number-th such batch: not augmented, drawn the same at every validation."""

    def output(self, network: nn.Module, pixel_values: Tensor, batch: Any) -> Any:
        """What the network says about a batch."""

    def losses(self, output: Any, batch: Any) -> Tensor:
        """The n terms, [n] float32 with gradients, each a mean over what `counts` counts."""

    def counts(self, batch: Any) -> Tensor:
        """Over how much each of the n terms averages, [n] float32."""

    def probabilities(self, output: Any) -> Tensor:
        """Of the pathologies, [B, P] in [0, 1]."""

    def tensors(self, batch: Any) -> dict[str, Tensor]:
        """What to save of a batch, beside its pixels, whose loss was not finite."""


class MedslipTask:
    """Existence, ProtoCL and ICL on label matrices."""

    terms = TERMS
    divisible = True

    def __init__(self, params: PretrainParams, corpus: PreparedCorpus, model: MedslipModel, device: torch.device):
        self.params, self.model = params, model
        self.source = BatchSource(params, corpus, device)
        weights = LossTerms(
            existence_pathology=params.existence_weight,
            existence_anatomy=params.existence_weight * params.anatomy_weight,
            protocl_pathology=params.protocl_weight,
            protocl_anatomy=params.protocl_weight * params.anatomy_weight,
            icl=params.icl_weight,
        )
        self.weights = weights.stacked().to(device)

    def batch(self, step: int) -> TrainingBatch:
        return self.source.batch(step)

    def validation_batch(self, rows: np.ndarray, number: int) -> TrainingBatch:
        matrix = self.source.matrix(rows)
        return TrainingBatch(rows, None, matrix, self.source.negatives(matrix, "validation negatives", number))

    def output(self, network: nn.Module, pixel_values: Tensor, batch: TrainingBatch) -> MedslipOutput:
        return network(pixel_values)

    def losses(self, output: MedslipOutput, batch: TrainingBatch) -> Tensor:
        temperature = self.model.config.protocl_temperature
        terms = medslip_objective(
            output, batch.matrix, *self.model.text_books(), batch.negatives,
            temperature=temperature, **self.params.label_rules,
        )  # fmt: skip
        return terms.stacked()

    def counts(self, batch: TrainingBatch) -> Tensor:
        return label_counts(batch.matrix, **self.params.label_rules)

    def probabilities(self, output: MedslipOutput) -> Tensor:
        return output.pathology_prob

    def tensors(self, batch: TrainingBatch) -> dict[str, Tensor]:
        return dict(matrix=batch.matrix)


def task_of(params: PretrainParams, corpus: PreparedCorpus, model: TrunkModel, device: torch.device) -> Task:
    """The task of a run's method."""
    if params.method == "medslip":
        return MedslipTask(params, corpus, model, device)
    from medslip_core.contrastive.task import ContrastiveTask

    return ContrastiveTask(params, corpus, model, device)
