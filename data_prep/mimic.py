"""MIMIC-CXR-JPG as downloaded: images below files/, three tables, and the reports tree of MIMIC-CXR.

    <root>/mimic-cxr-2.0.0-metadata.csv.gz, -split.csv.gz, -chexpert.csv.gz      (2.1.0 likewise; .gz may be unpacked)
    <root>/files/p10/p10000032/s50414267/<dicom_id>.jpg
    <reports>/p10/p10000032/s50414267.txt      <reports>: see `read`

Source: Johnson et al., MIMIC-CXR-JPG 2.0.0, PhysioNet; labels by CheXpert (Irvin et al., AAAI 2019).
"""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from data_prep.errors import DataError
from data_prep.files import report_absent
from data_prep.study import Studies, Study
from data_prep.tables import read_table, require_unique, tables_folder

logger = logging.getLogger(__name__)

CLASSES = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion",
    "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
FRONTAL_VIEWS = ("PA", "AP")
LABEL_VALUES = {"1.0": 1.0, "1": 1.0, "0.0": 0.0, "0": 0.0, "-1.0": float("nan"), "-1": float("nan")}
"""CheXpert's cells; uncertain (-1) and not mentioned (empty) are both unknown."""

SPLITS = ("train", "validate", "test")
IDS = {"subject_id": re.compile(r"\d{3,}"), "study_id": re.compile(r"\d+"), "dicom_id": re.compile(r"[\w.-]*\w[\w.-]*")}


def read(
    root: Path,
    views: Sequence[str] | None = FRONTAL_VIEWS,
    reports: str | Path | None = None,
    tables: str | Path | None = None,
) -> Studies:
    """Reads the studies' images in the order of the metadata table; rows whose image is not there are left out.

    Args:
        root: the folder that holds `files/`.
        views: ViewPosition values to read; None for all, those without a view too.
        reports: folder that holds p10/, p11/ … with the .txt files. Default: the first of <root>/files,
            <root>/mimic-cxr-reports/files and <root>/../mimic-cxr-reports/files that has a report of these studies.
        tables: the folder of the tables, if not root.

    Raises:
        DataError: a table missing or not as published, an id twice, a label or split unknown, no image there.
    """
    root = Path(root)
    folder = tables_folder(root, tables)
    metadata_path, split_path, chexpert_path = (_table(folder, name) for name in ("metadata", "split", "chexpert"))
    images = read_table(metadata_path, ["dicom_id", "subject_id", "study_id", "ViewPosition"])
    require_unique(images, "dicom_id", metadata_path)
    _check_ids(images, metadata_path)
    images["split"] = images["dicom_id"].map(_official_split(split_path))
    if images["split"].isna().any():
        lost = images[images["split"].isna()].iloc[0]
        problem = f"dicom_id {lost.dicom_id!r} ({metadata_path.name} row {lost.row}) is missing"
        raise DataError(split_path, problem, "Use the tables of one release together.")
    labels = _labels(chexpert_path)

    if views is not None:
        kept = images["ViewPosition"].isin(list(views))
        logger.info("mimic: %d of %d images have another view than %s", (~kept).sum(), len(images), "/".join(views))
        images = images[kept]
    if images.empty:
        raise DataError(metadata_path, f"no image with view {views}", "Name the views to read: views=….")
    paths = {row.dicom_id: _study_folder(row, root / "files") / f"{row.dicom_id}.jpg" for row in images.itertuples()}
    there = images["dicom_id"].map(lambda dicom_id: paths[dicom_id].is_file())
    report_absent(images.loc[~there, "dicom_id"].tolist(), len(images), metadata_path, root / "files")
    images = images[there]
    reports = Path(reports) if reports is not None else _find_reports(root, images)

    def studies() -> Iterator[Study]:
        for row in images.itertuples():
            provenance = {"table": metadata_path.name, "row": row.row}
            report = fault = None
            if reports is not None:
                report_path = _study_folder(row, reports).with_suffix(".txt")
                provenance["report"] = report_path.relative_to(reports).as_posix()
                report, fault = _read_report(report_path)
            yield Study(
                study_id=f"s{row.study_id}",
                image_id=row.dicom_id,
                patient_id=f"p{row.subject_id}",
                dataset="mimic",
                image_path=paths[row.dicom_id],
                split=row.split,
                view=row.ViewPosition if isinstance(row.ViewPosition, str) else None,
                report=report,
                labels=labels.get((row.subject_id, row.study_id), dict.fromkeys(CLASSES, float("nan"))),
                provenance=provenance,
                fault=fault,
            )

    return Studies(studies(), len(images))


