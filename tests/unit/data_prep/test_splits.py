"""Splits by patient: official ones kept, drawn ones stable, leaks found."""

import math
from collections import Counter

import pandas as pd
import pytest

from data_prep.errors import DataError
from data_prep.splits import assign_split, check_no_leak, check_shares


def test_official_splits_are_kept():
    for split in ("train", "validate", "test"):
        assert assign_split("p1", split, seed=0) == split


def test_shares_are_met_and_another_seed_draws_others():
    patients = [f"p{number}" for number in range(5000)]
    drawn = [assign_split(patient, None, seed=3, shares=(0.5, 0.2, 0.3)) for patient in patients]
    shares = {split: count / 5000 for split, count in Counter(drawn).items()}
    assert shares == pytest.approx({"train": 0.5, "validate": 0.2, "test": 0.3}, abs=0.03)
    assert drawn != [assign_split(patient, None, seed=4, shares=(0.5, 0.2, 0.3)) for patient in patients]


def test_a_patient_is_drawn_the_same_whatever_else_is_there():
    # A figure fixed once: a change of the hash would move patients between published splits.
    assert [assign_split(f"{n:08d}", None, seed=0) for n in range(6)] == [
        "test",
        "train",
        "test",
        "train",
        "test",
        "train",
    ]


def test_train_val_is_divided_without_touching_test():
    drawn = Counter(assign_split(f"p{number}", "train_val", seed=0) for number in range(4000))
    assert set(drawn) == {"train", "validate"}
    assert drawn["validate"] / 4000 == pytest.approx(0.1 / 0.8, abs=0.03)


def test_unknown_split_and_wrong_shares_are_named():
    with pytest.raises(DataError, match="split 'dev': not one that is known. Use train"):
        assign_split("p1", "dev", seed=0)
    with pytest.raises(DataError, match=r"shares \(0.5, 0.1, 0.1\): not three shares that sum to 1"):
        assign_split("p1", None, seed=0, shares=(0.5, 0.1, 0.1))
    with pytest.raises(DataError, match="not three shares that sum to 1"):
        check_shares((math.nan, 0.5, 0.5))


def test_a_patient_in_two_splits_is_named_with_its_images():
    manifest = pd.DataFrame(
        {"patient_id": ["p1", "p2", "p2"], "image_id": ["a", "b", "c"], "split": ["train", "train", "test"]}
    )
    with pytest.raises(DataError, match=r"patient p2 .* b in train \(row 1\), c in test \(row 2\)"):
        check_no_leak(manifest)
    check_no_leak(manifest.iloc[:2])
