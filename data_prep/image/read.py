"""The one path for every dataset: a file is recognised by its content, and decoded as a DICOM file or as a picture."""

import re
import warnings
from pathlib import Path

from data_prep.errors import UnreadableImage
from data_prep.files import DICOM_SUFFIXES
from data_prep.image.dicom import decode_dicom
from data_prep.image.levels import GreyImage, rising
from data_prep.image.limits import AGAIN, MAX_BYTES, SMALLER
from data_prep.image.picture import decode_picture

LFS_POINTER = b"version https://git-lfs"
PICTURES = (b"\x89PNG", b"\xff\xd8\xff")
"""How PNG and JPEG files begin, whatever they are called."""


def read_grey(path: str | Path, percentiles: tuple[float, float] | None = None) -> GreyImage:
    """Reads an image file as grey levels.

    Args:
        path: a DICOM, PNG or JPEG file, or anything else that Pillow reads.
        percentiles: of the levels, from dark to bright, that become 0 and 255 (step 5 of the package); None: not done.

    Raises:
        UnreadableImage: with path, reason and remedy, whatever is wrong with the file.
        DataError: the percentiles are not two rising numbers in 0..100.
    """
    path, percentiles = Path(path), rising(percentiles)
    try:
        if not path.is_file() and path.exists():
            raise UnreadableImage(path, "is a folder or a device, not a file", "Put the image itself there.")
        if path.stat().st_size > MAX_BYTES:
            raise UnreadableImage(path, f"{path.stat().st_size} bytes long, over the limit of {MAX_BYTES}", SMALLER)
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableImage(path, f"cannot be opened ({error.strerror})", "Check the path and its rights.") from error
    if not content:
        raise UnreadableImage(path, "the file is empty", AGAIN)
    if content.startswith(LFS_POINTER):
        raise UnreadableImage(path, "a Git LFS pointer, not the image itself", "Run `git lfs pull` in its repository.")
    dicom = _begins_dicom(content, path)
    decode = decode_dicom if dicom else decode_picture
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn of each value that breaks a standard, quoting it
            return decode(content, path, percentiles)
    except UnreadableImage:
        raise
    except Exception as error:  # decoders raise a dozen types, RecursionError and MemoryError among them
        # A DICOM error may quote the header, names in it; another may name an object's address, new in each run.
        said = "" if dicom else f": {re.sub(' <.* at 0x.*>', '', str(error))[:120]}"
        raise UnreadableImage(path, f"truncated or damaged ({type(error).__name__}{said})", AGAIN) from error


def is_dicom(path: str | Path) -> bool:
    """Whether a file would be read as DICOM.

    Raises:
        UnreadableImage: it cannot be opened.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            return _begins_dicom(stream.read(132), path)
    except OSError as error:
        raise UnreadableImage(path, f"cannot be opened ({error.strerror})", "Check the path and its rights.") from error


def _begins_dicom(content: bytes, path: Path) -> bool:
    named_dicom = path.suffix.lower() in DICOM_SUFFIXES and not content.startswith(PICTURES)
    return content[128:132] == b"DICM" or named_dicom
