"""Checks a whole dataset: its folder, its tables, and its images, all of them or a sample, on all cores."""

import inspect
import logging
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from operator import length_hint
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from data_prep.check.columns import unexpected_columns
from data_prep.check.finding import ERROR, NOTE, SEVERITIES, WARNING, Finding
from data_prep.check.folder import Folder, extra_images, scan
from data_prep.check.image import Inspection, inspect_all, lost
from data_prep.check.report import Picture, Report
from data_prep.chunks import CHUNK
from data_prep.corpus import find_reader
from data_prep.doubts import tell_doubts
from data_prep.errors import DataError
from data_prep.files import require_folder
from data_prep.parallel import cores, in_order
from data_prep.study import Studies, Study
from data_prep.tables import names_of_option, tables_folder

QUICK_IMAGES = 200
"""Images that a quick check opens, evenly spread over the dataset."""

PICTURES = 12
SUSPECTS = 24
SIZES = 5
"""Most frequent sizes that are counted one by one."""


def check(
    dataset: str, root: str | Path, quick: bool = False, processes: int | None = None, **reader_options: object
) -> Report:
    """Reads a dataset's tables and images as `prepare` would, and says what it found.

    Args:
        dataset: a name in `READERS`.
        root: the dataset's folder.
        quick: open a sample of `QUICK_IMAGES` images only; tables and file names are checked in full.
        processes: worker processes; default: one per core this process may use.
        reader_options: of the dataset's `read`.

    Raises:
        DataError: no such dataset, option or folder; all else that is wrong becomes a finding.
    """
    root = Path(root)
    reader = find_reader(dataset, reader_options)
    require_folder(root)
    tables = tables_folder(root, reader_options.get("tables"))
    folder = scan(root, reader_options.get("reports"))
    tally = _Tally(root)
    tally.findings += folder.findings + unexpected_columns(dataset, tables)
    look = partial(
        _look, tally, dataset=dataset, root=root, sample=QUICK_IMAGES if quick else None, processes=processes
    )
    try:
        with _heard(tally.findings):
            look(studies=reader(root, **reader_options))
        tally.findings += extra_images(folder, tally.paths, dataset, tables, _views(reader, reader_options))
    except DataError as error:
        tally.findings.append(Finding.of("reader stops", error))
        if not tally.studies:
            look(studies=_bare(folder, dataset))
    prefix = f"{root}{os.sep}"
    findings = sorted((finding.below(prefix) for finding in tally.findings), key=lambda f: SEVERITIES.index(f.severity))
    counts = tally.counts(folder.suffixes)
    return Report(dataset, tally.studies, tally.looked_at, counts, findings, tally.pictures, tally.suspects)


def _views(reader: Callable[..., Studies], options: dict[str, object]) -> list[str]:
    """The views that a reader takes, given or by default; none if it takes all."""
    default = inspect.signature(reader).parameters.get("views")
    return names_of_option(options.get("views", default and default.default))


