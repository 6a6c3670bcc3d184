"""How large an image may be: asked of its header, before anything is decoded."""

from pathlib import Path

from data_prep.errors import UnreadableImage

MAX_PIXELS = 64 * 1024 * 1024
"""Largest image that is decoded: several times the largest chest radiograph, far below a decompression bomb."""

MAX_BYTES = 4 * MAX_PIXELS
"""Largest file that is opened, and largest image in stored bytes: MAX_PIXELS of 32 bits."""

AGAIN = "Download the file again."
SMALLER = "Resize it first if it is a radiograph."
"""What to do about a file that is refused, here and by the decoders."""


def check_size(width_px: int, height_px: int, path: Path) -> None:
    """Raises UnreadableImage if an image has no pixel, or more than MAX_PIXELS."""
    if width_px < 1 or height_px < 1:
        raise UnreadableImage(path, f"its header says {width_px} x {height_px} pixels", AGAIN)
    if width_px * height_px > MAX_PIXELS:
        reason = f"its header says {width_px} x {height_px} pixels, over the limit of {MAX_PIXELS}"
        raise UnreadableImage(path, reason, SMALLER)
