"""One study as its reader gives it -> what the corpus holds of it, in the corpus's own frame; or why that cannot be."""

import json
import math
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_prep.errors import DataError, RecordError, defect
from data_prep.geometry import Geometry
from data_prep.image import read_grey
from data_prep.study import Box, Study
from medslip_core.corpus import LABEL_PREFIX
from medslip_core.vocabulary import ANATOMY_INDEX, PATHOLOGY_INDEX

if TYPE_CHECKING:
    from data_prep.phantom.truth import Truth
    from data_prep.reports import Triplet

BOX_TOLERANCE_PX = 1.0
"""How far a box may stand out of its frame by rounding; it is then cut at the edge."""

ASPECT_TOLERANCE = 0.02
"""Largest relative difference between a mask's and its image's aspect ratio."""


@dataclass(frozen=True)
class Recipe:
    """What is done to each study."""

    root: Path
    image_size_px: int
    fit: str
    masks: bool
    truth: Path | None
    percentiles: tuple[float, float] | None = None


@dataclass(frozen=True)
class Prepared:
    """A study in the corpus's own frame, ready to be written."""

    manifest: dict  # patient_id is None where there is a patient_digest
    patient_digest: str | None  # of who is known only from the DICOM header; for the writer, not for the corpus
    pixels: bytes  # uint8 [S, S]
    report: str | None
    triplets: list[tuple[int, int, int, str, int, int]]  # anatomy, pathology, state, source, start, end
    boxes: list[tuple[str, float, float, float, float]]
    masks: list[tuple[str, str, bytes]]  # kind, label, packed bits


@dataclass(frozen=True)
class SetAside:
    """A study that could not be prepared, and why."""

    source_path: str
    study_id: str
    reason: str


def prepare_study(study: Study, recipe: Recipe) -> Prepared | SetAside:
    """Brings one study into the corpus's frame, or says why it cannot be done.

    Raises:
        DataError: a fault of the dataset as a whole; anything else that goes wrong is a fault of this record.
    """
    try:
        return _prepare_study(study, recipe)
    except RecordError as error:
        return set_aside(study, recipe, str(error))
    except DataError:
        raise
    except Exception as error:
        return set_aside(study, recipe, f"{study.image_path}: {defect(error)}. Please report this.")


def set_aside(study: Study, recipe: Recipe, reason: str) -> SetAside:
    """The entry of a study that cannot be used, without this machine's path to the dataset."""
    reason = reason.replace(f"{recipe.root}{os.sep}", "")
    return SetAside(_relative(study.image_path, recipe.root), study.study_id, _printable(reason))


def _prepare_study(study: Study, recipe: Recipe) -> Prepared:
    if study.fault is not None:
        raise RecordError(study.image_path, study.fault.rstrip("."), "This record is set aside.")
    grey = read_grey(study.image_path, recipe.percentiles)
    height, width = grey.pixels.shape
    geometry = Geometry(width, height, recipe.image_size_px, recipe.fit, study.mirrored)
    patient_digest = None if study.patient_id else grey.patient_digest
    manifest = {
        "study_id": study.study_id,
        "image_id": study.image_id,
        "patient_id": None if patient_digest else study.patient_id or study.study_id,
        "dataset": study.dataset,
        "split": study.split,
        "view": study.view or grey.view,
        "age_years": study.age_years if study.age_years is not None else grey.age_years,
        "sex": study.sex or grey.sex,
        "width_px": width,
        "height_px": height,
        "source_path": _relative(study.image_path, recipe.root),
        "provenance": json.dumps(study.provenance),
        **{LABEL_PREFIX + name: value for name, value in study.labels.items()},
    }
    return Prepared(
        manifest=manifest,
        patient_digest=patient_digest,
        pixels=geometry.image(grey.pixels).tobytes(),
        report=study.report,
        triplets=_triplets(study, recipe),
        boxes=[moved for box in study.boxes if (moved := move_box(box, study, geometry)) is not None],
        masks=unite_masks(study, geometry, recipe) if recipe.masks else [],
    )


def _triplets(study: Study, recipe: Recipe) -> list[tuple[int, int, int, str, int, int]]:
    if study.report is not None and not study.report.strip():
        place = f"{study.image_path} ({', '.join(f'{name} {value}' for name, value in study.provenance.items())})"
        raise RecordError(place, "the report is empty", "Download it again; this record is set aside.")
    triplets = [(t.anatomy, t.pathology, t.state, "report", t.start, t.end) for t in _of_report(study)]
    if recipe.truth is not None:
        truth = _truth(recipe.truth, study).triplets(study.study_id)
        triplets += [(anatomy, pathology, state, "truth", -1, -1) for anatomy, pathology, state in truth]
    return [(ANATOMY_INDEX[anatomy], PATHOLOGY_INDEX[pathology], *rest) for anatomy, pathology, *rest in triplets]


