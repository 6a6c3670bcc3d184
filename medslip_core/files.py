"""Files that a reader sees whole or not at all."""

import os
import uuid
from pathlib import Path


def write_whole(path: Path, content: bytes, flush: bool = True) -> None:
    """Write a file under a name that nobody else takes, flush it to the disk, and rename it; missing folders are made.

    Several processes or machines may write the same file at once: each reader sees the content of one of them.

    Args:
        path: where the file belongs; content: all its bytes.
        flush: False for many small files that can be made again: a power cut may then lose some, a kill none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # machines that share a disk have the same pids
    try:
        with partial.open("wb") as file:
            file.write(content)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
