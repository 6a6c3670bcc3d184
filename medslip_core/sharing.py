"""One machine's part of a list of runs."""

from __future__ import annotations

from typing import TypeVar

from medslip_core.parameters import ParameterError

Run = TypeVar("Run")


def share_of(runs: list[Run], share: str) -> list[Run]:
    """The runs of one machine among several, e.g. "2/4".

    Raises:
        ParameterError: not a share.
    """
    part, slash, parts = share.partition("/")
    if not (slash and part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise ParameterError(f"share: {share!r} is not k/n with 1 <= k <= n, e.g. 2/4")
    return runs[int(part) - 1 :: int(parts)]