def _study_folder(row, files: Path) -> Path:
    return files / f"p{row.subject_id[:2]}" / f"p{row.subject_id}" / f"s{row.study_id}"


def _table(folder: Path, name: str) -> Path:
    found = sorted(folder.glob(f"mimic-cxr-2.*-{name}.csv*"))
    if len(found) != 1:
        problem = f"{len(found) or 'no'} tables match mimic-cxr-2.*-{name}.csv[.gz]"
        raise DataError(folder, problem, "Keep exactly one, or name the tables' folder by tables=….")
    return found[0]


def _check_ids(images: pd.DataFrame, path: Path) -> None:
    """Ids become parts of paths, so they have to be what they should be."""
    for column, pattern in IDS.items():
        bad = ~images[column].fillna("").str.fullmatch(pattern)
        if bad.any():
            row = images[bad].iloc[0]
            raise DataError(f"{path} row {row.row}", f"{column} is {row[column]!r}", "Use the table as downloaded.")


def _official_split(path: Path) -> dict[str, str]:
    table = read_table(path, ["dicom_id", "split"])
    require_unique(table, "dicom_id", path)
    unknown = ~table["split"].isin(SPLITS)
    if unknown.any():
        row = table[unknown].iloc[0]
        raise DataError(f"{path} row {row.row}", f"split is {row.split!r}", f"Use one of {', '.join(SPLITS)}.")
    return dict(zip(table["dicom_id"], table["split"], strict=True))


def _labels(path: Path) -> dict[tuple[str, str], dict[str, float]]:
    """(subject_id, study_id) -> class -> 1, 0 or NaN."""
    table = read_table(path, ["subject_id", "study_id", *CLASSES])
    cells = table[list(CLASSES)].fillna("-1")
    for name in CLASSES:
        unknown = ~cells[name].isin(list(LABEL_VALUES))
        if unknown.any():
            row = table[unknown].iloc[0]
            problem = f"label {name!r} is {row[name]!r}"
            raise DataError(f"{path} row {row.row}", problem, "Use 1.0, 0.0, -1.0 or an empty cell.")
        cells[name] = cells[name].map(LABEL_VALUES)
    keys = zip(table["subject_id"], table["study_id"], strict=True)
    return dict(zip(keys, cells.to_dict("records"), strict=True))


def _find_reports(root: Path, images: pd.DataFrame) -> Path | None:
    name = "mimic-cxr-reports"
    candidates = [root / "files", root / name / "files", root.absolute().with_name(name) / "files"]
    for candidate in candidates:
        reports = (_study_folder(row, candidate).with_suffix(".txt") for row in images.itertuples())
        if candidate.is_dir() and any(report.is_file() for report in reports):
            return candidate
    logger.warning("mimic: no reports in %s; name their folder by reports=…", ", ".join(map(str, candidates)))
    return None


def _read_report(path: Path) -> tuple[str | None, str | None]:
    """The report's text, or why there is none."""
    try:
        return path.read_text(encoding="utf-8"), None
    except FileNotFoundError:
        return None, f"{path}: no such report. Download it, or name the reports' folder by reports=…."
    except (OSError, UnicodeDecodeError) as error:
        return None, f"{path}: report cannot be read ({error}). Download it again."
