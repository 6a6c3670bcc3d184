"""Which anatomies of the vocabulary are parts of which, and what a label at a part says of the whole.

A report names one place; the vocabulary also holds the places around it (`left_hilar` and `hilar_unspec`,
`left_upper_lung`, `left_lung_unspec` and `pulmonary`). An opacity in the left upper lung lies in the left lung too.
"""

from functools import cache

import torch
from torch import Tensor

from medslip_core.losses.existence import healthy_columns
from medslip_core.vocabulary import ANATOMIES, PRESENT

_LOBES = {"left": ("lower_left_lobe", "upper_left_lobe"),
          "right": ("lower_right_lobe", "middle_right_lobe", "upper_right_lobe")}  # fmt: skip

PARTS: dict[str, tuple[str, ...]] = {
    **{f"{side}_upper_lung": (f"{side}_apical_lung",) for side in _LOBES},
    **{
        f"{side}_lung_unspec": (*(f"{side}_{zone}_lung" for zone in ("lower", "mid", "upper")), *lobes)
        for side, lobes in _LOBES.items()
    },
    **{
        f"{organ}_unspec": (f"left_{organ}", f"right_{organ}")
        for organ in ("hilar", "pleural", "diaphragm", "costophrenic")
    },
    "lung_apices": ("left_apical_lung", "right_apical_lung"),
    "lung_bases": ("left_lower_lung", "right_lower_lung"),
    "parenchymal": ("left_lung_unspec", "right_lung_unspec", "lung_apices", "lung_bases"),
    "pulmonary": ("parenchymal", "interstitium"),
    "cardiopulmonary": ("pulmonary", "heart_size", "heart_border"),
    "mediastinal": ("aorta", "svc"),
}
"""Whole -> its direct parts."""


def _members(whole: str) -> set[str]:
    """The anatomy itself and all that lies within it, over any number of steps."""
    return {whole}.union(*(_members(part) for part in PARTS.get(whole, ())))


_WITHIN = torch.tensor([[float(part in _members(whole)) for part in ANATOMIES] for whole in ANATOMIES])
"""[A, A]: 1 where the column's anatomy is the row's or lies within it."""


@cache  # sent to a GPU once: sending them every step would make the host wait
def _within(device: torch.device) -> Tensor:
    return _WITHIN.to(device)


def with_wholes(matrix: Tensor) -> Tensor:
    """The label matrix, where what is present at a part is present at every whole around it.

    Words of health stay where they were said: a clear left lung does not make the lungs clear.

    Args:
        matrix: [B, A, P] integer; 1 present, 0 absent, below 0 unknown. Not changed.
    """
    present = (matrix == PRESENT).float()
    present = present.index_fill(2, healthy_columns(matrix.device), 0)
    reached = torch.einsum("wa,bap->bwp", _within(matrix.device), present) > 0
    return torch.where(reached, torch.full_like(matrix, PRESENT), matrix)
