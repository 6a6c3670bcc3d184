"""What a run learns from: label matrices and labels, by its parameters' meaning of what is not plainly stated."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from medslip_core.anatomy_tree import with_wholes
from medslip_core.corpus import PreparedCorpus
from medslip_core.losses.existence import stream_labels
from medslip_core.losses.objective import LossTerms
from medslip_core.pretrain_params import PretrainParams
from medslip_core.transfer import to_device
from medslip_core.vocabulary import ABSENT, PRESENT, UNCERTAIN

VERSION = 2
"""Of what is done here: a run that was begun under another one is not resumed."""

STATES = {"unknown": UNCERTAIN, "present": PRESENT, "absent": ABSENT}


def label_matrix(
    params: PretrainParams, corpus: PreparedCorpus, rows: np.ndarray, device: torch.device | str = "cpu"
) -> Tensor:
    """Label matrices [B, A, P] int8 on the device, 1 / 0 / -1 / -2 as `PreparedCorpus.matrix` gives them."""
    matrix = to_device(corpus.matrix(rows, STATES[params.uncertain_as], params.label_source), device)
    return with_wholes(matrix) if params.parts_imply_wholes else matrix


def pathology_labels(params: PretrainParams, corpus: PreparedCorpus, rows: np.ndarray) -> np.ndarray:
    """Labels per pathology [B, P] int8: 1 present, 0 absent, -1 unknown."""
    return stream_labels(label_matrix(params, corpus, rows), **params.label_rules)[0].numpy()


def label_counts(matrix: Tensor, healthy_is_absent: bool = False, unmentioned_is_absent: bool = False) -> Tensor:
    """How many labels each loss term averages over, [5] float32 in the order of `LossTerms.stacked`.

    Args:
        matrix: [B, A, P] int8, 1 / 0 / -1 / -2.
        healthy_is_absent, unmentioned_is_absent: see `stream_labels`.
    """
    pathology, anatomy = stream_labels(matrix, healthy_is_absent, unmentioned_is_absent)
    counts = LossTerms(
        existence_pathology=(pathology >= ABSENT).sum(),
        existence_anatomy=(anatomy >= ABSENT).sum(),
        protocl_pathology=(pathology == PRESENT).sum(),
        protocl_anatomy=(matrix.amax(dim=2) == PRESENT).sum(),  # healthy anatomies too
        icl=(matrix >= ABSENT).sum(),
    )
    return counts.stacked().float()
