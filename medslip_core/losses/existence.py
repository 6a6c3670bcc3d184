"""Existence: is the anatomy affected, is the pathology there?

Source: paper, L_exist; two-class cross entropy per query where the report says yes or no.
"""

import torch.nn.functional as F
from torch import Tensor

from medslip_core.vocabulary import UNCERTAIN


def stream_labels(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Labels per query: 1 if its column (row) of the matrix holds a 1, else 0 if it holds a 0, else -1.

    Args:
        matrix: [B, A, P] integer; 1 present, 0 absent, -1 not mentioned or uncertain.

    Returns:
        Pathology labels [B, P] and anatomy labels [B, A], dtype of the matrix.
    """
    # Present (1) > absent (0) > uncertain (-1), so the rule is a maximum.
    return matrix.amax(dim=1), matrix.amax(dim=2)


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
