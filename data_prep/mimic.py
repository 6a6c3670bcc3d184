"""MIMIC-CXR-JPG or MIMIC-CXR (DICOM) as downloaded: images below files/, their tables, and the reports.

    <root>/files/p10/p10000032/s50414267/<dicom_id>.jpg or .dcm
    <tables>/mimic-cxr-2.0.0-metadata.csv.gz, -split.csv.gz, -chexpert.csv.gz      of MIMIC-CXR-JPG, 2.1.0 likewise
    <tables>/cxr-record-list.csv.gz      of MIMIC-CXR, used where there is no metadata table
    <reports>/p10/p10000032/s50414267.txt      a folder, or mimic-cxr-reports.zip as it is: see `read`; or all of them
        within the folders of the studies, as …/s50414267/s50414267.txt
    MIMIC-CXR_graphs.json      optional, named by radgraph=…: triplets of RadGraph in the place of those read here

Only MIMIC-CXR-JPG has labels and the official split. DICOM files without its tables are read as well: the view then
stands in each header, there are no labels, and the split is drawn by patient. Tables may be unpacked from their .gz.

Source: Johnson et al., MIMIC-CXR-JPG 2.0.0 and MIMIC-CXR 2.0.0, PhysioNet; labels by CheXpert (Irvin et al., AAAI
2019); RadGraph: Jain et al., NeurIPS Datasets and Benchmarks 2021, PhysioNet.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data_prep.errors import DataError, RecordError
from data_prep.files import report_absent
from data_prep.reports.radgraph import RadGraph
from data_prep.study import Studies, Study
from data_prep.tables import (
    as_option,
    find_table,
    label_values,
    names_of_option,
    read_table,
    require_known,
    require_unique,
    tables_folder,
)
from data_prep.texts import TextFiles
from data_prep.views import FRONTAL_VIEWS, no_such_view, of_views
from medslip_core.corpus import SPLITS

logger = logging.getLogger(__name__)

CLASSES = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion",
    "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
SUFFIXES = (".jpg", ".dcm", ".jpeg", ".png", ".JPG", ".DCM", ".JPEG", ".PNG")
REPORTS = "mimic-cxr-reports.zip"
"""Read as it is."""

REPORT_NAMES = ("{folder}.txt", "{folder}/{name}.txt")
"""Beside the folder of the study, as published, or within it."""

IDS = {
    "subject_id": re.compile(r"\d{3,16}"), "study_id": re.compile(r"\d{1,16}"),
    "dicom_id": re.compile(r"(?=.*\w)[\w.-]{1,64}"),
}  # fmt: skip


def read(
    root: Path,
    views: str | Sequence[str] | None = FRONTAL_VIEWS,
    reports: str | Path | None = None,
    tables: str | Path | None = None,
    radgraph: str | Path | None = None,
) -> Studies:
    """Reads the studies' images in the order of the table; rows whose image is not there are left out.

    Args:
        root: the folder that holds `files/`.
        views: ViewPosition values to read ("PA,AP" or a list); None or "" for all, those without a view too.
        reports: mimic-cxr-reports.zip, or the folder that holds p10/, p11/ … with the .txt files. Default: the first
            of files/, mimic-cxr-reports/files and mimic-cxr-reports.zip in root, or beside it, or beside the tables,
            or in ../../mimic-cxr/<newest> seen from these, that has a report of these studies.
        tables: the folder of the tables, if not root.
        radgraph: a file of RadGraph, such as its MIMIC-CXR_graphs.json: its triplets stand in the place of those that
            are read here from the reports of the studies that it names.

    Raises:
        DataError: a table missing or not as published, an id twice, a label or split unknown, no image there, or
            RadGraph's file not readable or of none of these studies.
    """
    root = Path(root)
    views = names_of_option(views)
    folder = tables_folder(root, tables)
    metadata = _table(folder, "metadata", required=False)
    path = metadata or find_table(folder, "cxr-record-list.csv", required=False)
    if path is None:
        problem = "neither mimic-cxr-2.*-metadata.csv[.gz] nor cxr-record-list.csv[.gz]"
        raise DataError(
            folder, problem, f"Download the tables into this folder, or name their own: {as_option('tables')}."
        )
    images = _images(folder, path, described=metadata is not None)
    if views and metadata:
        kept = images["ViewPosition"].isin(views)
        logger.info("mimic: %d of %d images have another view than %s", (~kept).sum(), len(images), "/".join(views))
        if not kept.any():
            raise no_such_view(path, views, images["ViewPosition"])
        images = images[kept]
    images["suffix"] = [_suffix(row, root / "files") for row in images.itertuples()]
    there = images["suffix"].notna()
    absent = report_absent(images.loc[~there, "dicom_id"].tolist(), len(images), path, root / "files")
    images = images[there]
    labels = images[list(CLASSES)].to_numpy(np.float32)  # [N, 14]
    images = images.drop(columns=list(CLASSES))
    texts, prefix, form = _open_reports(root, folder, reports, images)
    annotations = _open_radgraph(Path(radgraph), images) if radgraph else None

    def studies() -> Iterator[Study]:
        for row, values in zip(images.itertuples(), labels, strict=True):
            view = row.ViewPosition if isinstance(row.ViewPosition, str) else None
            image_path = root / "files" / _study_folder(row) / (row.dicom_id + row.suffix)
            provenance = {"table": path.name, "row": row.row}
            study, report, fault, triplets = f"s{row.study_id}", None, None, None
            if texts is not None:
                provenance["report"] = _report(_study_folder(row), form)
                try:
                    report = texts.read(prefix + provenance["report"])
                except RecordError as error:
                    fault = str(error)
            if annotations is not None and study in annotations.keys:
                provenance["radgraph"] = annotations.keys[study]
                triplets = annotations.triplets(study, report)
            yield Study(
                study_id=study,
                image_id=row.dicom_id,
                patient_id=f"p{row.subject_id}",
                dataset="mimic",
                image_path=image_path,
                split=row.split,
                view=view,
                report=report,
                labels=dict(zip(CLASSES, values.tolist(), strict=True)),
                triplets=triplets,
                provenance=provenance,
                fault=fault,
            )

    return Studies(of_views(studies(), views, path), len(images), absent)


def _images(folder: Path, path: Path, described: bool) -> pd.DataFrame:
    """A row for each image of the table: its ids, view, split and labels, of which a table not `described` has none."""
    columns = ["dicom_id", "subject_id", "study_id", *(["ViewPosition"] if described else [])]
    images = read_table(path, columns)[[*columns, "row"]]  # the others are most of the table, and never looked at
    require_unique(images, "dicom_id", path)
    _check_ids(images, path)
    if described:
        images["split"] = _official_split(images, _table(folder, "split"), path)
        images = images.join(_labels(_table(folder, "chexpert")), on=["subject_id", "study_id"])
    else:
        logger.info(
            "mimic: no metadata table; views are read from the headers, the split is drawn, there are no labels"
        )
        images["ViewPosition"] = images["split"] = None
        images[list(CLASSES)] = np.float32("nan")
    return images


def _study_folder(row) -> str:
    return f"p{row.subject_id[:2]}/p{row.subject_id}/s{row.study_id}"


def _suffix(row, files: Path) -> str | None:
    """Of the row's image file; None if there is none."""
    folder = files / _study_folder(row)
    return next((suffix for suffix in SUFFIXES if (folder / (row.dicom_id + suffix)).is_file()), None)


