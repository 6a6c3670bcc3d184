"""Which views are read, where a table or only the headers of the DICOM files say which view it is."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from data_prep.errors import DataError, UnreadableImage
from data_prep.image import read_header
from data_prep.tables import as_option

FRONTAL_VIEWS = ("PA", "AP")


def header_has_view(path: Path, views: Sequence[str]) -> bool:
    """Whether a DICOM file's view is one of these; True for one that cannot be read: the writer then sets it aside."""
    try:
        return read_header(path).view in views
    except UnreadableImage:
        return True


def no_such_view(where: Path, asked: Sequence[str], there: pd.Series) -> DataError:
    """The error where no image has a view that is asked for; it names those that there are, the most frequent first."""
    names = there.dropna().value_counts().index.tolist()
    known = f"its views: {', '.join(names)}" if names else "it names no view at all"
    remedy = f"Name the views to read: {as_option('views')}; empty for all."
    return DataError(where, f"no image with view {', '.join(map(repr, asked))}; {known}", remedy)
