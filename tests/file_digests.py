"""Whether two folders hold the same bytes."""

import hashlib
from pathlib import Path


def file_digests(folder: Path) -> dict[str, str]:
    """File name -> SHA-256, of all files of a folder without folders in it."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
