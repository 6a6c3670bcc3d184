"""Image files by their name, wherever they lie below a folder."""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.errors import DataError

logger = logging.getLogger(__name__)

DICOM_SUFFIXES = {".dcm", ".dicom"}
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"} | DICOM_SUFFIXES

LONGEST_NAME = 255
"""Bytes of a file's name that file systems take; of longer ones they cannot even say that they are not there."""


def require_folder(root: Path) -> None:
    """Raises DataError if a dataset's root is no folder."""
    if not root.is_dir():
        raise DataError(root, "no such folder", "Point root at the dataset as downloaded and unpacked.")


def walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Every folder below root, in order, with the names of its files.

    Links to folders are followed, each folder is visited once, and what macOS leaves in archives is passed over.
    """
    seen = set()
    for place, folders, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(folder for folder in folders if folder != "__MACOSX")
        yield place, sorted(name for name in names if not name.startswith("._"))


def index_images(root: Path) -> dict[str, Path]:
    """Maps each image's file name without its suffix to its path.

    Raises:
        DataError: `root` is no folder or holds no image, or two files have the same name.
    """
    require_folder(root)
    found: dict[str, Path] = {}
    for folder, names in walk(root):
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() not in IMAGE_SUFFIXES:
                continue
            if stem in found:
                problem = f"the image {stem} is there twice: {found[stem]} and {os.path.join(folder, name)}"
                raise DataError(root, problem, "Keep one copy below the root, or point root at one of the folders.")
            found[stem] = Path(folder, name)
    if not found:
        raise DataError(root, f"no image ({', '.join(sorted(IMAGE_SUFFIXES))}) below it", "Unpack the archives here.")
    return found


def report_absent(absent: Sequence[str], total: int, table: Path, root: Path) -> Sequence[str]:
    """Logs how many images a table names that are not below root; the record's attribute `absent` names them.

    Returns:
        `absent`.

    Raises:
        DataError: none of them is there.
    """
    if absent and len(absent) == total:
        problem = f"none of its {total} images lies below {root}, the first looked for is {absent[0]}"
        raise DataError(table, problem, "Point root at the folder that holds the images.")
    if absent:
        message = "%s: %d of its %d images are not below %s and are left out, the first is %s"
        logger.warning(message, table.name, len(absent), total, root, absent[0], extra={"absent": absent})
    return absent
