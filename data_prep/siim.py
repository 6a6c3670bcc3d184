"""SIIM-ACR Pneumothorax as downloaded: a tree of DICOM files, or a flat folder, or copies as PNG or JPEG.

    <root>/dicom-images-train/<study>/<series>/<ImageId>.dcm      or anywhere below root
    <tables>/train-rle.csv      first release: columns "ImageId", " EncodedPixels" and values " -1", with leading blanks
    <tables>/stage_2_train.csv      second release: the same without blanks, with the test images of the first besides,
        which lie in dicom-images-test/; it is read where both tables are there

One row is one annotation, and an image may have several: they are united. "-1" says that there is no pneumothorax.

Source: SIIM-ACR Pneumothorax Segmentation challenge, 2019.
"""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from data_prep import rle
from data_prep.files import DICOM_SUFFIXES, index_images, report_absent
from data_prep.image import read_header
from data_prep.study import MaskSource, Studies, Study
from data_prep.tables import find_table, read_table, tables_folder

logger = logging.getLogger(__name__)

TABLES = ("stage_2_train.csv", "train-rle.csv", "siim-pneumothorax-train-rle.csv")
"""The newest release first, last the name that torchxrayvision gives one."""

PNEUMOTHORAX = "Pneumothorax"
RELEASED_PX = (1024, 1024)
"""Width and height of every image of the challenge, in which the masks of PNG and JPEG copies are coded."""


def read(root: Path, tables: str | Path | None = None) -> Studies:
    """Reads the images in the order of the annotation table; those not below root are left out.

    Args:
        root: folder with the images anywhere below it.
        tables: folder of the table, if not root; "torchxrayvision" takes the one that this package ships.

    Raises:
        DataError: the table missing or not as published, no image there.
    """
    root = Path(root)
    folder = tables_folder(root, tables)
    path = find_table(folder, *TABLES)
    others = [other.name for name in TABLES if (other := find_table(folder, name, required=False)) not in (None, path)]
    if others:
        said = "siim: %s is read, the newest table of those there, and not %s"
        logger.warning(said, path.name, " or ".join(others), extra={"harmless": True})
    table = read_table(path, ["ImageId", "EncodedPixels"], filled=["ImageId"])
    annotations: dict[str, list[tuple[str, int]]] = {}
    for image, text, row in table[["ImageId", "EncodedPixels", "row"]].itertuples(index=False):
        annotations.setdefault(image, []).append((text.strip() if isinstance(text, str) else "", row))
    files = index_images(root)
    there = [image for image in annotations if image in files]
    absent = report_absent([image for image in annotations if image not in files], len(annotations), path, root)

    def studies() -> Iterator[Study]:
        for image in there:
            empty = [text == rle.EMPTY for text, _ in annotations[image]]
            fault, rows = None, [row for _, row in annotations[image]]
            if not all(text for text, _ in annotations[image]):
                fault = f"{path} rows {rows}: an empty cell. Write {rle.EMPTY} for no mask, or the mask's run lengths."
            elif any(empty) and not all(empty):
                fault = f"{path} rows {rows}: both a mask and {rle.EMPTY} (no mask). Keep the ones that are right."
            mask = partial(united_mask, annotations[image], files[image], path)
            yield Study(
                study_id=image,
                image_id=image,
                patient_id=None,
                dataset="siim",
                image_path=files[image],
                labels={PNEUMOTHORAX: float(not any(empty))},
                masks=() if any(empty) else (MaskSource("pneumothorax", "pathology", mask),),
                provenance={"table": path.name, "row": annotations[image][0][1]},
                fault=fault,
            )

    return Studies(studies(), len(there), absent)


def united_mask(annotations: list[tuple[str, int]], image_path: Path, table: Path) -> np.ndarray:
    """All annotations of an image as one mask, bool [H, W].

    Args:
        annotations: (run lengths, row in the table) of each.
        image_path: the image; a DICOM header gives the mask's size, other files are copies of 1024 x 1024 px.
        table: the table's path, for error messages.

    Raises:
        RecordError: run lengths that do not fit.
    """
    width, height = RELEASED_PX
    if image_path.suffix.lower() in DICOM_SUFFIXES:
        header = read_header(image_path)
        width, height = header.width_px, header.height_px
    masks = [rle.decode(text, width, height, f"{table} row {row}") for text, row in annotations]
    return np.logical_or.reduce(masks)
