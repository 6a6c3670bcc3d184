"""Image files of every kind, made on the spot as bytes: what the fault cases and the fuzzing start from."""

import io
import warnings

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage


def picture(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Pixels [H, W] or [H, W, C], or a Pillow image, as a file of one of Pillow's kinds."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def dicom(
    stored: np.ndarray,
    syntax: UID = ExplicitVRLittleEndian,
    data: bytes | None = None,
    preamble: bool = True,
    **tags: object,
) -> bytes:
    """Stored values [H, W] or [H, W, 3] as a DICOM file.

    Args:
        stored: 8, 16 or 32 bit, signed or not.
        syntax: transfer syntax.
        data: the pixel data, compressed if the syntax says so; None: `stored` as it is.
        preamble: whether the file begins with the 128 bytes and "DICM".
        tags: by keyword; None takes one out.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128 if preamble else None)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = stored.shape[:2]
    dataset.SamplesPerPixel = 1 if stored.ndim == 2 else stored.shape[2]
    dataset.PhotometricInterpretation = "MONOCHROME2" if stored.ndim == 2 else "RGB"
    if stored.ndim == 3:
        dataset.PlanarConfiguration = 0
    bits = stored.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom says so of values that break the standard, which is the purpose here
        for name, value in tags.items():
            setattr(dataset, name, value)
        if tags.get("BitsStored") and "HighBit" not in tags:
            dataset.HighBit = int(tags["BitsStored"]) - 1
        if syntax.is_compressed and not syntax.is_deflated:
            dataset.PixelData = encapsulate([data])
            dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        else:
            dataset.PixelData = stored.tobytes() if data is None else data
            dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
        for name in [name for name, value in tags.items() if value is None]:
            delattr(dataset, name)
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=preamble)
    return buffer.getvalue()


def rle_segments(planes: list[bytes]) -> bytes:
    """An RLE Lossless fragment (PS3.5 annex G) of byte planes, most significant first, in literal runs."""
    coded = []
    for plane in planes:
        runs = [plane[start : start + 128] for start in range(0, len(plane), 128)]
        data = b"".join(bytes([len(run) - 1]) + run for run in runs)
        coded.append(data + b"\0" * (len(data) % 2))
    offsets = [64 + sum(map(len, coded[:number])) for number in range(len(coded))]
    header = np.zeros(16, "<u4")
    header[: 1 + len(coded)] = [len(coded), *offsets]
    return header.tobytes() + b"".join(coded)
