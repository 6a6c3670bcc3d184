"""Which compressed DICOM files can be decoded here, and what to do about the others.

Source: DICOM PS3.5 A.4 (transfer syntaxes); pydicom's table of decoders and what each of them needs.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.errors import UnreadableImage

if TYPE_CHECKING:
    import pydicom

JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
LIBJPEG = "pylibjpeg"
"""Name of pydicom's plugin that alone decodes JPEG Extended of more than 8 bits."""

REWRITTEN_BY = {
    JPEG_EXTENDED: "dcmdjpeg",
    "1.2.840.10008.1.2.4.57": "dcmdjpeg",  # JPEG Lossless, any predictor
    "1.2.840.10008.1.2.4.70": "dcmdjpeg",  # JPEG Lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": "dcmdjpls",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.81": "dcmdjpls",  # JPEG-LS Near-Lossless
}
"""Transfer syntax -> the DCMTK command that rewrites it uncompressed; pylibjpeg-libjpeg decodes all of these."""


def require_decoder(dataset: "pydicom.Dataset", path: Path) -> None:
    """Raises UnreadableImage if no decoder that is installed takes the pixels of a DICOM data set."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_transfer_syntax and (not syntax.is_compressed or _has_decoder(syntax, dataset)):
        return
    name = syntax.name if syntax.is_transfer_syntax else "unknown"
    if syntax == JPEG_EXTENDED:
        name += f" with {_bits_stored(dataset)} bits"
    remedy = "Save it uncompressed (Explicit VR Little Endian)."
    if syntax in REWRITTEN_BY:
        install = "`pip install pylibjpeg pylibjpeg-libjpeg` (GPL), which pydicom then uses by itself"
        remedy = f"Rewrite it with `{REWRITTEN_BY[syntax]}`, or {install}."
    raise UnreadableImage(path, f"compressed as {name}, which cannot be decoded here", remedy)


def _has_decoder(syntax: "pydicom.uid.UID", dataset: "pydicom.Dataset") -> bool:
    from pydicom.pixels import get_decoder

    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        return False
    if syntax == JPEG_EXTENDED and _bits_stored(dataset) != 8:
        return LIBJPEG in decoder.available_plugins
    return decoder.is_available


def _bits_stored(dataset: "pydicom.Dataset") -> int:
    return int(dataset.get("BitsStored") or dataset.BitsAllocated)
