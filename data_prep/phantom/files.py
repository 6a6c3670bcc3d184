"""Files that are whole or not there, and equal bytes for equal content: the ground of a restartable generator."""

import gzip
import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that a killed writer never leaves half a file.

    Args:
        path: where the file belongs; missing parent folders are made.
        content: all its bytes.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
    os.replace(partial, path)


def gzipped(text: str) -> bytes:
    """Text as gzip bytes without a time stamp, equal whenever the text is."""
    return gzip.compress(text.encode(), compresslevel=6, mtime=0)
