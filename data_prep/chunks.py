"""Consecutive studies that are prepared together, and how to know them again after a run was stopped."""

import hashlib
import os
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from data_prep.study import Study

CHUNK = 32
"""Studies that are prepared by one worker and written with one line of the journal."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive studies, and a digest of all that is said of them and of their image files' sizes and times."""

    studies: list[Study]
    key: str


def in_chunks(studies: Iterable[Study]) -> Iterator[Chunk]:
    """Divides studies into chunks, which depend on nothing but their order."""
    studies = iter(studies)
    while chunk := list(islice(studies, CHUNK)):
        files = [(status.st_size, status.st_mtime_ns) if (status := _status(study)) else None for study in chunk]
        yield Chunk(chunk, hashlib.sha256(pickle.dumps((chunk, files))).hexdigest())


def _status(study: Study) -> os.stat_result | None:
    try:
        return study.image_path.stat()
    except OSError:
        return None
