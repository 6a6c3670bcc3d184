"""The columns of the tables as published, to tell a table that was edited or is of another release."""

import csv
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from data_prep import mimic
from data_prep.check.finding import WARNING, Finding
from data_prep.tables import UNREADABLE, open_unpacked

PUBLISHED: dict[str, dict[str, str]] = {
    "nih": {
        "Data_Entry_2017": "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,Patient Sex,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]",
        "BBox_List_2017": "Image Index,Finding Label,Bbox [x,y,w,h]",
    },
    "rsna": {
        "stage_2_train_labels": "patientId,x,y,width,height,Target",
        "kaggle_stage_2_train_labels": "patientId,x,y,width,height,Target",
        "stage_2_detailed_class_info": "patientId,class",
        "nih_image_index": "patientId,image_index",
    },
    "siim": dict.fromkeys(("train-rle", "stage_2_train", "siim-pneumothorax-train-rle"), "ImageId,EncodedPixels"),
    "mimic": {
        "mimic-cxr-2.*-metadata": "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,"
        "Columns,StudyDate,StudyTime,ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,"
        "PatientOrientationCodeSequence_CodeMeaning",
        "mimic-cxr-2.*-split": "dicom_id,study_id,subject_id,split",
        "mimic-cxr-2.*-chexpert": ",".join(("subject_id", "study_id", *mimic.CLASSES)),
    },
    "openi": {
        "indiana_reports": "uid,MeSH,Problems,image,indication,comparison,findings,impression",
        "indiana_projections": "uid,filename,projection",
    },
    "covid": {
        "metadata": "patientid,offset,sex,age,finding,RT_PCR_positive,survival,intubated,intubation_present,went_icu,"
        "in_icu,needed_supplemental_O2,extubated,temperature,pO2_saturation,leukocyte_count,neutrophil_count,"
        "lymphocyte_count,view,modality,date,location,folder,filename,doi,url,license,clinical_notes,other_notes,"
        "source,width,height",
        "masks": "filename,class,mask",
    },
}
"""Dataset -> table's name without suffix, may be a pattern -> the columns that it has in any release."""


def tables_of(dataset: str, folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """The published tables that lie in a folder, each with the columns it may have."""
    for name, columns in PUBLISHED.get(dataset, {}).items():
        for path in sorted([*folder.glob(f"{name}*.csv"), *folder.glob(f"{name}*.csv.*")]):
            yield path, columns.split(",")


def unexpected_columns(dataset: str, folder: Path) -> list[Finding]:
    """A finding for every published table in a folder that has other columns than published."""
    findings = []
    for path, columns in tables_of(dataset, folder):
        header = next(iter(lines_of(path)), "")
        given = [name.strip().removeprefix("\ufeff") for name in next(csv.reader([header]), [])]
        unexpected = [name for name in given if name and name not in columns]
        if unexpected:
            problem = f"unexpected column {', '.join(map(repr, unexpected))}"
            remedy = "Nothing reads it. If the table was edited, compare it with the one as downloaded."
            findings.append(Finding(WARNING, "unexpected column", path.name, problem, remedy))
    return findings


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a text file, plain, .gz or .zip, or of the XML files in a .tgz.

    Ends where the file cannot be read, which its reader says better.
    """
    try:
        if path.suffix == ".tgz":
            with tarfile.open(path) as archive:
                for member in archive:
                    if member.isfile() and member.name.endswith(".xml"):
                        yield from io.TextIOWrapper(archive.extractfile(member), encoding="utf-8", errors="replace")
        else:
            with open_unpacked(path) as file:
                yield from io.TextIOWrapper(file, encoding="utf-8", errors="replace")
    except (*UNREADABLE, tarfile.TarError):
        return
