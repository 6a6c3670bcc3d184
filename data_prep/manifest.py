"""Images of your own: any folder, and one CSV table with a row per image.

    <root>/manifest.csv      path, and whichever of the columns below there are; UTF-8, header in the first row
    <root>/<path>            DICOM, PNG, JPEG …; only below root

    path          of the image, below root and with its suffix; a backslash counts as a slash
    study         groups images of one examination; default: each image is one
    patient       keeps a patient's images in one split; default: the DICOM patient (as a number), or else the study
    split         train, validate or test; train_val is divided by patient, an empty cell is drawn
    view          PA, AP, LATERAL, … as you like; DICOM headers fill empty cells, for age and sex too
    age           years, or "058Y", "018M"
    sex           M or F
    report        its text, in English; not the name of a file
    mirrored      1 where the file shows the patient's left on its left, as a film scanned from behind
    label:<name>  1 present, 0 absent, empty or -1 unknown; columns can also be named by labels=…

Any other column is left alone, and said so; one whose name is nearly one of these ("Patient ID", "label_Edema") is
refused, for what it says would be lost.
"""

import logging
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from data_prep.age import parse_age
from data_prep.errors import DataError
from data_prep.files import LONGEST_NAME, report_absent
from data_prep.splits import check_no_leak
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
from data_prep.views import no_such_view, of_views
from medslip_core.corpus import LABEL_PREFIX, SPLITS

logger = logging.getLogger(__name__)

COLUMNS = ("path", "study", "patient", "split", "view", "age", "sex", "report", "mirrored")
ALLOWED = {"split": (*SPLITS, "train_val"), "sex": ("M", "F"), "mirrored": ("0", "1")}
OTHER_NAMES = {"subject": "patient", "gender": "sex"}
FILE_NAME = re.compile(r"[^\n]+\.(txt|xml|html?|json|pdf|rtf|docx?|dcm)", re.IGNORECASE)
NEARLY_LABEL = re.compile(r"labels?\s*[:_ -]\s*", re.IGNORECASE)


def read(
    root: Path,
    table: str = "manifest.csv",
    tables: str | Path | None = None,
    labels: str | Sequence[str] | None = None,
    views: str | Sequence[str] | None = None,
) -> Studies:
    """Reads the images in the order of the table; rows whose image is not there are left out.

    Args:
        root: the folder that holds the images.
        table: the table's file name; plain, .gz or .zip.
        tables: the folder of the table, if not root.
        labels: columns that are labels beside those that begin with "label:", as a list or "Edema,Mass".
        views: read only rows with one of these views, as a list or "PA,AP"; of an empty cell the DICOM header tells.

    Raises:
        DataError: the table missing, a path twice or leading out of root, a cell that is none of what it may be; or no
            image of these views, which may be known only when the last header is read.
    """
    root = Path(root)
    remedy = f"Write one, a row per image with its path, or name its folder: {as_option('tables')}."
    path = find_table(tables_folder(root, tables), table, remedy=remedy)
    rows = read_table(path, ["path"], filled=["path"], own=True)
    if rows.empty:
        raise DataError(path, "has a header and no row below it", "Write a row for each image.")
    rows["path"] = [
        _as_on_disk(root, _below(root, *cells, path)) for cells in zip(rows["path"], rows["row"], strict=True)
    ]
    one_form = rows["path"].map(partial(unicodedata.normalize, "NFC"))  # macOS finds a file by either
    require_unique(rows.assign(path=one_form), "path", path)
    names = _label_columns(rows, names_of_option(labels), path)
    labels_of_rows = _labels(rows, list(names), path)
    for column, allowed in ALLOWED.items():
        if column in rows:
            require_known(rows, column, allowed, path)
    ages = _ages(rows, path)
    rows = rows.reindex(columns=[*COLUMNS, "row"]).assign(age=ages)
    named = rows.rename(columns={"patient": "patient_id", "path": "image_id"}).set_index("row")
    check_no_leak(named, path)  # before anything is prepared
    _tell_file_names(rows, root, path)

    views = names_of_option(views)
    kept = rows["view"].isin(views) | rows["view"].isna() if views else pd.Series(True, rows.index)
    if not kept.any():
        raise no_such_view(path, views, rows["view"])
    other_views = rows.loc[~kept, "view"].tolist()
    there = rows["path"].map(lambda name: os.path.isfile(root / name))
    absent = report_absent(rows.loc[kept & ~there, "path"].tolist(), int(kept.sum()), path, root)
    rows = rows[kept & there]

    def studies() -> Iterator[Study]:
        for row in rows.itertuples():
            given = {name: value for name, value in row._asdict().items() if pd.notna(value)}
            values = labels_of_rows[row.Index].tolist()
            yield Study(
                study_id=given.get("study", row.path),
                image_id=row.path,
                patient_id=given.get("patient"),
                dataset="manifest",
                image_path=root / row.path,
                split=given.get("split"),
                view=given.get("view"),
                age_years=given.get("age"),
                sex=given.get("sex"),
                report=given.get("report"),
                labels=dict(zip(names.values(), values, strict=True)),
                mirrored=row.mirrored == "1",
                provenance={"table": path.name, "row": row.row},
            )

    return Studies(of_views(studies(), views, path, other_views), len(rows), absent)