def _look(
    tally: "_Tally", studies: Iterator[Study], dataset: str, root: Path, sample: int | None, processes: int | None
) -> None:
    """Counts every study, and has all or a sample of them opened by worker processes."""
    total = length_hint(studies)
    step = math.ceil(total / sample) if sample and total else 1
    opened = math.ceil(total / step)

    def counted() -> Iterator[Study]:
        for study in tell_doubts(studies):
            tally.count(study)
            yield study

    chosen = islice(counted(), 0, None, step)
    chunks = iter(lambda: list(islice(chosen, CHUNK)), [])
    workers = max(1, min(processes or cores(), math.ceil(opened / CHUNK)))
    done = in_order(partial(inspect_all, root=root), partial(lost, root=root), chunks, workers)
    bar = tqdm(total=opened, desc=f"checking {dataset}", unit="image")
    with logging_redirect_tqdm(), closing(done), bar:
        for inspections in done:
            for inspection in inspections:
                tally.add(inspection, every=max(1, opened // PICTURES))
            bar.update(len(inspections))


def _bare(folder: Folder, dataset: str) -> Studies:
    """The images of a folder by themselves, where a reader cannot make studies of them."""
    paths = sorted(folder.images)
    return Studies((Study(path, path, None, dataset, folder.root / path) for path in paths), len(paths))


class _Ear(logging.Handler):
    """Makes findings of what readers warn of in the log."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__(logging.WARNING)
        self.findings = findings

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        where, colon, problem = said.partition(": ")
        if not colon:
            where, problem = record.name.rpartition(".")[2], said
        if not hasattr(record, "absent"):
            severity, kind = (NOTE, "reader notes") if hasattr(record, "harmless") else (WARNING, "reader warns")
            self.findings.append(Finding(severity, getattr(record, "kind", kind), where, problem))
            return
        problem = f"named by {where}, and not there"
        remedy = "Download it, unless only a part of the dataset is meant."
        self.findings += [Finding(WARNING, "missing image", image, problem, remedy) for image in record.absent]


@contextmanager
def _heard(findings: list[Finding]) -> Iterator[None]:
    logger, ear = logging.getLogger("data_prep"), _Ear(findings)
    logger.addHandler(ear)
    try:
        yield
    finally:
        logger.removeHandler(ear)


class _Tally:
    """Counts over studies and images; what is wrong only when two of them are seen together."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.findings: list[Finding] = []
        self.pictures: list[Picture] = []
        self.suspects: list[Picture] = []
        self.paths: set[str] = set()
        self.studies = self.looked_at = self.readable = 0
        self._splits, self._views, self._sizes = Counter(), Counter(), Counter()
        self._given, self._given_by_header = Counter(), Counter()
        self._labels: dict[str, Counter] = {}
        self._first_of_patient: dict[str, tuple[str | None, str]] = {}  # patient -> split, image id
        self._leaking: set[str] = set()
        self._ids: set[str] = set()
        self._first_with: dict[str, Inspection] = {}  # content -> the first image

    def count(self, study: Study) -> None:
        """Takes up what the tables say of a study."""
        self.studies += 1
        masks = [part for mask in study.masks for part in getattr(mask.load, "args", ()) if isinstance(part, Path)]
        for path in (study.image_path, *masks):
            if path.is_relative_to(self.root):
                self.paths.add(path.relative_to(self.root).as_posix())
        self._splits[study.split or "not given"] += 1
        self._given.update(
            patient=int(study.patient_id is not None), age=int(study.age_years is not None),
            sex=int(study.sex is not None), report=int(study.report is not None), box=int(bool(study.boxes)),
            mask=int(bool(study.masks)),
        )  # fmt: skip
        for name, value in study.labels.items():
            self._labels.setdefault(name, Counter())[value if value == value else None] += 1
        if study.image_id in self._ids:
            problem, remedy = f"image id {study.image_id!r} is there twice", "Keep one of the two."
            self.findings.append(Finding(ERROR, "image id twice", str(study.image_path), problem, remedy))
        self._ids.add(study.image_id)
        if study.patient_id is not None:
            self._count_patient(study.patient_id, study.split, study.image_id)

    def _count_patient(self, patient: str, split: str | None, image: str) -> None:
        first_split, first = self._first_of_patient.setdefault(patient, (split, image))
        if split != first_split and None not in (split, first_split) and patient not in self._leaking:
            self._leaking.add(patient)
            problem = f"patient {patient} stands in two splits: {first} in {first_split}, {image} in {split}"
            remedy = "Correct the split table so that a patient's images stay together."
            self.findings.append(Finding(ERROR, "patient in two splits", image, problem, remedy))

    def add(self, inspection: Inspection, every: int) -> None:
        """Takes up what an image turned out to be; each of so many becomes a picture."""
        self.looked_at += 1
        self.findings += inspection.findings
        if inspection.thumbnail is None:
            return
        self.readable += 1
        self._given_by_header.update(inspection.given)
        self._views[inspection.view or "not given"] += 1
        self._sizes[inspection.width_px, inspection.height_px] += 1
        name = Path(inspection.path).stem[-16:]
        kinds = [finding.kind for finding in inspection.findings]
        if inspection.content is not None:
            first = self._first_with.setdefault(inspection.content, inspection)
            if first is not inspection:
                self.findings.append(_same(first, inspection))
                kinds.append("same image twice")
        if kinds and len(self.suspects) < SUSPECTS:
            self.suspects.append(Picture(f"{name} {kinds[0]}", inspection.thumbnail))
        if (self.readable - 1) % every == 0 and len(self.pictures) < PICTURES:
            self.pictures.append(Picture(name, inspection.thumbnail))

    def counts(self, suffixes: Counter) -> pd.DataFrame:
        """The table of `Report.counts`."""
        patients = len(self._first_of_patient)
        files = suffixes.total()
        rows = [("files", suffix or "no suffix", count, files) for suffix, count in suffixes.most_common()]
        rows += [("patients", "", patients, patients)] if patients else []
        rows += [("split", split, count, self.studies) for split, count in sorted(self._splits.items())]
        for name, count in self._given.items():
            in_headers = 0 if count else self._given_by_header[name]
            rows.append(("with", name, in_headers or count, self.readable if in_headers else self.studies))
        rows += [("view", view, count, self.readable) for view, count in self._views.most_common()]
        if self._sizes:
            widths, heights = zip(*self._sizes, strict=True)
            if len(self._sizes) > 1:
                span = f"{min(widths)} to {max(widths)} x {min(heights)} to {max(heights)} px"
                rows.append(("size", span, self.readable, self.readable))
            common = self._sizes.most_common(SIZES)
            rows += [("size", f"{width} x {height} px", count, self.readable) for (width, height), count in common]
        for name, values in self._labels.items():
            rows.append(("label", name, values[1.0], values.total() - values[None]))
        return pd.DataFrame(rows, columns=["what", "value", "count", "of"])


def _same(first: Inspection, second: Inspection) -> Finding:
    """Two files with the same grey levels: worst if one is trained on and the other tested on."""
    problem = f"the same grey levels as {first.path}"
    if first.split != second.split and None not in (first.split, second.split):
        problem += f", which is in the split {first.split} and this one in {second.split}"
        return Finding(ERROR, "same image in two splits", second.path, problem, "Take one of the two out.")
    if first.patient_id != second.patient_id:
        problem += ", of another patient"
    return Finding(WARNING, "same image twice", second.path, problem, "Take one of the two out.")
