"""RSNA Pneumonia Detection Challenge as downloaded: DICOM files, or copies of them as PNG or JPEG.

    <root>/stage_2_train_images/<patientId>.dcm      or anywhere below root
    <tables>/stage_2_train_labels.csv      one row per box; <tables>/stage_2_detailed_class_info.csv
    <tables>/stage_2_train_images_dicom_headers.csv      optional: PatientID, PatientAge, PatientSex, ViewPosition
    <tables>/pneumonia-challenge-dataset-mappings_2018.json      optional, or in root: RSNA's own; which image of NIH
        ChestX-ray14 each one is. nih_image_index.csv (patientId, image_index) says the same, and comes first

Source: Shih et al., Radiology: Artificial Intelligence 2019. A "patientId" of the challenge is one image; who the
patient is only that mapping tells, and without it each image counts as a patient of its own. The table of headers
is torchxrayvision's; PNG and JPEG copies have their view, age and sex from it, DICOM files have them themselves.
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.age import parse_age
from data_prep.errors import DataError
from data_prep.files import DICOM_SUFFIXES, index_images, report_absent
from data_prep.rsna_patients import read_patients
from data_prep.study import Box, Studies, Study
from data_prep.tables import find_table, read_table, require_known, require_unique, tables_folder

PNEUMONIA = "Pneumonia"
DETAILED_CLASSES = ("Normal", "Lung Opacity", "No Lung Opacity / Not Normal")
HEADERS = "stage_2_train_images_dicom_headers.csv"
BOX_FRAME_PX = (1024, 1024)
"""Every image of the challenge; copies may be smaller."""


def read(root: Path, tables: str | Path | None = None) -> Studies:
    """Reads the images in the order of the label table; rows whose image is not below root are left out.

    Args:
        root: folder with the images anywhere below it.
        tables: folder of the tables, if not root; "torchxrayvision" takes the labels and headers that it ships.

    Raises:
        DataError: a table or mapping missing or not as published, an unknown target or class, no image there.
    """
    root = Path(root)
    folder = tables_folder(root, tables)
    path = find_table(folder, "stage_2_train_labels.csv", "kaggle_stage_2_train_labels.csv")
    targets, boxes, rows = _labels(path)
    details = _details(find_table(folder, "stage_2_detailed_class_info.csv", required=False))
    headers = _headers(find_table(folder, HEADERS, f"kaggle_{HEADERS}", required=False))
    patients = read_patients(list(dict.fromkeys((folder, root))), targets)
    files = index_images(root)
    there = [image for image in targets if image in files]
    absent = report_absent([image for image in targets if image not in files], len(targets), path, root)

    def studies() -> Iterator[Study]:
        for image in there:
            labels = {PNEUMONIA: targets[image]}
            if details:
                known = details.get(image)
                labels |= {name: float(name == known) if known else float("nan") for name in DETAILED_CLASSES}
            yield Study(
                study_id=image,
                image_id=image,
                patient_id=patients.get(image, image),
                dataset="rsna",
                image_path=files[image],
                labels=labels,
                boxes=boxes.get(image, ()),
                **headers.get(image, {}),
                box_frame_px=None if files[image].suffix.lower() in DICOM_SUFFIXES else BOX_FRAME_PX,
                provenance={"table": path.name, "row": rows[image]},
            )

    return Studies(studies(), len(there), absent)


def _labels(path: Path) -> tuple[dict[str, float], dict[str, tuple[Box, ...]], dict[str, int]]:
    """Target, boxes and first row of each image."""
    columns = ["patientId", "x", "y", "width", "height", "Target"]
    table = read_table(path, columns, filled=["patientId"])
    targets: dict[str, float] = {}
    boxes: dict[str, tuple[Box, ...]] = {}
    rows: dict[str, int] = {}
    for image, *numbers, target, row in table[[*columns, "row"]].itertuples(index=False):
        source = f"{path} row {row}"
        if target not in ("0", "1"):
            raise DataError(source, f"Target is {target!r}", "Use 0 or 1.")
        if targets.setdefault(image, float(target)) != float(target):
            problem = f"patientId {image!r} has Target {target} here and {targets[image]:.0f} in row {rows[image]}"
            raise DataError(source, problem, "Use the table as downloaded.")
        rows.setdefault(image, row)
        if target == "1":
            try:
                box = Box(PNEUMONIA, *map(float, numbers), source)
            except ValueError as error:
                raise DataError(source, f"box {numbers} is not four numbers", "Use the table as downloaded.") from error
            boxes[image] = (*boxes.get(image, ()), box)
    return targets, boxes, rows


def _details(path: Path | None) -> dict[str, str]:
    """The class of each image that has one."""
    if path is None:
        return {}
    table = read_table(path, ["patientId", "class"], filled=["patientId"])
    require_known(table, "class", DETAILED_CLASSES, path)
    table = table[table["class"].notna()]
    return dict(zip(table["patientId"], table["class"], strict=True))


def _headers(path: Path | None) -> dict[str, dict[str, str | float | None]]:
    """View, age and sex of each image, as `Study` takes them."""
    if path is None:
        return {}
    columns = ["PatientID", "PatientAge", "PatientSex", "ViewPosition"]
    table = read_table(path, columns, filled=["PatientID"])
    require_unique(table, "PatientID", path)
    return {
        image: {
            "view": view if isinstance(view, str) else None,
            "age_years": parse_age(age) if isinstance(age, str) else None,
            "sex": sex if sex in ("M", "F") else None,
        }
        for image, age, sex, view in table[columns].itertuples(index=False)
    }
