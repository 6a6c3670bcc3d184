"""One study looked at: whether it could be prepared, and whether its image looks like a chest radiograph at all.

What would set a record aside is asked of the very functions that prepare it, so check and preparation agree.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data_prep.check.finding import ERROR, WARNING, Finding
from data_prep.errors import WORKER_DIED, RecordError, UnreadableImage, defect
from data_prep.geometry import Geometry
from data_prep.image import GreyImage, read_grey
from data_prep.image.read import LFS_POINTER
from data_prep.record import Recipe, move_box, unite_masks
from data_prep.study import Study

THUMBNAIL_PX = 96

BLANK_LEVELS = 16
"""An image is nearly blank if 98 % of its small copy lie within so many of the 256 grey levels."""

MEAN_CHEST = np.array(
    [[5, 6, 9, 14], [11, 13, 12, 14], [14, 14, 10, 13], [14, 14, 11, 15],
     [13, 14, 13, 17], [11, 15, 16, 18], [10, 16, 19, 20], [10, 17, 20, 21]]
)  # fmt: skip
"""Left half of the mean frontal radiograph in tens of grey levels, the right half being its mirror image: dark corners,
dark lungs, bright spine and abdomen. Measured over 358 images of NIH ChestX-ray14."""

INVERTED_BELOW = -0.25
"""Rank correlation with MEAN_CHEST under which an image is taken for inverted. None of 1,169 radiographs of NIH, RSNA
and covid-chestxray-dataset lies there, and 97 % of their inverted copies do."""


@dataclass(frozen=True)
class Inspection:
    """What one study's image turned out to be.

    view, width_px, height_px, content and thumbnail are None where the image cannot be read.
    """

    image_id: str
    path: str  # below the root
    patient_id: str | None
    split: str | None
    findings: tuple[Finding, ...]
    given: tuple[str, ...] = ()  # which of patient, age and sex the table or the header tells
    view: str | None = None  # of the table, else of the header
    width_px: int | None = None
    height_px: int | None = None
    content: str | None = None  # digest of the grey levels; None if they are constant
    thumbnail: np.ndarray | None = None  # uint8 [THUMBNAIL_PX, THUMBNAIL_PX]


def inspect_all(studies: list[Study], root: Path) -> list[Inspection]:
    """Looks at some studies."""
    return [inspect(study, root) for study in studies]


def inspect(study: Study, root: Path) -> Inspection:
    """Looks at one study; whatever is wrong with it becomes a finding."""
    findings: list[Finding] = []
    image = {}
    try:
        findings += _text(study)
        grey = read_grey(study.image_path)
        findings += _annotations(study, grey, root)
        findings += look(grey, study)
        constant = grey.pixels.min() == grey.pixels.max()
        height, width = grey.pixels.shape
        known = {
            "patient": study.patient_id or grey.patient_digest,
            "age": grey.age_years if study.age_years is None else study.age_years,
            "sex": study.sex or grey.sex,
        }
        image = {
            "given": tuple(name for name, value in known.items() if value is not None),
            "view": study.view or grey.view,
            "width_px": width,
            "height_px": height,
            "content": None if constant else _digest(grey.pixels),
            "thumbnail": Geometry(width, height, THUMBNAIL_PX).image(grey.pixels),
        }
    except UnreadableImage as error:
        findings.append(Finding.of("Git LFS pointer" if _is_pointer(study.image_path) else "unreadable image", error))
    except Exception as error:
        findings.append(Finding(ERROR, "defect", str(study.image_path), defect(error), "Please report this."))
    return _inspection(study, root, findings, image)


def lost(study: Study, root: Path) -> Inspection:
    """What is said of a study whose worker died over it."""
    death = Finding(ERROR, "defect", str(study.image_path), WORKER_DIED, "Convert the file.")
    return _inspection(study, root, [death], {})


def _inspection(study: Study, root: Path, findings: list[Finding], image: dict) -> Inspection:
    prefix = f"{root}{os.sep}"
    below = tuple(finding.below(prefix) for finding in findings)
    path = str(study.image_path).removeprefix(prefix)
    return Inspection(study.image_id, path, study.patient_id, study.split, below, **image)


def _text(study: Study) -> list[Finding]:
    where = str(study.image_path)
    if study.fault is not None:
        return [Finding(ERROR, "incomplete record", where, study.fault)]
    if study.report is not None and not study.report.strip():
        where = " ".join(str(study.provenance[key]) for key in ("report", "table", "row") if key in study.provenance)
        return [Finding(ERROR, "empty report", where, "the report is empty", "Download it again.")]
    return []


def _annotations(study: Study, grey: GreyImage, root: Path) -> list[Finding]:
    height, width = grey.pixels.shape
    geometry = Geometry(width, height, THUMBNAIL_PX)
    findings = []
    for box in study.boxes:
        try:
            move_box(box, study, geometry)
        except RecordError as error:
            findings.append(Finding.of("box out of its image", error))
    try:
        unite_masks(study, geometry, Recipe(root, THUMBNAIL_PX, geometry.fit, masks=True, truth=None))
    except RecordError as error:
        findings.append(Finding.of("unusable mask", error))
    return findings


def look(grey: GreyImage, study: Study) -> list[Finding]:
    """Whether the grey levels are those of a radiograph: neither blank nor inverted."""
    where, again = str(study.image_path), "Look at it; download it again, or take it out."
    if grey.pixels.min() == grey.pixels.max():
        problem = f"every pixel has the grey level {grey.pixels.flat[0]}"
        return [Finding(ERROR, "constant image", where, problem, again)]
    small = cv2.resize(grey.pixels, (64, 64), interpolation=cv2.INTER_AREA)
    low, high = np.quantile(small, [0.01, 0.99])
    if high - low < BLANK_LEVELS:
        problem = f"98 % of it lies between the grey levels {low:.0f} and {high:.0f}"
        return [Finding(WARNING, "nearly blank image", where, problem, again)]
    view = (study.view or grey.view or "PA").upper()
    if view.startswith(("PA", "AP", "FRONTAL")) and (likeness := chest_likeness(grey.pixels)) < INVERTED_BELOW:
        problem = f"bright where a chest is dark (rank correlation with a mean chest {likeness:.2f})"
        remedy = "Look at it; invert it, or correct its photometric interpretation."
        return [Finding(WARNING, "looks inverted", where, problem, remedy)]
    return []


def chest_likeness(pixels: np.ndarray) -> float:
    """Rank correlation of an image with the mean frontal radiograph: near -1 if it is inverted.

    Args:
        pixels: uint8 [H, W].
    """
    expected = np.hstack([MEAN_CHEST, MEAN_CHEST[:, ::-1]])
    small = cv2.resize(pixels, expected.shape, interpolation=cv2.INTER_AREA)
    ranks = small.ravel().argsort(kind="stable").argsort(kind="stable")
    return float(np.corrcoef(ranks, expected.ravel())[0, 1])


def _digest(pixels: np.ndarray) -> str:
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels))
    return digest.hexdigest()


def _is_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False
