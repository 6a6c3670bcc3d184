"""DICOM -> grey levels and what the header says of the patient; refused where the header promises what is not there."""

import hashlib
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from data_prep.age import parse_age
from data_prep.errors import UnreadableImage
from data_prep.image.dicom_codecs import require_decoder
from data_prep.image.dicom_header import transfer_syntax, view_of
from data_prep.image.dicom_levels import grey_levels
from data_prep.image.levels import GreyImage
from data_prep.image.limits import AGAIN, MAX_BYTES, SMALLER, check_size

if TYPE_CHECKING:
    import pydicom

RLE_LOSSLESS = "1.2.840.10008.1.2.5"
COMPRESSED = (RLE_LOSSLESS, "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
"""Transfer syntaxes whose frame has a size of its own: RLE, JPEG baseline, JPEG 2000 lossless and not."""


def decode_dicom(content: bytes, path: Path, percentiles: tuple[float, float] | None) -> GreyImage:
    """Pixels and header of a DICOM file; `path` is named in errors, `percentiles` as in `read_grey`.

    Raises:
        UnreadableImage: deflated, too large, several frames, no decoder, or a header that its pixels contradict.
        Exception: whatever pydicom and the decoders raise where the file is damaged.
    """
    import pydicom  # only where DICOM is read: it is slow to import

    syntax = transfer_syntax(io.BytesIO(content), path)
    dataset = pydicom.dcmread(io.BytesIO(content), force=True)
    if syntax is None:  # no file meta information, as in old files; pydicom has found out how the rest is coded
        implicit, little = dataset.original_encoding
        plain = pydicom.uid.ExplicitVRLittleEndian if little else pydicom.uid.ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian if implicit else plain
    _check_dicom(dataset, path)
    pixels = grey_levels(dataset, path, percentiles)
    return GreyImage(
        pixels,
        view=view_of(dataset),
        age_years=parse_age(str(dataset.get("PatientAge", "") or "")),
        sex=sex if (sex := str(dataset.get("PatientSex", "") or "").strip().upper()) in ("M", "F") else None,
        patient_digest=_digest(str(dataset.get("PatientID", "") or "").strip()),
    )


def _digest(patient_id: str) -> str | None:
    return hashlib.sha256(patient_id.encode()).hexdigest()[:16] if patient_id else None


def _check_dicom(dataset: "pydicom.Dataset", path: Path) -> None:
    if "PixelData" not in dataset:
        raise UnreadableImage(path, "DICOM without pixel data", "Leave it out, or download it again.")
    missing = [name for name in ("Rows", "Columns", "BitsAllocated") if dataset.get(name) is None]
    if missing:
        raise UnreadableImage(path, f"DICOM header lacks {', '.join(missing)}", AGAIN)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise UnreadableImage(path, f"holds {frames} frames", "Save the radiograph as one frame.")
    width, height = int(dataset.Columns), int(dataset.Rows)
    check_size(width, height, path)
    size = width * height * int(dataset.get("SamplesPerPixel") or 1) * math.ceil(int(dataset.BitsAllocated) / 8)
    if size > MAX_BYTES:
        raise UnreadableImage(path, f"its header says {size} bytes of pixels, over the limit of {MAX_BYTES}", SMALLER)
    require_decoder(dataset, path)
    if dataset.file_meta.TransferSyntaxUID in COMPRESSED:
        _check_frame(dataset, size, path)


def _check_frame(dataset: "pydicom.Dataset", size: int, path: Path) -> None:
    """Compares a compressed frame with the DICOM header, which its own size need not follow."""
    from pydicom.encaps import get_frame

    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if dataset.file_meta.TransferSyntaxUID == RLE_LOSSLESS:
        if len(frame) > 2 * size + 64:  # at worst RLE adds a byte to 128, and 64 of header
            raise UnreadableImage(path, f"RLE of {len(frame)} bytes for {size} bytes of pixels", AGAIN)
        return
    width, height = Image.open(io.BytesIO(frame), formats=("JPEG", "JPEG2000")).size
    if (width, height) != (dataset.Columns, dataset.Rows):
        said = f"its header says {dataset.Columns} x {dataset.Rows} pixels, the image in it {width} x {height}"
        raise UnreadableImage(path, said, AGAIN)
