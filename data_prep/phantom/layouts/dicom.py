"""DICOM files like those of the RSNA and SIIM challenges: converted secondary captures, 8-bit JPEG baseline."""

import io

import cv2
import numpy as np
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage

JPEG_QUALITY = 95
IMPLEMENTATION_UID = "2.25.320911472058237214830251873061845720613"

TWELVE_BIT_OFFSET = 600
TWELVE_BIT_GAIN = 10
"""Stored value = offset + gain x grey level; the VOI window undoes exactly this."""


def uid_from(digest: bytes) -> str:
    """A valid DICOM UID (the 2.25 arc) from at least 16 bytes."""
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def dicom_bytes(
    image: np.ndarray,
    *,
    patient_id: str,
    study_uid: str,
    series_uid: str,
    sop_uid: str,
    view: str,
    age_years: int,
    sex: str,
    pixel_spacing_mm: float,
    encoding: str = "jpeg",
) -> bytes:
    """One radiograph as a DICOM file.

    Args:
        image: [S, S] uint8, air dark, bone bright.
        view: "PA" or "AP".
        sex: "M" or "F".
        encoding: "jpeg" (8-bit MONOCHROME2, JPEG baseline, as the challenges ship them), "monochrome1" (the same with
            inverted grey levels), or "twelve-bit" (uncompressed, 12 bits stored in 16, with a VOI window).

    Raises:
        ValueError: unknown encoding.
    """
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = sop_uid
    dataset.StudyDate = "19010101"
    dataset.StudyTime = "000000.00"
    dataset.AccessionNumber = ""
    dataset.Modality = "CR"
    dataset.ConversionType = "WSD"
    dataset.ReferringPhysicianName = ""
    dataset.SeriesDescription = f"view: {view}"
    dataset.PatientName = patient_id
    dataset.PatientID = patient_id
    dataset.PatientBirthDate = ""
    dataset.PatientSex = sex
    # The challenges write the bare number, which the standard forbids (it asks for "051Y"); so do we.
    dataset["PatientAge"] = DataElement("PatientAge", "AS", str(age_years), validation_mode=config.IGNORE)
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = view
    dataset.StudyInstanceUID = study_uid
    dataset.SeriesInstanceUID = series_uid
    dataset.StudyID = ""
    dataset.SeriesNumber = "1"
    dataset.InstanceNumber = "1"
    dataset.PatientOrientation = ""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if encoding == "monochrome1" else "MONOCHROME2"
    dataset.Rows, dataset.Columns = image.shape
    dataset.PixelSpacing = [f"{pixel_spacing_mm:.6g}"] * 2
    dataset.PixelRepresentation = 0

    if encoding in ("jpeg", "monochrome1"):
        shown = 255 - image if encoding == "monochrome1" else image
        _, jpeg = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionMethod = "ISO_10918_1"
        dataset.PixelData = encapsulate([jpeg.tobytes()])
        dataset["PixelData"].is_undefined_length = True
        syntax = JPEGBaseline8Bit
    elif encoding == "twelve-bit":
        stored = TWELVE_BIT_OFFSET + TWELVE_BIT_GAIN * image.astype(np.uint16)
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        width = TWELVE_BIT_GAIN * 255 + 1  # PS3.3 C.11.2.1.2: lowest value shown = centre - 0.5 - (width - 1) / 2
        dataset.WindowCenter = f"{TWELVE_BIT_OFFSET + 0.5 + (width - 1) / 2:g}"
        dataset.WindowWidth = f"{width:d}"
        dataset.PixelData = stored.astype("<u2").tobytes()
        dataset["PixelData"].VR = "OW"
        syntax = ExplicitVRLittleEndian
    else:
        raise ValueError(f"unknown DICOM encoding {encoding!r}; one of jpeg, monochrome1, twelve-bit")

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = sop_uid
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = "MEDSLIP_PHANTOM"
    buffer = io.BytesIO()
    FileDataset(buffer, dataset, file_meta=meta, preamble=b"\0" * 128).save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
