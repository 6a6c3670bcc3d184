"""covid-chestxray-dataset as cloned: metadata.csv and images/, and radiologists' masks where they were added.

    <root>/metadata.csv, <root>/images/<filename>
    <root>/masks.csv (filename, class, mask) and <root>/masks/<mask>      optional

Source: Cohen et al., COVID-19 Image Data Collection, 2020. The clinical notes, case descriptions rather than formal
reports, stand in for the report. CT slices and lateral views are left out by default.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from data_prep.age import parse_age
from data_prep.errors import DataError, RecordError
from data_prep.files import LONGEST_NAME, report_absent
from data_prep.image import read_grey
from data_prep.study import MaskSource, Studies, Study
from data_prep.tables import find_table, names_of_option, read_table, require_unique
from data_prep.views import FRONTAL_VIEWS, no_such_view

logger = logging.getLogger(__name__)

XRAY = "X-ray"
NOT_SAID = "FRONTAL"
"""View of a row that says none ("" or "?"): those in the collection are frontal by eye."""

VIEWS = (*FRONTAL_VIEWS, NOT_SAID)
"""Read by default."""

UNLABELLED = ("todo", "Unknown")
MASK_LABELS = {
    "Cardiomediastinum": ("anatomy", "mediastinal"), "Airways": ("anatomy", "trachea"),
    "Right_Lung": ("anatomy", "right_lung_unspec"), "Left_Lung": ("anatomy", "left_lung_unspec"),
    "Ground_Glass_Opacities": ("pathology", "opacity"), "Consolidation": ("pathology", "consolidation"),
    "Pneumothorax": ("pathology", "pneumothorax"), "Tubings": ("pathology", "tube"),
    "Endotracheal_Tube": ("pathology", "tube"), "Nosogastric_Tube": ("pathology", "tube"),
    "Central_Venous_Line": ("pathology", "line"), "Monitoring_Probes": ("pathology", "lead"),
}  # fmt: skip
"""Class of a mask -> kind and name in the vocabulary; masks of one name are united."""


def read(root: Path, views: str | Sequence[str] | None = VIEWS) -> Studies:
    """Reads the radiographs in the order of metadata.csv; rows whose image is not there are left out.

    Args:
        root: folder of metadata.csv.
        views: to read ("PA,AP" or a list), of which "AP" stands for "AP Supine" and "AP semi erect" too, and "FRONTAL"
            for images whose view is not said; None or "" for all.

    Raises:
        DataError: a table missing or not as published, a file name twice or leading elsewhere, no image there or
            none with such a view.
    """
    root = Path(root)
    path = find_table(root, "metadata.csv", remedy="Point root at the dataset as cloned.")
    columns = ["patientid", "sex", "age", "finding", "view", "modality", "filename", "clinical_notes"]
    table = read_table(path, columns, filled=["patientid", "filename"])
    table = table[table["modality"] == XRAY]
    require_unique(table, "filename", path)
    _check_names(table, "filename", path)
    table = table.assign(view=table["view"].str.strip("?").replace("", np.nan))
    if views := names_of_option(views):
        said = table["view"].fillna(NOT_SAID)
        kept = said.isin(views) | said.str.split().str[0].isin(views)
        logger.info("covid: %d of %d images have another view than %s", (~kept).sum(), len(table), "/".join(views))
        if not kept.any():
            raise no_such_view(path, views, said)
        table = table[kept]
    classes = sorted({name for text in table["finding"] for name in _findings(text)})
    masks = _masks(find_table(root, "masks.csv", required=False), root / "masks")
    there = table["filename"].map(lambda name: (root / "images" / name).is_file())
    absent = report_absent(table.loc[~there, "filename"].tolist(), len(table), path, root / "images")
    table = table[there]

    def studies() -> Iterator[Study]:
        for _, row in table.iterrows():
            given = {name: value for name, value in row.items() if isinstance(value, str)}
            findings = _findings(given.get("finding"))
            yield Study(
                study_id=row["filename"],
                image_id=row["filename"],
                patient_id=row["patientid"],
                dataset="covid",
                image_path=root / "images" / row["filename"],
                view=given.get("view"),
                age_years=parse_age(given.get("age", "")),
                sex=given["sex"] if given.get("sex") in ("M", "F") else None,
                report=given.get("clinical_notes"),
                labels={name: float(name in findings) if findings else float("nan") for name in classes},
                masks=masks.get(row["filename"], ()),
                provenance={"table": path.name, "row": row["row"]}
                | {name: given[name] for name in ("license", "url", "doi") if name in given},
            )

    return Studies(studies(), len(table), absent)


def _findings(text: str | float | None) -> set[str]:
    """ "Pneumonia/Viral/COVID-19" or "COVID-19, ARDS" -> its names; empty if nothing is said."""
    names = {name.strip() for name in re.split(r"[/,]", text)} if isinstance(text, str) else set()
    return set() if names & set(UNLABELLED) else names - {""}


def _check_names(table, column: str, path: Path) -> None:
    """File names out of a table must stay in their folder."""
    for name, row in zip(table[column], table["row"], strict=True):
        if not isinstance(name, str) or Path(name).name != name or len(name.encode()) > LONGEST_NAME:
            raise DataError(f"{path} row {row}", f"{column} is {name!r}, not a plain file name", "Correct the row.")


def _masks(path: Path | None, folder: Path) -> dict[str, tuple[MaskSource, ...]]:
    if path is None:
        return {}
    table = read_table(path, ["filename", "class", "mask"])
    _check_names(table, "mask", path)
    masks: dict[str, tuple[MaskSource, ...]] = {}
    for image, name, mask, row in table[["filename", "class", "mask", "row"]].itertuples(index=False):
        if name not in MASK_LABELS:
            raise DataError(f"{path} row {row}", f"class is {name!r}", f"Use one of {', '.join(MASK_LABELS)}.")
        kind, label = MASK_LABELS[name]
        masks[image] = (*masks.get(image, ()), MaskSource(label, kind, partial(read_mask, folder / mask)))
    return masks


def read_mask(path: Path) -> np.ndarray:
    """A mask image as bool [H, W]: everything that is not black.

    Raises:
        RecordError: the file is missing or cannot be read.
    """
    if not path.is_file():
        raise RecordError(path, "no such mask", "Download it, or take its row out of masks.csv.")
    return read_grey(path).pixels > 0
