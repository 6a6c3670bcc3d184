"""Which views are read, where only the headers of the DICOM files say which view it is."""

from collections.abc import Sequence
from pathlib import Path

from data_prep.errors import UnreadableImage
from data_prep.image import read_header

FRONTAL_VIEWS = ("PA", "AP")


def header_has_view(path: Path, views: Sequence[str]) -> bool:
    """Whether a DICOM file's view is one of these; True for one that cannot be read: the writer then sets it aside."""
    try:
        return read_header(path).view in views
    except UnreadableImage:
        return True
