"""Ctrl-C and SIGTERM as a wish to stop at the next good moment; schedulers send the latter before they kill."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

logger = logging.getLogger(__name__)


ECHO_S = 10.0
"""A launcher hands the terminal's Ctrl-C on to processes that have it already: what comes so soon is the same one. Not
shorter, as Python looks at a signal only when the kernel or the wait for a GPU in which it came is over."""


class StopOnSignal:
    """Notes SIGINT and SIGTERM inside a `with` block instead of dying at once; a later second one is not held back.

    Attributes:
        signal: number of the signal that came; 0 as long as none did.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._noted_s = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopOnSignal:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: object) -> None:
        if not self.signal:
            self.signal, self._noted_s = number, time.monotonic()
            logger.warning("signal %d: finishing the step, then saving", number)
        elif time.monotonic() - self._noted_s > ECHO_S:
            self.__exit__()
            signal.raise_signal(number)


@contextlib.contextmanager
def interruption_told(line: str) -> Iterator[None]:
    """End with a line and status 130, not with a traceback, where Ctrl-C interrupts the `with` block.

    Args:
        line: what to say, unless the KeyboardInterrupt came with a message: then what raised it has said where it is.
    """
    try:
        yield
    except KeyboardInterrupt as stopped:
        if not stopped.args:
            logger.warning(line)
        sys.exit(128 + signal.SIGINT)
