"""The whole objective: existence and ProtoCL in both streams, and ICL between them.

Source: paper, L = L_exist + alpha * L_ProtoCL + beta * L_ICL; the published code sums all five terms unweighted.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from medslip_core.losses.existence import existence_loss, stream_labels
from medslip_core.losses.icl import icl_loss
from medslip_core.losses.protocl import Negatives, protocl_loss
from medslip_core.model import MedslipOutput


@dataclass(frozen=True)
class LossWeights:
    """Weight of each kind of term (both streams alike); 1 is the published setting."""

    existence: float = 1.0
    protocl: float = 1.0
    icl: float = 1.0


@dataclass(frozen=True)
class LossTerms:
    """The weighted total and the unweighted terms, scalars float32 with gradients."""

    total: Tensor
    existence_pathology: Tensor
    existence_anatomy: Tensor
    protocl_pathology: Tensor
    protocl_anatomy: Tensor
    icl: Tensor


def medslip_objective(
    output: MedslipOutput,
    matrix: Tensor,
    anatomy_book: Tensor,
    pathology_book: Tensor,
    negatives: Negatives,
    weights: LossWeights = LossWeights(),
    temperature: float | None = None,
    healthy_is_absent: bool = False,
) -> LossTerms:
    """All loss terms of a batch, in float32, without loops, host synchronisation or changes to the inputs.

    Args:
        output: of `MedslipModel` on the batch.
        matrix: [B, A, P] integer; 1 present, 0 absent, -1 not mentioned or uncertain.
        anatomy_book: [A, T]; pathology_book: [P, T]; as returned by `MedslipModel.text_books()`.
        negatives: from `sample_negatives`.
        weights: of the terms in the total.
        temperature: of ProtoCL on normalised features; None for raw dot products (published).
        healthy_is_absent: see `stream_labels`; False is published.
    """
    pathology_labels, anatomy_labels = stream_labels(matrix, healthy_is_absent)
    # Unscaled dot products of several hundred dimensions need float32 even when the model runs in bfloat16.
    with torch.autocast(matrix.device.type, enabled=False):
        existence_pathology = existence_loss(output.pathology_logits, pathology_labels)
        existence_anatomy = existence_loss(output.anatomy_logits, anatomy_labels)
        protocl_pathology = protocl_loss(
            output.pathology_prototypes, matrix, anatomy_book, negatives.pathology, temperature
        )
        protocl_anatomy = protocl_loss(
            output.anatomy_prototypes, matrix.transpose(1, 2), pathology_book, negatives.anatomy, temperature
        )
        icl = icl_loss(output.icl_logits, matrix)
    total = (
        weights.existence * (existence_pathology + existence_anatomy)
        + weights.protocl * (protocl_pathology + protocl_anatomy)
        + weights.icl * icl
    )
    return LossTerms(total, existence_pathology, existence_anatomy, protocl_pathology, protocl_anatomy, icl)
