"""Existence: is the anatomy affected, is the pathology there?

Source: paper, L_exist; two-class cross entropy per query where the report says yes or no.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from medslip_core.vocabulary import ABSENT, HEALTHY, PATHOLOGY_INDEX, UNCERTAIN, UNMENTIONED


def stream_labels(
    matrix: Tensor, healthy_is_absent: bool = False, unmentioned_is_absent: bool = False
) -> tuple[Tensor, Tensor]:
    """Labels per query: 1 if its column (row) of the matrix holds a 1, else 0 if it holds a 0, else -1.

    Args:
        matrix: [B, A, P] integer; 1 present, 0 absent, -1 uncertain, -2 not mentioned.
        healthy_is_absent: an anatomy that is only "normal", "clear", … counts as 0, so that the anatomy stream asks
            "is something wrong there?" and has to look. False is published: such an anatomy counts as 1.
        unmentioned_is_absent: what is mentioned nowhere counts as 0; False is published: it counts as -1.

    Returns:
        Pathology labels [B, P] and anatomy labels [B, A], 1, 0 or -1, dtype of the matrix.
    """
    # Present (1) > absent (0) > uncertain (-1) > not mentioned (-2), so the rule is a maximum.
    pathology, anatomy = matrix.amax(dim=1), matrix.amax(dim=2)
    if healthy_is_absent:
        found = matrix.index_fill(2, healthy_columns(matrix.device), UNCERTAIN).amax(dim=2)
        anatomy = torch.where(anatomy >= ABSENT, found.clamp(min=ABSENT), anatomy)
    unmentioned = ABSENT if unmentioned_is_absent else UNCERTAIN
    pathology, anatomy = (labels.masked_fill(labels == UNMENTIONED, unmentioned) for labels in (pathology, anatomy))
    return pathology, anatomy


@cache  # sent to a GPU once: sending them every step would make the host wait
def healthy_columns(device: torch.device) -> Tensor:
    """Columns of a label matrix, int64 on the device, whose pathologies are words of health."""
    return torch.tensor([PATHOLOGY_INDEX[name] for name in HEALTHY], device=device)


def existence_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy over the queries with a label; zero when there is none.

    Args:
        logits: [B, Q, 2] float; class 1 is "present".
        labels: [B, Q] integer; 1, 0, or -1 (left out).

    Returns:
        Scalar float32.
    """
    summed = F.cross_entropy(
        logits.float().flatten(0, 1),  # [B * Q, 2]
        labels.long().flatten(),  # [B * Q]
        ignore_index=UNCERTAIN,
        reduction="sum",
    )
    return summed / (labels != UNCERTAIN).sum().clamp(min=1)
