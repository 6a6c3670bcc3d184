"""What a DICOM header says, pixels untouched; a compressed data set is refused before it is unpacked."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from data_prep.errors import UnreadableImage
from data_prep.image.limits import AGAIN

if TYPE_CHECKING:
    import pydicom

DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.8.1")
"""Transfer syntaxes whose whole data set is compressed: its size is not known before it is unpacked."""

VIEWS = frozenset(
    "AP PA LL RL LLD RLD LLO RLO LPO RPO LAO RAO LAT LATERAL AXIAL LORDOTIC OBLIQUE SUPINE XTABLE SWIMMERS".split()
)
"""Words that a DICOM ViewPosition may consist of; other text, which may be anything, does not leave this file."""


@dataclass(frozen=True)
class DicomHeader:
    """What can be known of a DICOM file without decoding it."""

    width_px: int
    height_px: int
    view: str | None


def read_header(path: str | Path) -> DicomHeader:
    """Reads size and view of a DICOM file; its pixels are not touched.

    Raises:
        UnreadableImage: with path, reason and remedy.
    """
    import pydicom

    path = Path(path)
    tags = ["Rows", "Columns", "ViewPosition"]
    try:
        with warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")
            transfer_syntax(stream, path)
            stream.seek(0)
            dataset = pydicom.dcmread(stream, specific_tags=tags, stop_before_pixels=True, force=True)
        if dataset.get("Rows") is None or dataset.get("Columns") is None:
            raise UnreadableImage(path, "DICOM header lacks Rows or Columns", AGAIN)
        return DicomHeader(int(dataset.Columns), int(dataset.Rows), view_of(dataset))
    except UnreadableImage:
        raise
    except Exception as error:
        raise UnreadableImage(path, f"truncated or damaged ({type(error).__name__})", AGAIN) from error


def transfer_syntax(stream: BinaryIO, path: Path) -> str | None:
    """How a DICOM file is coded, None where it does not say; raises UnreadableImage for a deflated one."""
    import pydicom

    meta = pydicom.filereader.read_partial(stream, lambda tag, *_: True, force=True).file_meta
    syntax = meta.get("TransferSyntaxUID")
    if syntax in DEFLATED:
        raise UnreadableImage(path, "deflated DICOM", "Rewrite it uncompressed, for example with `dcmconv +te`.")
    return syntax


def view_of(dataset: "pydicom.Dataset") -> str | None:
    """The view, unless it is written in words that are not known."""
    view = str(dataset.get("ViewPosition", "") or "").strip()
    return view if view and VIEWS.issuperset(view.upper().split()) else None
