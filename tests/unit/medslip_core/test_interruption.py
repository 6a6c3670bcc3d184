"""Ctrl-C as a wish to stop: a launcher's echo of it is the same wish, a later one is another."""

import signal
import time

import pytest

from medslip_core.interruption import ECHO_S, StopOnSignal


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """A process that was started in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("echo", [signal.SIGINT, signal.SIGTERM])
def test_what_a_launcher_hands_on_is_the_same_wish(echo: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopOnSignal() as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(echo)
        assert stop.signal == signal.SIGINT
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_later_one_is_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt), StopOnSignal():
        signal.raise_signal(signal.SIGINT)
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + ECHO_S + 0.1)
        signal.raise_signal(signal.SIGINT)
