"""Who is learned from: a split by patient, and label fractions of its training part.

Fractions are nested (who is in 1 % is in 10 %), seeded, stratified and by patient: patients of each stratum are spread
evenly over one order, and a fraction is the beginning of that order, so it holds its share of every stratum, give or
take one patient. A patient's stratum is the rarest class it shows. Validation and test are never touched.

Source: our own. The published fine-tuning draws its 1 % and 10 % by image and without a seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from medslip_core.files import write_whole
from medslip_core.randomness import random_bits, uniform

PARTS = ("train", "validate", "test")
COLUMNS = ["image_id", "patient_id", "split"]


class SplitError(ValueError):
    """A split that cannot be used; the message says what is wrong with it and what to do."""


@dataclass(frozen=True)
class Split:
    """Which images are trained on, validated on and tested on.

    Args:
        table: columns row (of the corpus), image_id, patient_id, split ("train", "validate" or "test").

    Raises:
        SplitError: a part without images, an unknown part, or a patient in two parts.
    """

    table: pd.DataFrame

    def __post_init__(self) -> None:
        table = self.table.sort_values("image_id", ignore_index=True)
        object.__setattr__(self, "table", table)
        unknown = sorted(set(table["split"]) - set(PARTS))
        if unknown:
            raise SplitError(f"split {unknown[0]!r} is none of {', '.join(PARTS)}")
        parts = table.groupby("patient_id")["split"].nunique()
        if (parts > 1).any():
            patient = parts.index[parts > 1][0]
            images = table[table["patient_id"] == patient].drop_duplicates("split")
            places = " and ".join(f"{one.image_id} in {one.split}" for one in images.itertuples())
            raise SplitError(f"patient {patient} stands in two parts: {places}. Keep a patient's images together.")
        for part in PARTS:
            if part not in set(table["split"]):
                raise SplitError(
                    f"no image in the part {part!r}: prepare the corpus with shares for all three of "
                    f"{', '.join(PARTS)}, or bring a split file"
                )

    def rows(self, part: str) -> np.ndarray:
        """Corpus rows of a part, sorted: int64 [n]."""
        return np.sort(self.table.loc[self.table["split"] == part, "row"].to_numpy(np.int64))

    def only(self, rows: np.ndarray) -> Split:
        """The split of some rows, those that have the truth that a task needs.

        Raises:
            SplitError: there are none, or none in a part.
        """
        if not len(rows):
            raise SplitError("no image has a label of this task: prepare the corpus with labels, or name others")
        return Split(self.table[self.table["row"].isin(rows)])

    def text(self) -> str:
        """The split as CSV, sorted by image: image_id, patient_id, split."""
        return self.table[COLUMNS].to_csv(index=False, lineterminator="\n")

    @cached_property
    def sha256(self) -> str:
        """Of `text`: what `sha256sum` says of the file that `write` writes."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write `text`, whole or not at all; `read_split` reads it."""
        write_whole(path, self.text().encode())


def corpus_split(corpus) -> Split:
    """The split a corpus was prepared with: the dataset's official one where it has one, else drawn by patient.

    Raises:
        SplitError: see `Split`.
    """
    table = corpus.manifest[["image_id", "patient_id", "split"]].reset_index(drop=True)
    try:
        return Split(table.assign(row=np.arange(len(table))))
    except SplitError as error:
        raise SplitError(f"{corpus.folder}: {error}") from error


def read_split(path: str | Path, corpus) -> Split:
    """A split file that a user brings; images that it does not name are left out.

    Args:
        path: CSV with columns image_id and split.
        corpus: `PreparedCorpus` with these images.

    Raises:
        SplitError: a column missing, an image named twice or not in the corpus, or see `Split`.
    """
    table = pd.read_csv(path, dtype=str)
    missing = {"image_id", "split"} - set(table.columns)
    if missing:
        raise SplitError(f"{path}: no column {sorted(missing)}; it has {list(table.columns)}")
    rows = pd.Series(np.arange(len(corpus.manifest)), index=corpus.manifest["image_id"])
    unknown = ~table["image_id"].isin(rows.index)
    if unknown.any():
        first = table.loc[unknown, "image_id"].iloc[0]
        raise SplitError(f"{path}: {unknown.sum()} images are not in {corpus.folder}, e.g. {first!r}")
    if table["image_id"].duplicated().any():
        raise SplitError(
            f"{path}: {table.loc[table['image_id'].duplicated(), 'image_id'].iloc[0]!r} stands there twice"
        )
    row = rows[table["image_id"]].to_numpy()
    patient = corpus.manifest["patient_id"].to_numpy()[row]
    try:
        return Split(table[["image_id", "split"]].assign(row=row, patient_id=patient))
    except SplitError as error:
        raise SplitError(f"{path}: {error}") from error


def take_fraction(split: Split, positives: np.ndarray, fraction: float, seed: int) -> Split:
    """The split with only a fraction of its training patients.

    Args:
        split: of the corpus.
        positives: [N, C] bool, for every row of the corpus which classes it shows (one column for a mask).
        fraction: of the training patients, in (0, 1].
        seed: of the order; the same seed gives nested fractions.

    Raises:
        SplitError: the fraction holds no patient.
    """
    train = split.table[split.table["split"] == "train"]
    patients = _patient_order(train, positives, seed)
    count = int(np.floor(fraction * len(patients) + 0.5))
    if count == 0:
        raise SplitError(
            f"{fraction:.3%} of {len(patients)} training patients is nobody: choose at least "
            f"{0.5 / len(patients):.2%}, or bring more labelled patients"
        )
    left_out = (split.table["split"] == "train") & ~split.table["patient_id"].isin(patients[:count])
    return Split(split.table[~left_out])


def empty_classes(labels: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Classes of which no positive, or no negative, is among some labels [n, C] (1, 0 or NaN)."""
    return [
        name
        for name, column in zip(classes, labels.T, strict=True)
        if not ((column == 1).any() and (column == 0).any())
    ]


def _patient_order(train: pd.DataFrame, positives: np.ndarray, seed: int) -> np.ndarray:
    """All training patients, so that every beginning of the order holds its share of each stratum."""
    shown = pd.DataFrame(positives[train["row"]], index=train["patient_id"]).groupby(level=0).any().sort_index()
    patients, shown = shown.index.to_numpy(), shown.to_numpy(bool)  # [P], [P, C]
    classes = shown.shape[1]
    rank = np.argsort(np.argsort(shown.sum(axis=0), kind="stable"))  # 0: the rarest class
    stratum = np.where(shown, rank, classes).min(axis=1, initial=classes)  # `classes`: shows none
    draw = random_bits(seed, "label fraction", np.arange(len(patients)))
    position = np.zeros(len(patients))
    for one in np.unique(stratum):
        members = np.flatnonzero(stratum == one)
        members = members[np.argsort(draw[members], kind="stable")]
        position[members] = (np.arange(len(members)) + uniform(seed, "stratum", one)) / len(members)
    return patients[np.lexsort([draw, position])]
