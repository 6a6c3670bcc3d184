"""One training a run folder: a second one would mix its history, checkpoints and model with those of the first."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

LOCK = ".lock"


class RunFolderTakenError(RuntimeError):
    """Another process trains in the run folder; the message says which."""


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run folder, made if missing, for the `with` block.

    The kernel lets go of it when the process dies, however it does, so that no lock outlives its training. The file
    stays: were it removed, two processes could hold two files of its name.

    Raises:
        RunFolderTakenError: another training holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise RunFolderTakenError(
                f"{folder}: is being trained by another process ({file.read().strip() or 'unknown'}); wait for it, end "
                "it, or choose another run folder"
            ) from error
        except OSError as error:
            logger.warning(
                "%s: cannot be locked (%s): see that only one training at a time writes there", folder, error
            )
            yield
            return
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing alone would not, were a child process still holding a copy
