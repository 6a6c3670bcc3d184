"""MIMIC-CXR-JPG as downloaded, with the MIMIC-CXR reports beside it.

Source: Johnson et al., MIMIC-CXR-JPG 2.0.0 (PhysioNet): files/p10/p10000032/s50414267/<dicom_id>.jpg and three gzipped
tables. Reports are a download of their own and lie in the sibling folder `mimic-cxr-reports`.
"""

import gzip
from pathlib import Path

import cv2

from data_prep.phantom.layouts import Slot
from data_prep.phantom.render import PhantomStudy
from data_prep.phantom.report import Report
from medslip_core.files import write_whole
from medslip_core.vocabulary import ABSENT, PRESENT

REPORTS_FOLDER = "mimic-cxr-reports"
JPEG_QUALITY = 95

METADATA_HEADER = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
    "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning"
)
SPLIT_HEADER = "dicom_id,study_id,subject_id,split"
CHEXPERT_CLASSES: dict[str, tuple[str, ...]] = {
    "Atelectasis": ("atelectasis", "collapse"),
    "Cardiomegaly": ("cardiomegaly",),
    "Consolidation": ("consolidation",),
    "Edema": ("edema",),
    "Enlarged Cardiomediastinum": ("widen",),
    "Fracture": ("fracture",),
    "Lung Lesion": ("nodule", "mass", "lesion"),
    "Lung Opacity": ("opacity", "infiltrate", "consolidation", "pneumonia", "atelectasis", "edema"),
    "No Finding": (),
    "Pleural Effusion": ("effusion",),
    "Pleural Other": ("thicken",),
    "Pneumonia": ("pneumonia",),
    "Pneumothorax": ("pneumothorax",),
    "Support Devices": ("tube", "line", "catheter", "picc", "pacemaker", "device", "wire", "lead"),
}
"""Class of the label table -> pathologies of the report that make it."""

_SCATTER = 7_368_787  # coprime to 10 million: scatters numbers over p10 … p19 without two being equal


def write_study(root: Path, slot: Slot, study: PhantomStudy, report: Report) -> dict:
    """Write the image and the report; return what the tables need."""
    subject = 10_000_000 + _scattered(slot.patient_number, slot.seed)
    number = 50_000_000 + _scattered(slot.index, slot.seed)
    digest = slot.digest("dicom_id").hex()
    dicom_id = "-".join(digest[start : start + 8] for start in range(0, 40, 8))
    folder = f"files/p{subject // 1_000_000}/p{subject}/s{number}"
    image_path = f"{folder}/{dicom_id}.jpg"
    _, jpeg = cv2.imencode(".jpg", study.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    write_whole(root / image_path, jpeg.tobytes(), flush=False)
    write_whole(root.with_name(REPORTS_FOLDER) / f"{folder}.txt", report.text.encode(), flush=False)

    day = 30 * slot.study_number + slot.patient_digest("day")[0] % 28  # of a year of 12 months with 28 days and more
    year = 2110 + slot.patient_digest("year")[0] % 90
    date = f"{year + day // 360}{day // 30 % 12 + 1:02d}{day % 30 % 28 + 1:02d}"
    time = f"{slot.digest('hour')[0] % 24:02d}{slot.digest('minute')[0] % 60:02d}{slot.digest('second')[0] % 60:02d}.0"
    position = "postero-anterior" if study.view == "PA" else "antero-posterior"
    procedure = "CHEST (PA AND LAT)" if study.view == "PA" else "CHEST (PORTABLE AP)"
    rows, columns = study.image.shape
    return {
        "study_id": f"s{number}",
        "patient_id": f"p{subject}",
        "image_path": image_path,
        "metadata": [
            dicom_id, subject, number, procedure, study.view, rows, columns, date, time, procedure, position, "Erect",
        ],
        "split": [dicom_id, number, subject, slot.split],
        "chexpert": [subject, number, *_chexpert_labels(report)],
    }  # fmt: skip


def write_tables(root: Path, rows: list[dict]) -> None:
    """Write metadata, the official split and the labels read from the reports."""
    chexpert_header = ",".join(["subject_id", "study_id", *CHEXPERT_CLASSES])
    for table, header in (("metadata", METADATA_HEADER), ("split", SPLIT_HEADER), ("chexpert", chexpert_header)):
        lines = [header, *(",".join(map(str, row[table])) for row in rows)]
        write_whole(root / f"mimic-cxr-2.0.0-{table}.csv.gz", _gzipped("".join(f"{line}\n" for line in lines)))


def _scattered(number: int, seed: int) -> int:
    return (_SCATTER * (number + 1) + 1_000_003 * seed) % 10_000_000


def _chexpert_labels(report: Report) -> list[str]:
    """Labels as CheXpert's labeller would read them from the report: 1.0, 0.0, -1.0 (uncertain) or empty."""
    states: dict[str, set[int]] = {}
    for _, pathology, state in report.said:
        states.setdefault(pathology, set()).add(state)
    labels = []
    for pathologies in CHEXPERT_CLASSES.values():
        said = set().union(*(states.get(pathology, set()) for pathology in pathologies))
        labels.append("1.0" if PRESENT in said else "" if not said else "0.0" if said == {ABSENT} else "-1.0")
    nothing_found = all(label in ("", "0.0") for label in labels[:-1])  # support devices are no finding
    labels[list(CHEXPERT_CLASSES).index("No Finding")] = "1.0" if nothing_found else ""
    return labels


def _gzipped(text: str) -> bytes:
    """Text as gzip bytes without a time stamp, equal whenever the text is."""
    return gzip.compress(text.encode(), compresslevel=6, mtime=0)
