"""Who is trained on and who is tested on: splits by patient, never by image."""

import hashlib
import math
from pathlib import Path

import pandas as pd

from data_prep.errors import DataError
from medslip_core.corpus import SPLITS

DEFAULT_SHARES = (0.7, 0.1, 0.2)
"""Shares of patients in train, validate and test where a dataset has no split of its own."""


def assign_split(
    patient_id: str, official: str | None, seed: int, shares: tuple[float, float, float] = DEFAULT_SHARES
) -> str:
    """The split of a patient: the official one, or one drawn by a hash of seed and patient.

    The draw depends on nothing else, so a patient falls into the same split in a subset, and in every dataset that
    uses the same patient ids.

    Args:
        patient_id: as in the dataset, or a digest of a DICOM header's; errors do not quote it.
        official: "train", "validate" or "test" is kept; "train_val" is divided by the shares of these two; None: all.
        seed: of the draw.
        shares: of train, validate and test; they sum to 1.

    Raises:
        DataError: an unknown official split, or shares that do not sum to 1.
    """
    if official in SPLITS:
        return official
    if official not in (None, "train_val"):
        raise DataError(f"split {official!r}", "not one that is known", "Use train, validate, test or train_val.")
    check_shares(shares)
    train, validate, test = shares
    digest = hashlib.sha256(f"{seed}:{patient_id}".encode()).digest()
    draw = int.from_bytes(digest[:8], "big") / 2**64
    if official == "train_val":
        draw *= train + validate
    return "train" if draw < train else "validate" if draw < train + validate or official else "test"


def check_shares(shares: tuple[float, float, float]) -> None:
    """Raises DataError unless these are three shares that sum to 1."""
    if len(shares) != 3 or min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise DataError(f"shares {shares}", "not three shares that sum to 1", "For example (0.7, 0.1, 0.2).")


def check_no_leak(rows: pd.DataFrame, where: str | Path = "split") -> None:
    """Raises DataError if a patient stands in two splits, naming patient, images and splits.

    Args:
        rows: columns patient_id, split, image_id; its index tells rows in the error. Empty cells say nothing.
        where: the table, for the error.
    """
    given = rows.dropna(subset=["patient_id", "split"]).drop_duplicates(["patient_id", "split"])
    leaking = given.loc[given["patient_id"].duplicated(), "patient_id"].unique()
    if len(leaking):
        images = given[given["patient_id"] == leaking[0]]
        places = ", ".join(f"{row.image_id} in {row.split} (row {row.Index})" for row in images.itertuples())
        problem = f"patient {leaking[0]} stands in two splits: {places}; {len(leaking)} such patients in all"
        raise DataError(where, problem, "Correct the split table so that a patient's images stay together.")
