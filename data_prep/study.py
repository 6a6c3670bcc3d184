"""One study as the readers give it: an image on disk and everything its dataset says about it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from data_prep.reports import Triplet


@dataclass(frozen=True)
class Box:
    """A box in pixels of the study's `box_frame_px`; x and y are its upper left corner."""

    label: str  # class of the dataset, as in the study's labels
    x: float
    y: float
    width: float
    height: float
    source: str  # table and row, for error messages


@dataclass(frozen=True)
class MaskSource:
    """A mask that is read only when the study is prepared."""

    label: str  # a name of the vocabulary
    kind: str  # "pathology" or "anatomy"
    load: Callable[[], np.ndarray]  # -> bool [H, W]; picklable, so a functools.partial and not a lambda


@dataclass(frozen=True)
class Study:
    """One image with its labels, boxes, masks and report.

    `study_id` groups the images of one examination, `image_id` is unique in a dataset. `patient_id` None means that
    the tables do not say: the writer then numbers the patients of the DICOM headers, or else takes the study's own id.
    """

    study_id: str
    image_id: str
    patient_id: str | None
    dataset: str
    image_path: Path
    split: str | None = None  # official: "train", "validate", "test", or "train_val" for the two together
    view: str | None = None  # "PA", "AP", …; None for DICOM sets: the writer asks the header
    age_years: float | None = None
    sex: str | None = None  # "M" or "F"
    report: str | None = None
    labels: dict[str, float] = field(default_factory=dict)  # class -> 1 present, 0 absent, NaN unknown
    boxes: tuple[Box, ...] = ()
    box_frame_px: tuple[int, int] | None = None  # (width, height) in which boxes are measured; None: the image's own
    masks: tuple[MaskSource, ...] = ()
    mirrored: bool = False  # the file shows left and right exchanged; boxes and masks are measured in it as it is
    triplets: Callable[[], "list[Triplet]"] | None = None  # of the report, by others; picklable. None: it is read here
    provenance: dict[str, str | int] = field(default_factory=dict)  # table, row, licence …
    fault: str | None = None  # why the reader could not complete the record; the writer then sets it aside


class Studies(Iterator[Study]):
    """An iterator of studies that knows beforehand how many it will give, for progress bars.

    Args:
        studies: to give.
        total: how many they are.
        absent: images that the dataset's table names and that are not there.
    """

    def __init__(self, studies: Iterable[Study], total: int, absent: Sequence[str] = ()) -> None:
        self._studies, self._left, self.absent = iter(studies), total, absent

    def __next__(self) -> Study:
        study = next(self._studies)
        self._left -= 1
        return study

    def __length_hint__(self) -> int:
        return max(self._left, 0)
