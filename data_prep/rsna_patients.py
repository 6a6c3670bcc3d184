"""Who the patient of each image of the RSNA challenge is, by the image of NIH ChestX-ray14 that it was made of.

Source: RSNA's own mapping, a JSON list of one object per image. Of their keys two are read: `subset_img_id`, which the
challenge's tables call patientId, and `img_id`, the file name in NIH ChestX-ray14 ("00000013_005.png").
"""

import json
import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from data_prep.errors import DataError
from data_prep.nih import patient_of
from data_prep.tables import MAX_BYTES, find_optional, read_table, require_unique

logger = logging.getLogger(__name__)

MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
MAPPING_URL = f"https://s3.amazonaws.com/east1.public.rsna.org/AI/2018/{MAPPING}"
INDEX = "nih_image_index.csv"
OF_ITS_OWN = "each image counts as a patient of its own, and a split may part the images of one patient"
AGAIN = f"Download it again from {MAPPING_URL}, or take it away: each image is a patient of its own then."


def read_patients(folders: Sequence[Path], images: Collection[str]) -> dict[str, str]:
    """patientId of the challenge -> NIH patient ("00000013"), from INDEX or else MAPPING; empty if neither is there.

    Args:
        folders: where the two are looked for, the dataset's root last; the first that holds one counts.
        images: whose patients are asked for; a warning counts those that the file does not name.

    Raises:
        DataError: a file that is not as described, or an image that two entries give to two patients.
    """
    if (path := find_optional(folders, INDEX)) is not None:
        patients = _read_index(path)
    elif (path := next((folder / MAPPING for folder in folders if (folder / MAPPING).is_file()), None)) is not None:
        patients = _read_mapping(path)
    else:
        logger.warning(
            "rsna: no %s in %s: %s. Download it from %s into %s",
            MAPPING, " or ".join(map(str, folders)), OF_ITS_OWN, MAPPING_URL, folders[-1],
        )  # fmt: skip
        return {}
    lacking = [image for image in images if image not in patients]
    if lacking:
        said = "rsna: %s lacks %d of the %d images, the first is %s: of these, %s"
        logger.warning(said, path.name, len(lacking), len(images), lacking[0], OF_ITS_OWN)
    return patients


def _read_index(path: Path) -> dict[str, str]:
    table = read_table(path, ["patientId", "image_index"], filled=["patientId", "image_index"])
    require_unique(table, "patientId", path)
    return dict(zip(table["patientId"], table["image_index"].map(patient_of), strict=True))


def _read_mapping(path: Path) -> dict[str, str]:
    if path.stat().st_size > MAX_BYTES:
        raise DataError(path, f"{path.stat().st_size} bytes long, over the limit of {MAX_BYTES}", AGAIN)
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(path, f"not readable as JSON ({type(error).__name__}: {error})", AGAIN) from error
    if not isinstance(entries, list) or not entries:
        raise DataError(path, "not a list of images", AGAIN)
    patients: dict[str, str] = {}
    for number, entry in enumerate(entries, start=1):
        source = f"{path} entry {number}"
        image, original = (_text(entry, key, source) for key in ("subset_img_id", "img_id"))
        if patients.setdefault(image, patient_of(original)) != patient_of(original):
            problem = f"subset_img_id {image!r} is of another patient in an entry before"
            raise DataError(source, problem, AGAIN)
    return patients


def _text(entry: object, key: str, source: str) -> str:
    if not isinstance(entry, dict) or key not in entry:
        raise DataError(source, f"no {key} in it", AGAIN)
    if not isinstance(entry[key], str) or not entry[key]:
        raise DataError(source, f"{key} is {entry[key]!r}", AGAIN)
    return entry[key]
