"""SIIM-ACR Pneumothorax as downloaded: the dicom-images-train tree and train-rle.csv.

Run lengths are column-major, and each start is *relative* to the end of the run before it; -1 means no pneumothorax;
an image has one row per annotation.
"""

import uuid
from pathlib import Path

import numpy as np

from data_prep.phantom.layouts import Slot
from data_prep.phantom.layouts.dicom import dicom_bytes, uid_from
from data_prep.phantom.render import PhantomStudy
from data_prep.phantom.report import Report
from medslip_core.files import write_whole


def relative_run_lengths(mask: np.ndarray) -> str:
    """A mask in the challenge's notation: "gap length gap length …" down the columns.

    Args:
        mask: [H, W] bool.
    """
    down_columns = np.concatenate([[False], mask.T.ravel(), [False]])
    edges = np.flatnonzero(down_columns[1:] != down_columns[:-1])  # start, end, start, end, …
    return " ".join(map(str, np.diff(edges, prepend=0).tolist())) or "-1"


def write_study(root: Path, slot: Slot, study: PhantomStudy, report: Report) -> dict:
    """Write the DICOM file; return what the table needs."""
    patient_id = str(uuid.UUID(bytes=slot.patient_digest("patient")[:16], version=4))
    study_uid, series_uid, sop_uid = (uid_from(slot.digest(what)) for what in ("study", "series", "image"))
    image_path = f"dicom-images-train/{study_uid}/{series_uid}/{sop_uid}.dcm"
    content = dicom_bytes(
        study.image,
        patient_id=patient_id,
        study_uid=study_uid,
        series_uid=series_uid,
        sop_uid=sop_uid,
        view=study.view,
        age_years=study.age_years,
        sex=study.sex,
        pixel_spacing_mm=study.pixel_spacing_mm,
    )
    write_whole(root / image_path, content, flush=False)
    annotations = [
        relative_run_lengths(mask)
        for finding, mask in zip(study.findings, study.finding_masks, strict=True)
        if finding.pathology == "pneumothorax"
    ]
    return {"study_id": sop_uid, "patient_id": patient_id, "image_path": image_path, "annotations": annotations}


def write_tables(root: Path, rows: list[dict]) -> None:
    """Write the annotations, one row each, and a row with -1 for every image without one."""
    lines = ["ImageId, EncodedPixels"]
    for row in rows:
        lines += [f"{row['study_id']},{runs}" for runs in row["annotations"] or ["-1"]]
    write_whole(root / "train-rle.csv", "".join(f"{line}\n" for line in lines).encode())
