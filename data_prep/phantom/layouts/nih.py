"""NIH ChestX-ray14 as downloaded: images/, Data_Entry_2017_v2020.csv, BBox_List_2017.csv and the official lists.

Source: Wang et al., ChestX-ray8, CVPR 2017. Box coordinates are in the 1024 x 1024 frame of the release, whatever the
size of the images at hand. Only eight classes have boxes, and only images of the test list do.
"""

from pathlib import Path

import cv2

from data_prep.phantom.layouts import Slot
from data_prep.phantom.layouts.boxes import finding_boxes
from data_prep.phantom.render import PhantomStudy
from data_prep.phantom.report import Report
from medslip_core.files import write_whole
from medslip_core.vocabulary import DATASET_CLASSES, PRESENT

BOX_FRAME_PX = 1024
BOX_CLASSES = {
    "Atelectasis": "atelectasis", "Cardiomegaly": "cardiomegaly", "Effusion": "effusion", "Infiltrate": "infiltrate",
    "Mass": "mass", "Nodule": "nodule", "Pneumonia": "pneumonia", "Pneumothorax": "pneumothorax",
}  # fmt: skip
"""The box file's own class names ("Infiltrate" where the labels say "Infiltration") -> pathology."""

ENTRY_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"


def write_study(root: Path, slot: Slot, study: PhantomStudy, report: Report) -> dict:
    """Write the image; return what the tables need."""
    study_id = f"{slot.patient_number + 1:08d}_{slot.study_number:03d}"
    image_path = f"images/{study_id}.png"
    _, png = cv2.imencode(".png", study.image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    write_whole(root / image_path, png.tobytes(), flush=False)

    present = {pathology for _, pathology, state in study.triplets if state == PRESENT}
    labels = [name for name, pathology in DATASET_CLASSES["nih"].items() if pathology in present]
    scale = BOX_FRAME_PX / study.image.shape[0]
    boxes = [
        [name, *(value * scale for value in box)]
        for finding, mask in zip(study.findings, study.finding_masks, strict=True)
        for name, pathology in BOX_CLASSES.items()
        if finding.pathology == pathology
        for box in finding_boxes(mask)
    ]
    return {
        "study_id": study_id,
        "patient_id": study_id[:8],
        "image_path": image_path,
        "entry": [
            f"{study_id}.png", "|".join(labels) or "No Finding", slot.study_number, slot.patient_number + 1,
            study.age_years, study.sex, study.view, *study.image.shape[::-1], study.pixel_spacing_mm,
            study.pixel_spacing_mm,
        ],
        "boxes": boxes,
        "test": slot.split == "test",
    }  # fmt: skip


def write_tables(root: Path, rows: list[dict]) -> None:
    """Write labels, boxes and the official patient-wise lists."""
    entries = [",".join(map(str, row["entry"])) for row in rows]
    boxes = [
        ",".join([row["entry"][0], label, *(f"{value:.12g}" for value in box)])
        for row in rows
        if row["test"]
        for label, *box in row["boxes"]
    ]
    write_whole(root / "Data_Entry_2017_v2020.csv", _lines([ENTRY_HEADER, *entries]))
    write_whole(root / "BBox_List_2017.csv", _lines([BOX_HEADER, *boxes]))
    write_whole(root / "train_val_list.txt", _lines([row["entry"][0] for row in rows if not row["test"]]))
    write_whole(root / "test_list.txt", _lines([row["entry"][0] for row in rows if row["test"]]))


def _lines(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
