"""Files that a reader sees whole or not at all."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes, flush: bool = True) -> None:
    """Write a file under a name of this process, flush it to the disk, and rename it; missing folders are made.

    Several processes or machines may write the same file at once: each reader sees the content of one of them.

    Args:
        path: where the file belongs; content: all its bytes.
        flush: False for many small files that can be made again: a power cut may then lose some, a kill none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("wb") as file:
        file.write(content)
        if flush:
            file.flush()
            os.fsync(file.fileno())
    partial.replace(path)
