"""RSNA Pneumonia Detection Challenge as downloaded: stage_2_train_images/*.dcm and two tables with a row per box.

Source: Shih et al., Radiology: Artificial Intelligence 2019. Box coordinates are pixels of the image. The challenge
gives every image a patientId of its own.
"""

import uuid
from pathlib import Path

from data_prep.phantom.layouts import Slot
from data_prep.phantom.layouts.boxes import finding_boxes
from data_prep.phantom.layouts.dicom import dicom_bytes, uid_from
from data_prep.phantom.render import PhantomStudy
from data_prep.phantom.report import Report
from medslip_core.files import write_whole

OPACITY_PATHOLOGIES = ("pneumonia",)
"""Findings that the challenge's readers box as lung opacity suspicious for pneumonia."""

UNUSUAL_SHARE = {"monochrome1": 0.04, "twelve-bit": 0.04}
"""Share of images in other encodings: not in the challenge, but in hospitals, so that readers are tried on them."""


def write_study(root: Path, slot: Slot, study: PhantomStudy, report: Report) -> dict:
    """Write the DICOM file; return what the tables need."""
    patient_id = str(uuid.UUID(bytes=slot.digest("patientId")[:16], version=4))
    image_path = f"stage_2_train_images/{patient_id}.dcm"
    content = dicom_bytes(
        study.image,
        patient_id=patient_id,
        study_uid=uid_from(slot.digest("study")),
        series_uid=uid_from(slot.digest("series")),
        sop_uid=uid_from(slot.digest("image")),
        view=study.view,
        age_years=study.age_years,
        sex=study.sex,
        pixel_spacing_mm=study.pixel_spacing_mm,
        encoding=_encoding(slot),
    )
    write_whole(root / image_path, content, flush=False)
    boxes = [
        box
        for finding, mask in zip(study.findings, study.finding_masks, strict=True)
        if finding.pathology in OPACITY_PATHOLOGIES
        for box in finding_boxes(mask)
    ]
    detail = "Lung Opacity" if boxes else "No Lung Opacity / Not Normal" if study.findings else "Normal"
    return {
        "study_id": patient_id,
        "patient_id": patient_id,
        "image_path": image_path,
        "boxes": boxes,
        "detail": detail,
    }


def write_tables(root: Path, rows: list[dict]) -> None:
    """Write the box table and the detailed classes, both with one row per box."""
    labels, details = ["patientId,x,y,width,height,Target"], ["patientId,class"]
    for row in rows:
        for box in row["boxes"]:
            labels.append(",".join([row["patient_id"], *(f"{value:.1f}" for value in box), "1"]))
        if not row["boxes"]:
            labels.append(f"{row['patient_id']},,,,,0")
        details += [f"{row['patient_id']},{row['detail']}"] * max(1, len(row["boxes"]))
    write_whole(root / "stage_2_train_labels.csv", "".join(f"{line}\n" for line in labels).encode())
    write_whole(root / "stage_2_detailed_class_info.csv", "".join(f"{line}\n" for line in details).encode())


def _encoding(slot: Slot) -> str:
    chance = slot.digest("encoding")[0] / 256
    for encoding, share in UNUSUAL_SHARE.items():
        if chance < share:
            return encoding
        chance -= share
    return "jpeg"