def _table(folder: Path, name: str, required: bool = True) -> Path | None:
    """The one table of this name, of whatever release; as for the other tables, the plain file before its .gz."""
    found = sorted(path.name for path in folder.glob(f"mimic-cxr-2.*-{name}.csv*"))
    releases = sorted({file.partition(".csv")[0] for file in found})
    if not releases and not required:
        return None
    if len(releases) != 1:
        problem = f"{len(releases) or 'no'} tables match mimic-cxr-2.*-{name}.csv[.gz]"
        keep = f"Keep one of {', '.join(found)}" if found else "Download it into this folder"
        raise DataError(folder, problem, f"{keep}, or name the tables' folder: {as_option('tables')}.")
    return find_table(folder, f"{releases[0]}.csv")


def _check_ids(images: pd.DataFrame, path: Path) -> None:
    """Ids become parts of paths, so they have to be what they should be."""
    for column, pattern in IDS.items():
        bad = ~images[column].fillna("").str.fullmatch(pattern)
        if bad.any():
            row = images[bad].iloc[0]
            raise DataError(f"{path} row {row.row}", f"{column} is {row[column]!r}", "Use the table as downloaded.")


def _official_split(images: pd.DataFrame, path: Path, metadata: Path) -> pd.Series:
    table = read_table(path, ["dicom_id", "split"], filled=["dicom_id", "split"])
    require_unique(table, "dicom_id", path)
    require_known(table, "split", SPLITS, path, f"Use one of {', '.join(SPLITS)}.")
    split = images["dicom_id"].map(table.set_index("dicom_id")["split"])
    if split.isna().any():
        lost = images[split.isna()].iloc[0]
        problem = f"dicom_id {lost.dicom_id!r} ({metadata.name} row {lost.row}) is missing"
        raise DataError(path, problem, "Use the tables of one release together.")
    return split


