"""The label matrix of a study: one state for every anatomy and pathology that its report speaks of."""

from collections.abc import Iterable

import numpy as np

from medslip_core.vocabulary import ABSENT, ANATOMIES, ANATOMY_INDEX, PATHOLOGIES, PATHOLOGY_INDEX, PRESENT, UNCERTAIN

from .reader import Triplet

POLICIES = {"drop": UNCERTAIN, "present": PRESENT, "absent": ABSENT}
"""What an uncertain mention counts as."""


def study_matrix(triplets: Iterable[Triplet], uncertain: str = "drop") -> np.ndarray:
    """Matrix M of one study.

    Args:
        triplets: of one report, in any order and number.
        uncertain: "drop" (as if not mentioned), "present" or "absent".

    Returns:
        int8 [A=51, P=75]: 1 present (wins over absent), 0 absent, -1 not mentioned or uncertain.

    Raises:
        ValueError: no such policy.
    """
    if uncertain not in POLICIES:
        raise ValueError(f"uncertain={uncertain!r}: choose one of {sorted(POLICIES)}")
    matrix = np.full((len(ANATOMIES), len(PATHOLOGIES)), UNCERTAIN, dtype=np.int8)
    for triplet in triplets:
        state = POLICIES[uncertain] if triplet.state == UNCERTAIN else triplet.state
        cell = ANATOMY_INDEX[triplet.anatomy], PATHOLOGY_INDEX[triplet.pathology]
        matrix[cell] = max(matrix[cell], state)
    return matrix
