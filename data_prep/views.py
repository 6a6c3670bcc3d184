"""Which views are read, where a table or only the headers of the DICOM files say which view it is."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from data_prep.errors import DataError, UnreadableImage
from data_prep.image import is_dicom, read_header
from data_prep.study import Study
from data_prep.tables import as_option

logger = logging.getLogger(__name__)

FRONTAL_VIEWS = ("PA", "AP")


def of_views(
    studies: Iterable[Study], views: Sequence[str], where: Path, other_views: Iterable[str] = ()
) -> Iterator[Study]:
    """The studies that have one of these views, all if `views` is empty; says how many were left out and why.

    Args:
        studies: to choose from.
        views: that are asked for; where the table of a study does not tell its view, its DICOM header does.
        where: the table or folder that they are of, for what is said.
        other_views: of images that were left out before.

    Raises:
        DataError: none has one of these views.
    """
    given, left_out = 0, list(other_views)
    for study in studies:
        if not views or (view := _view(study, views)) in views:
            given += 1
            yield study
        else:
            left_out.append(view)
    there = pd.Series(left_out, dtype=object)
    if len(there) and not given:
        raise no_such_view(where, views, there)
    total, unknown = given + len(there), int(there.isna().sum())
    if len(there) > unknown:
        said = "%s: %d of %d images have another view than %s and are left out"
        logger.info(said, where.name, len(there) - unknown, total, "/".join(views))
    if unknown:
        said = "%s: %d of %d images are left out, for nothing tells their view; to read them too, leave %s empty"
        logger.warning(said, where.name, unknown, total, as_option("views"), extra={"kind": "view not known"})


def _view(study: Study, views: Sequence[str]) -> str | None:
    """A study's view; of a file that cannot be read one of those asked for, so that the writer sets it aside."""
    if study.view is not None:
        return study.view
    try:
        return read_header(study.image_path).view if is_dicom(study.image_path) else None
    except UnreadableImage:
        return views[0]


def no_such_view(where: Path, asked: Sequence[str], there: pd.Series) -> DataError:
    """The error where no image has a view that is asked for; it names those that there are, the most frequent first."""
    names = there.dropna().value_counts().index.tolist()
    known = f"its views: {', '.join(names)}" if names else "it names no view at all"
    remedy = f"Name the views to read: {as_option('views')}; empty for all."
    return DataError(where, f"no image with view {', '.join(map(repr, asked))}; {known}", remedy)
