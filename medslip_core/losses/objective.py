"""The whole objective: existence and ProtoCL in both streams, and ICL between them.

Source: paper, L = L_exist + alpha * L_ProtoCL + beta * L_ICL; the published code sums all five terms unweighted. A
run's weights are those of `training_task.MedslipTask`.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from medslip_core.losses.existence import existence_loss, stream_labels
from medslip_core.losses.icl import icl_loss
from medslip_core.losses.protocl import Negatives, protocl_loss
from medslip_core.model import MedslipOutput


@dataclass(frozen=True)
class LossTerms:
    """A scalar for each of the five terms: its loss, float32 with gradients; its weight; or what it averages over."""

    existence_pathology: Tensor | float
    existence_anatomy: Tensor | float
    protocl_pathology: Tensor | float
    protocl_anatomy: Tensor | float
    icl: Tensor | float

    def stacked(self) -> Tensor:
        """All of them [5], in the order of `TERMS` after the total."""
        return torch.stack([torch.as_tensor(getattr(self, term.name)) for term in fields(self)])

    @property
    def total(self) -> Tensor:
        """Their sum, as published."""
        return self.stacked().sum()


TERMS = ("total", *(field.name for field in fields(LossTerms)))
"""Of the objective, as histories name them: a run's weighted total first."""


def medslip_objective(
    output: MedslipOutput,
    matrix: Tensor,
    anatomy_book: Tensor,
    pathology_book: Tensor,
    negatives: Negatives,
    temperature: float | None = None,
    healthy_is_absent: bool = False,
    unmentioned_is_absent: bool = False,
) -> LossTerms:
    """All loss terms of a batch, in float32, without loops, host synchronisation or changes to the inputs.

    Args:
        output: of `MedslipModel` on the batch.
        matrix: [B, A, P] integer; 1 present, 0 absent, -1 uncertain, -2 not mentioned.
        anatomy_book: [A, T]; pathology_book: [P, T]; as returned by `MedslipModel.text_books()`.
        negatives: from `sample_negatives`.
        temperature: of ProtoCL on normalised features; None for raw dot products (published).
        healthy_is_absent, unmentioned_is_absent: see `stream_labels`; False is published.
    """
    pathology_labels, anatomy_labels = stream_labels(matrix, healthy_is_absent, unmentioned_is_absent)
    # Unscaled dot products of several hundred dimensions need float32 even when the model runs in bfloat16.
    with torch.autocast(matrix.device.type, enabled=False):
        return LossTerms(
            existence_pathology=existence_loss(output.pathology_logits, pathology_labels),
            existence_anatomy=existence_loss(output.anatomy_logits, anatomy_labels),
            protocl_pathology=protocl_loss(
                output.pathology_prototypes, matrix, anatomy_book, negatives.pathology, temperature
            ),
            protocl_anatomy=protocl_loss(
                output.anatomy_prototypes, matrix.transpose(1, 2), pathology_book, negatives.anatomy, temperature
            ),
            icl=icl_loss(output.icl_logits, matrix),
        )
