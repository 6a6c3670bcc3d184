"""What is asked of the model, and where that really is: the boxes or masks of a label on the rows that show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from medslip_core.parameters import nearest
from medslip_core.vocabulary import ANATOMY_INDEX, PATHOLOGY_INDEX, pathologies_by_name

NEAR = 0.03
"""How far beside the truth `pointing_near` still counts, as a share of the image's side: the 15 px that Zhang et al.
allow on photographs of about 500 px."""


@dataclass(frozen=True)
class Truth:
    """Where one label really is, on the rows that show it.

    label: its name; kind: "boxes" or "masks"; rows, patients: [n]; masks: [n, S, S] bool in corpus pixels.
    """

    label: str
    kind: str
    rows: np.ndarray
    patients: np.ndarray
    masks: np.ndarray

    @cached_property
    def near(self) -> np.ndarray:
        """The masks and what lies within `NEAR` of them, [n, S, S] bool."""
        return widened(self.masks, NEAR * self.masks.shape[-1])


def widened(masks: np.ndarray, radius_px: float) -> np.ndarray:
    """Masks [n, S, S] bool, with every pixel whose centre is at most `radius_px` from one of theirs."""
    reach, size = int(radius_px), masks.shape[-1]
    wide = np.zeros_like(masks)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if down**2 + right**2 <= radius_px**2:
                to_rows, to_columns = (slice(max(0, step), size + min(0, step)) for step in (down, right))
                of_rows, of_columns = (slice(max(0, -step), size + min(0, -step)) for step in (down, right))
                wide[:, to_rows, to_columns] |= masks[:, of_rows, of_columns]
    return wide


def truth_from_boxes(corpus, rows: np.ndarray, labels: Sequence[str]) -> dict[str, Truth]:
    """All boxes of each label, as one mask per row. A pixel is inside if its centre is.

    Args:
        labels: classes of the dataset, as `corpus.boxes` names them.

    Returns:
        label -> `Truth` on the rows that have such a box, perhaps none.
    """
    centre = np.arange(corpus.image_size_px) + 0.5

    def masks(row: int) -> dict[str, np.ndarray]:
        found = {}
        for box in corpus.boxes(row).itertuples():
            inside_x = (centre >= box.x) & (centre < box.x + box.width)
            inside_y = (centre >= box.y) & (centre < box.y + box.height)
            found[box.label] = found.get(box.label, False) | (inside_y[:, None] & inside_x[None, :])
        return found

    return _truths(corpus, rows, labels, "boxes", masks)


def boxes_of_parts(masks: np.ndarray) -> np.ndarray:
    """Masks [n, S, S] bool with the rectangle round each connected part filled."""
    from scipy import ndimage

    filled = np.zeros_like(masks)
    for one, mask in zip(filled, masks, strict=True):
        for part in ndimage.find_objects(ndimage.label(mask, np.ones((3, 3)))[0]):
            one[part] = True
    return filled


def truth_from_masks(corpus, rows: np.ndarray, kind: str, labels: Sequence[str]) -> dict[str, Truth]:
    """The mask of each label per row.

    Args:
        kind: "pathology" or "anatomy"; labels: names of the vocabulary.

    Returns:
        label -> `Truth` on the rows that have such a mask, perhaps none.
    """
    return _truths(corpus, rows, labels, "masks", lambda row: corpus.masks(row, kind))


def _truths(
    corpus, rows: np.ndarray, labels: Sequence[str], kind: str, masks_of: Callable[[int], dict[str, np.ndarray]]
) -> dict[str, Truth]:
    found: dict[str, dict[int, np.ndarray]] = {label: {} for label in labels}
    for row in map(int, rows):
        for label, mask in masks_of(row).items():
            if label in found and mask.any():
                found[label][row] = mask
    patients = corpus.manifest["patient_id"].to_numpy()
    none = np.zeros((0, corpus.image_size_px, corpus.image_size_px), bool)
    truths = {}
    for label, masks in found.items():
        shown = np.array(list(masks), dtype=np.int64)
        truths[label] = Truth(label, kind, shown, patients[shown], np.stack(list(masks.values())) if masks else none)
    return truths


@dataclass(frozen=True)
class Question:
    """One label of a corpus: what the model is asked for, and where that really is.

    query: a pathology or an anatomy of the vocabulary; test, validation: `Truth` on the rows of these splits that show
    the label, on validation perhaps none.
    """

    query: str
    test: Truth
    validation: Truth

    @property
    def label(self) -> str:
        """The label's name in its dataset."""
        return self.test.label

    def on_boxes(self) -> Question:
        """The same question of the boxes round the parts of its masks: datasets of anatomies give those."""
        test, validation = (
            replace(truth, kind="boxes", masks=boxes_of_parts(truth.masks)) for truth in (self.test, self.validation)
        )
        return Question(self.query, test, validation)


def questions_of(corpus, kind: str, labels: Sequence[str], most_rows: int = 0) -> list[Question]:
    """What can be asked of a corpus: those labels that at least one test row shows.

    Args:
        kind: "boxes" (labels are classes of the dataset), "masks" (pathologies) or "anatomies" (by their masks).
        most_rows: how many rows of each split to look at, from its first; 0 for all.

    Raises:
        ValueError: another kind, a label that none of this kind can have, or a class of boxes that no pathology stands
            for.
    """
    dataset = corpus.header["dataset"]
    kinds = {"boxes": corpus.classes, "masks": PATHOLOGY_INDEX, "anatomies": ANATOMY_INDEX}
    if kind not in kinds:
        raise ValueError(f"kind {kind!r} is none of {', '.join(kinds)}")
    known = kinds[kind]
    for label in labels:
        if label not in known:
            meant = f"; did you mean {nearest(label, known)!r}?" if known else ""  # a corpus may have no classes
            raise ValueError(f"{kind} of {dataset!r}: none is called {label!r}{meant}")
    found = []
    for split in ("test", "validate"):
        rows = corpus.rows(split)[: most_rows or None]
        if kind == "boxes":
            found.append(truth_from_boxes(corpus, rows, labels))
        else:
            found.append(truth_from_masks(corpus, rows, "pathology" if kind == "masks" else "anatomy", labels))
    test, validation = found
    shown = [label for label in labels if len(test[label].rows)]
    query = pathologies_by_name(dataset, labels) if kind == "boxes" else {label: label for label in labels}
    for label in shown:
        if label not in query:
            raise ValueError(
                f"boxes of {dataset!r}: no pathology stands for {label!r}; leave it out, or let the dataset call it by "
                "the name of one, as in 'Effusion' or 'Lung Opacity' (`vocabulary.LABEL_WORDS`)"
            )
    return [Question(query[label], test[label], validation[label]) for label in shown]


def rows_shown(asked: Sequence[Question]) -> np.ndarray:
    """All rows, of test and validation, that show what is asked for: int64 [n], sorted."""
    rows = [truth.rows for question in asked for truth in (question.test, question.validation)]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *rows]))