def _below(root: Path, name: str, row: int, table: Path) -> str:
    """A cell's path relative to root, each spelt in one way only.

    Raises:
        DataError: it leads out of root, or is no path.
    """
    below, remedy = PurePosixPath(name.replace("\\", "/")), "Write it relative to root, or name another root."
    for place in (root.absolute(), root.resolve()) if below.is_absolute() else ():
        if below.is_relative_to(place):
            below = below.relative_to(place)
    absolute = below.is_absolute() or bool(re.match("[A-Za-z]:", str(below)))
    if absolute or ".." in below.parts or "\0" in name:
        problem = f"path is {name!r}, which is {'absolute and ' if absolute else ''}not below root"
        raise DataError(f"{table} row {row}", problem, remedy)
    if any(len(part.encode()) > LONGEST_NAME for part in below.parts):
        raise DataError(f"{table} row {row}", f"path has {len(name)} characters", "Check the row's quotes.")
    return str(below)


def _as_on_disk(root: Path, name: str) -> str:
    """A path as the disk spells it: macOS may take an ö apart, into an o and its dots, where others have one letter."""
    spellings = (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
    return name if name.isascii() else next((one for one in spellings if os.path.isfile(root / one)), name)


def _tell_file_names(rows: pd.DataFrame, root: Path, path: Path) -> None:
    """Warns of reports that are names of files: they would be read as the text itself."""
    reports = rows.set_index("row")["report"].dropna()
    files = reports[[bool(FILE_NAME.fullmatch(text)) or os.path.isfile(root / text) for text in reports]]
    if len(files):
        said = "%s: %d of %d reports are names of files, the first is %r in row %d. Write their text into the column"
        first = files.iloc[0], files.index[0]
        logger.warning(said, path.name, len(files), len(reports), *first, extra={"kind": "reports are files"})


def _label_columns(rows: pd.DataFrame, named: list[str], path: Path) -> dict[str, str]:
    """Column -> class."""
    missing = [name for name in named if name not in rows.columns]
    if missing:
        raise DataError(path, f"no column {missing}", f"Its columns: {', '.join(rows.columns.drop('row'))}.")
    given = [name for name in rows if name in named or name.startswith(LABEL_PREFIX)]
    names = {name: name.removeprefix(LABEL_PREFIX).strip() for name in given}
    unused = [name for name in rows.columns if name not in (*COLUMNS, "row", *names)]
    for name in unused:
        meant = _meant(name)
        if meant is not None and meant not in rows:
            remedy = f"Is {meant!r} meant? Then name it so; if it is something else, give it another name."
            raise DataError(path, f"column {name!r} is none that is read", remedy)
    if unused:
        said = "%s: columns left alone: %s (to read labels from them: %s)"
        logger.warning(said, path.name, ", ".join(unused), as_option("labels"))
    if "patient" not in rows:
        said = "%s: no column 'patient': each %s counts as a patient of its own, unless its DICOM header names one"
        logger.warning(said, path.name, "study" if "study" in rows else "image", extra={"harmless": True})
    return names


def _meant(column: str) -> str | None:
    """The column that one of another name must be: "Patient ID" and "subject_id" are "patient", "label_A" "label:A"."""
    if prefix := NEARLY_LABEL.match(column):
        return LABEL_PREFIX + column[prefix.end() :]
    plain = re.sub(r"[_\W]", "", column.lower()).removesuffix("id")
    name = OTHER_NAMES.get(plain, plain)
    return name if name in COLUMNS else None


def _labels(rows: pd.DataFrame, columns: list[str], path: Path) -> np.ndarray:
    """1, 0 or NaN: float32 [rows, columns]."""
    values = {column: label_values(rows, column, path) for column in columns}
    return pd.DataFrame(values, rows.index).to_numpy(np.float32)


def _ages(rows: pd.DataFrame, path: Path) -> list[float | None]:
    ages = []
    for text, row in zip(rows.get("age", [None] * len(rows)), rows["row"], strict=True):
        ages.append(parse_age(text) if isinstance(text, str) else None)
        if isinstance(text, str) and ages[-1] is None:
            raise DataError(f"{path} row {row}", f"age is {text!r}", "Use years, or a number with Y, M, W or D.")
    return ages