def _labels(path: Path) -> pd.DataFrame:
    """A row for each (subject_id, study_id), a float32 column for each class: 1, 0 or NaN."""
    table = read_table(path, ["subject_id", "study_id", *CLASSES])
    require_unique(table, "study_id", path)
    remedy = "Use 1.0, 0.0, -1.0 or an empty cell."
    values = {name: label_values(table, name, path, remedy, f"label {name!r}") for name in CLASSES}
    return pd.DataFrame(values).set_index([table["subject_id"], table["study_id"]])


def _open_reports(
    root: Path, tables: Path, reports: str | Path | None, images: pd.DataFrame
) -> tuple[TextFiles | None, str, str]:
    """Where the reports are, what stands before "p10/…" there, and which of REPORT_NAMES they have."""
    name = REPORTS.removesuffix(".zip")
    folders = dict.fromkeys(
        (root.absolute(), root.absolute().parent, tables.absolute(), *_releases(root), *_releases(tables))
    )
    places = [place / part for place in folders for part in ("files", f"{name}/files", REPORTS)]
    candidates = [Path(reports)] if reports is not None else [place for place in places if place.exists()]
    studies = list(dict.fromkeys(_study_folder(row) for row in images.itertuples()))
    for candidate in candidates:
        texts = TextFiles(candidate)
        for prefix in ("", "files/", f"{name}/files/"):
            if candidate.is_dir() and not (candidate / prefix).is_dir():
                continue
            for form in REPORT_NAMES:
                if any(prefix + _report(study, form) in texts for study in studies):
                    return texts, prefix, form
    looked_for = _report(studies[0], REPORT_NAMES[0])
    if reports is not None:
        problem = f"no report of these studies, the first looked for is {looked_for}"
        raise DataError(Path(reports), problem, f"Name {REPORTS}, or its folder files/.")
    said = "mimic: no reports in %s; the first looked for is %s; name their folder: %s"
    logger.warning(said, ", ".join(map(str, places)), looked_for, as_option("reports"))
    return None, "", ""


def _report(study_folder: str, form: str) -> str:
    """The path of a study's report: "p10/p10000032/s50414267.txt" or the same within the folder of the study."""
    return form.format(folder=study_folder, name=study_folder.rpartition("/")[2])


def _releases(place: Path) -> list[Path]:
    """The folders of MIMIC-CXR, newest first, where `wget -r` puts them as seen from one of MIMIC-CXR-JPG's."""
    found = (place.absolute().parent.parent / "mimic-cxr").glob("*/")
    return sorted(found, key=lambda folder: [int(number) for number in re.findall(r"\d+", folder.name)], reverse=True)


def _open_radgraph(path: Path, images: pd.DataFrame) -> RadGraph:
    """RadGraph's annotations; it is said how many of the studies they leave to be read as usual."""
    annotations = RadGraph(path)
    studies = [f"s{study}" for study in images["study_id"].unique()]
    others = [study for study in studies if study not in annotations.keys]
    if len(others) == len(studies):
        problem = f"annotates none of these {len(studies)} studies, the first looked for is {others[0]}"
        remedy = "Name RadGraph's MIMIC-CXR_graphs.json, whose keys are as p10/p10000032/s50414267.txt."
        raise DataError(path, problem, remedy)
    if others:
        message = "%s: annotates %d of %d studies; the reports of the others are read as usual, the first is %s"
        logger.warning(message, path.name, len(studies) - len(others), len(studies), others[0])
    return annotations
