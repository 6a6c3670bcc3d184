"""From a dataset on disk to a prepared corpus, written by all cores and either whole or not there.

What is in the folder stands in `medslip_core.corpus`, which reads it. Records are prepared by worker processes and
written by this one in the reader's order, so the bytes do not depend on the number of processes.
"""

import hashlib
import inspect
import json
import logging
import math
import multiprocessing
import os
import shutil
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from operator import length_hint
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from data_prep import READERS
from data_prep.errors import DataError, RecordError
from data_prep.geometry import Geometry
from data_prep.image import read_grey
from data_prep.splits import DEFAULT_SHARES, assign_split, check_no_leak
from data_prep.study import Box, Study
from medslip_core.corpus import FORMAT, HEADER, LABEL_PREFIX, VERSION, header_digest
from medslip_core.vocabulary import ANATOMY_INDEX, PATHOLOGY_INDEX

if TYPE_CHECKING:
    from data_prep.phantom.truth import Truth

logger = logging.getLogger(__name__)

CHUNK = 16
"""Studies that a worker takes at a time."""

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


@dataclass(frozen=True)
class Prepared:
    """A study in the corpus's own frame, ready to be written."""

    manifest: dict
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


def prepare(
    dataset: str,
    root: str | Path,
    out: str | Path,
    image_size_px: int,
    fit: str = "pad",
    seed: int = 0,
    limit: int | None = None,
    truth: str | Path | None = None,
    processes: int | None = None,
    masks: bool = True,
    max_set_aside: float = 0.01,
    shares: tuple[float, float, float] = DEFAULT_SHARES,
    **reader_options: object,
) -> Path:
    """Prepares a corpus from a dataset as downloaded.

    Args:
        dataset: a name in `READERS`.
        root: the dataset's folder.
        out: folder of the corpus; one that is there already is replaced when the new one is complete.
        image_size_px: side of the square images.
        fit: "pad" keeps the aspect ratio, "squash" stretches to the square.
        seed: of the split by patient, where the dataset has none of its own.
        limit: read only so many studies, the first ones.
        truth: folder of the phantom's exact truth (triplets and masks) for this dataset.
        processes: worker processes; default: one per core this process may use.
        masks: whether masks are written.
        max_set_aside: largest share of records that may be unusable.
        shares: of patients in train, validate and test, where the dataset has no split of its own.
        reader_options: of the dataset's `read`.

    Returns:
        `out`.

    Raises:
        DataError: the dataset cannot be used, or too many of its records cannot.
    """
    root, out = Path(root), Path(out)
    reader = _reader(dataset, reader_options)
    if out.exists() and not (out / HEADER).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(out, "is there already and is no prepared corpus", "Name another folder, or remove this one.")
    Geometry(1, 1, image_size_px, fit)  # says at once if size or fit is wrong
    recipe = Recipe(root, image_size_px, fit, masks, Path(truth) if truth is not None else None)
    studies = reader(root, **reader_options)
    total = min(length_hint(studies), limit if limit is not None else length_hint(studies))
    if total == 0:
        raise DataError(root, "no study to prepare", "Check the root, the views and the limit.")
    processes = min(processes or _cores(), math.ceil(total / CHUNK))

    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir(parents=True)
    try:
        writer = _Writer(partial, seed, shares)
        results = _in_order(islice(studies, total), recipe, processes)
        for result in tqdm(results, total=total, desc=f"preparing {dataset}", unit="image"):
            writer.add(result)
            if len(writer.set_aside) > max_set_aside * total:
                raise _too_many(root, writer.set_aside, total, max_set_aside)
        parameters = {
            "fit": fit, "seed": seed, "limit": limit, "masks": masks, "truth": truth is not None,
            "shares": list(shares), "reader": {name: _plain(value) for name, value in reader_options.items()},
        }  # fmt: skip
        writer.finish({"dataset": dataset, "image_size_px": image_size_px, "fit": fit, "parameters": parameters})
        _put_in_place(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    logger.info("%s: %d images, %d set aside", out, writer.count, len(writer.set_aside))
    return out


def prepare_study(study: Study, recipe: Recipe) -> Prepared | SetAside:
    """Brings one study into the corpus's frame, or says why it cannot be done."""
    try:
        return _prepare_study(study, recipe)
    except RecordError as error:
        reason = str(error).replace(f"{recipe.root}{os.sep}", "")
        return SetAside(_relative(study.image_path, recipe.root), study.study_id, reason)


def _prepare_study(study: Study, recipe: Recipe) -> Prepared:
    if study.fault is not None:
        raise RecordError(study.image_path, study.fault.rstrip("."), "This record is set aside.")
    grey = read_grey(study.image_path)
    height, width = grey.pixels.shape
    geometry = Geometry(width, height, recipe.image_size_px, recipe.fit)
    manifest = {
        "study_id": study.study_id,
        "image_id": study.image_id,
        "patient_id": study.patient_id or grey.patient_digest or study.study_id,
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
        pixels=geometry.image(grey.pixels).tobytes(),
        report=study.report,
        triplets=_triplets(study, recipe),
        boxes=[_box(box, study, geometry) for box in study.boxes],
        masks=_masks(study, geometry, recipe) if recipe.masks else [],
    )


def _triplets(study: Study, recipe: Recipe) -> list[tuple[int, int, int, str, int, int]]:
    triplets = []
    if study.report is not None:
        from data_prep.reports import read_report  # its lexicon is loaded only where there is text

        if not study.report.strip():
            place = f"{study.image_path} ({', '.join(f'{name} {value}' for name, value in study.provenance.items())})"
            raise RecordError(place, "the report is empty", "Download it again; this record is set aside.")
        triplets += [(t.anatomy, t.pathology, t.state, "report", t.start, t.end) for t in read_report(study.report)]
    truth = list(study.triplets or ())
    if recipe.truth is not None:
        truth += _truth(recipe.truth, study).triplets(study.study_id)
    triplets += [(anatomy, pathology, state, "truth", -1, -1) for anatomy, pathology, state in truth]
    return [(ANATOMY_INDEX[anatomy], PATHOLOGY_INDEX[pathology], *rest) for anatomy, pathology, *rest in triplets]


def _box(box: Box, study: Study, geometry: Geometry) -> tuple[str, float, float, float, float]:
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
    return box.label, *moved


def _masks(study: Study, geometry: Geometry, recipe: Recipe) -> list[tuple[str, str, bytes]]:
    """Every mask in the corpus's frame, those of one kind and name united."""
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
        moved = Geometry(width, height, geometry.size_px, geometry.fit).mask(mask)
        united[kind, label] = united.get((kind, label), False) | moved
    return [(kind, label, np.packbits(mask).tobytes()) for (kind, label), mask in united.items() if mask.any()]


def _truth(folder: Path, study: Study) -> "Truth":
    """The phantom's truth, which has to know the study."""
    truth = _open_truth(folder)
    if study.study_id not in truth.row_of:
        raise RecordError(folder, f"no study {study.study_id!r}", "Name the truth folder that belongs to this dataset.")
    return truth


@lru_cache(maxsize=1)
def _open_truth(folder: Path) -> "Truth":
    from data_prep.phantom.truth import Truth

    return Truth.open(folder)


def _in_order(studies: Iterable[Study], recipe: Recipe, processes: int) -> Iterator[Prepared | SetAside]:
    """Prepares studies in worker processes and gives the results in the studies' order, a bounded number ahead."""
    if processes == 1:
        yield from (prepare_study(study, recipe) for study in studies)
        return
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)  # a plain fork can hang in a notebook's threads
    context.set_forkserver_preload([__name__])
    studies = iter(studies)
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker) as pool:
        waiting: deque = deque()
        while chunk := list(islice(studies, CHUNK)):
            waiting.append(pool.submit(_prepare_chunk, chunk, recipe))
            if len(waiting) > 4 * processes:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _cores() -> int:
    """Cores this process may use; not every system says which."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker() -> None:
    """One thread a worker, and none that outlives a parent that was killed."""
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _prepare_chunk(studies: list[Study], recipe: Recipe) -> list[Prepared | SetAside]:
    return [prepare_study(study, recipe) for study in studies]


class _Writer:
    """Takes prepared studies one by one; pixels and masks go to disk at once, the tables at the end."""

    def __init__(self, folder: Path, seed: int, shares: tuple[float, float, float]) -> None:
        self.folder, self.seed, self.shares = folder, seed, shares
        self.images, self.bits = (folder / "images.u8").open("wb"), (folder / "masks.bits").open("wb")
        self.row_of: dict[str, int] = {}
        self.set_aside: list[SetAside] = []
        self.manifest: list[dict] = []
        self.tables: dict[str, list[tuple]] = {name: [] for name in TABLES}

    @property
    def count(self) -> int:
        return len(self.manifest)

    def add(self, result: Prepared | SetAside) -> None:
        if isinstance(result, SetAside):
            self.set_aside.append(result)
            return
        row, line = self.count, result.manifest
        first = self.row_of.setdefault(line["image_id"], row)
        if first != row:
            problem = f"image id {line['image_id']!r} is there twice, as {self.manifest[first]['source_path']} too"
            raise DataError(line["source_path"], problem, "Keep one of the two.")
        line["split"] = assign_split(line["patient_id"], line["split"], self.seed, self.shares)
        self.manifest.append(line)
        self.images.write(result.pixels)
        self.tables["triplets"] += [(row, *triplet) for triplet in result.triplets]
        self.tables["reports"] += [(row, result.report)] if result.report is not None else []
        self.tables["boxes"] += [(row, *box) for box in result.boxes]
        for kind, label, bits in result.masks:
            self.tables["masks"].append((row, kind, label, self.bits.tell()))
            self.bits.write(bits)

    def finish(self, facts: dict) -> None:
        """Writes the tables and the header, which makes the folder a corpus."""
        self.images.close()
        self.bits.close()
        if not self.manifest:
            raise DataError(self.folder, "every record was set aside", "See the reasons; raise max_set_aside to write.")
        check_no_leak(pd.DataFrame(self.manifest))
        labels = dict.fromkeys(name for line in self.manifest for name in line if name.startswith(LABEL_PREFIX))
        manifest_schema = pa.schema(MANIFEST | dict.fromkeys(labels, pa.float32()))
        _write_table(self.folder / "manifest.parquet", self.manifest, manifest_schema)
        for name, schema in TABLES.items():
            lines = (dict(zip(schema.names, line, strict=True)) for line in self.tables[name])
            _write_table(self.folder / f"{name}.parquet", list(lines), schema)
        set_aside = pd.DataFrame(self.set_aside, columns=["source_path", "study_id", "reason"])
        set_aside.to_csv(self.folder / "set_aside.csv", index=False)
        files = {}
        for path in sorted(self.folder.iterdir()):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            files[path.name] = {"sha256": digest, "bytes": path.stat().st_size}
        header = {"format": FORMAT, "version": VERSION, "count": self.count, "set_aside": len(self.set_aside)}
        header |= facts | {"files": files}
        header["sha256"] = header_digest(header)
        (self.folder / HEADER).write_text(json.dumps(header, indent=1), encoding="utf-8")


TRIPLETS = pa.schema(
    {
        "row": pa.int32(), "anatomy": pa.int8(), "pathology": pa.int8(), "state": pa.int8(), "source": pa.string(),
        "start": pa.int32(), "end": pa.int32(),
    }
)  # fmt: skip
REPORTS = pa.schema({"row": pa.int32(), "text": pa.string()})
BOXES = pa.schema(
    {"row": pa.int32(), "label": pa.string()} | dict.fromkeys(("x", "y", "width", "height"), pa.float32())
)
MASKS = pa.schema({"row": pa.int32(), "kind": pa.string(), "label": pa.string(), "offset": pa.int64()})
TABLES = {"triplets": TRIPLETS, "reports": REPORTS, "boxes": BOXES, "masks": MASKS}
MANIFEST = {
    **dict.fromkeys(("study_id", "image_id", "patient_id", "dataset", "split", "view", "sex"), pa.string()),
    "age_years": pa.float32(), "width_px": pa.int32(), "height_px": pa.int32(), "source_path": pa.string(),
    "provenance": pa.string(),
}  # fmt: skip
"""Columns of the manifest before those of the labels."""


def _write_table(path: Path, lines: list[dict], schema: pa.Schema) -> None:
    pq.write_table(pa.Table.from_pylist(lines, schema), path)


def _reader(dataset: str, options: dict[str, object]):
    """The dataset's reader, its options' names checked."""
    if dataset not in READERS:
        raise DataError(f"dataset {dataset!r}", "no reader of this name", f"Use one of {', '.join(READERS)}.")
    known = list(inspect.signature(READERS[dataset]).parameters)[1:]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise DataError(f"dataset {dataset!r}", f"no option {unknown}", f"Its options: {', '.join(known)}.")
    return READERS[dataset]


def _plain(value: object) -> object:
    """A reader's option as the header keeps it: no path of this machine."""
    return Path(value).name if isinstance(value, str | Path) else list(value) if isinstance(value, tuple) else value


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _too_many(root: Path, set_aside: list[SetAside], total: int, share: float) -> DataError:
    reasons = "; ".join(record.reason for record in set_aside[:3])
    problem = f"{len(set_aside)} of {total} records cannot be used, more than the share of {share:g}. First: {reasons}"
    return DataError(root, problem, "Mend them, or allow more by max_set_aside.")


def _put_in_place(partial: Path, out: Path) -> None:
    """Renames the finished folder; a corpus that was there is kept until then."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    partial.rename(out)
    shutil.rmtree(old, ignore_errors=True)
