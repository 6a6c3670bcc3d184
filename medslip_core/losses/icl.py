"""ICL, Intra-image Contrastive Learning: a pathology and the anatomy it lies at should have similar features.

Source: paper, L_ICL; the features' dot products (`MedslipOutput.icl_logits`) against the matrix.
"""

import torch.nn.functional as F
from torch import Tensor

from medslip_core.vocabulary import ABSENT, PRESENT


def icl_loss(logits: Tensor, matrix: Tensor) -> Tensor:
    """Binary cross entropy where the report says present or absent; zero where it says neither anywhere.

    Args:
        logits: [B, A, P] float.
        matrix: [B, A, P] integer; 1 present, 0 absent, below 0 left out.

    Returns:
        Scalar float32, the mean over all entries that are 0 or 1.
    """
    known = (matrix >= ABSENT).float()
    losses = F.binary_cross_entropy_with_logits(logits.float(), (matrix == PRESENT).float(), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)