def _of_report(study: Study) -> "list[Triplet]":
    """What others read from the report, or else what we do."""
    if study.triplets is not None:
        return study.triplets()
    if study.report is None:
        return []
    from data_prep.reports import read_report  # its lexicon is loaded only where there is text

    return read_report(study.report)


def move_box(box: Box, study: Study, geometry: Geometry) -> tuple[str, float, float, float, float] | None:
    """A box in the corpus's frame: label, x, y, width, height; None where a crop leaves nothing of it.

    Raises:
        RecordError: not a box, or one that lies outside its image.
    """
    frame_width, frame_height = study.box_frame_px or (geometry.width_px, geometry.height_px)
    numbers = (box.x, box.y, box.width, box.height)
    right, bottom = box.x + box.width, box.y + box.height
    if not all(map(math.isfinite, numbers)) or box.width <= 0 or box.height <= 0:
        problem = f"box x, y, width, height = {numbers} is not a box"
        raise RecordError(box.source, problem, "Correct the row; this record is set aside.")
    if min(box.x, box.y, frame_width - right, frame_height - bottom) < -BOX_TOLERANCE_PX:
        problem = f"box x, y, width, height = {numbers} lies outside the image of {frame_width} x {frame_height} px"
        raise RecordError(box.source, problem, "Correct the row; this record is set aside.")
    left, top = max(box.x, 0.0), max(box.y, 0.0)
    right, bottom = min(right, frame_width), min(bottom, frame_height)
    scale_x, scale_y = geometry.width_px / frame_width, geometry.height_px / frame_height
    moved = geometry.box(left * scale_x, top * scale_y, (right - left) * scale_x, (bottom - top) * scale_y)
    return (box.label, *moved) if moved is not None else None


def unite_masks(study: Study, geometry: Geometry, recipe: Recipe) -> list[tuple[str, str, bytes]]:
    """Every mask in the corpus's frame, those of one kind and name united: kind, label, packed bits.

    Raises:
        RecordError: a mask that cannot be read, or that has another shape than its image.
    """
    united: dict[tuple[str, str], np.ndarray] = {}
    given = [(source.kind, source.label, source.load()) for source in study.masks]
    if recipe.truth is not None:
        by_kind = _truth(recipe.truth, study).masks(study.study_id)
        given += [(kind, label, mask) for kind, masks in by_kind.items() for label, mask in masks.items()]
    for kind, label, mask in given:
        height, width = mask.shape
        aspect, image_aspect = width / height, geometry.width_px / geometry.height_px
        if abs(aspect / image_aspect - 1) > ASPECT_TOLERANCE:
            problem = f"{label} mask is {width} x {height} px, the image {geometry.width_px} x {geometry.height_px} px"
            raise RecordError(study.image_path, problem, "Download image and mask again; this record is set aside.")
        moved = replace(geometry, width_px=width, height_px=height).mask(mask)
        united[kind, label] = united.get((kind, label), False) | moved
    return [(kind, label, np.packbits(mask).tobytes()) for (kind, label), mask in united.items() if mask.any()]


def _truth(folder: Path, study: Study) -> "Truth":
    """The phantom's truth, which has to know the study."""
    from data_prep.phantom.truth import TABLE_NAME

    try:
        table = (folder / TABLE_NAME).stat()
        truth = _open_truth(folder, table.st_size, table.st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(folder, "no truth table", "Name the folder that the phantom wrote, or leave it out.") from error
    if study.study_id not in truth.row_of:
        raise RecordError(folder, f"no study {study.study_id!r}", "Name the truth folder that belongs to this dataset.")
    return truth


@lru_cache(maxsize=1)
def _open_truth(folder: Path, size: int, mtime_ns: int) -> "Truth":
    """The truth, opened once; size and time tell it from another that was drawn there before."""
    from data_prep.phantom.truth import Truth

    return Truth.open(folder)


def _relative(path: Path, root: Path) -> str:
    return _printable(path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name)


def _printable(text: str) -> str:
    """Text that can be written as UTF-8 even if it names a file whose name is not."""
    return text.encode("utf-8", "backslashreplace").decode()
