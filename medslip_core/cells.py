"""What a grid of fine-tunings and a comparison have in common: cells, each a run that ends in a folder of its own.

A finished cell is not run again, and machines divide the cells by shares, each writing into the same or its own copy of
the folder.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from tqdm import tqdm

from medslip_core.allocator import keep_freed_memory
from medslip_core.checkpoint import CheckpointError
from medslip_core.interruption import interruption_told
from medslip_core.parameters import ParameterError
from medslip_core.provenance import write_results
from medslip_core.run_lock import RunFolderTakenError, run_lock

logger = logging.getLogger(__name__)


class Named(Protocol):
    """A cell: its name is that of its folder."""

    @property
    def name(self) -> str: ...


Cell = TypeVar("Cell", bound=Named)


class Cells(Generic[Cell]):
    """Base: a folder of cells.

    Attributes:
        what: they are, for the progress bar.
        folder: where `cells` lies, with a folder for each of them.
        cells: all of them, in the order in which they are run.
    """

    what: str

    def __init__(self, folder: str | Path, cells: list[Cell]) -> None:
        self.folder, self.cells = Path(folder), cells

    def is_finished(self, cell: Cell) -> bool:
        """Whether its result is there, of the same parameters, data and weights."""
        raise NotImplementedError

    def run_cell(self, cell: Cell) -> None:
        """Run it, or what is left of it where it was killed."""
        raise NotImplementedError

    def summary(self) -> dict[str, Any]:
        """What the finished cells say, as JSON can hold it."""
        raise NotImplementedError

    def folder_of(self, cell: Cell) -> Path:
        return self.folder / "cells" / cell.name

    def run(self, chosen: list[Cell] | None = None) -> None:
        """Run those of some cells (all if None) that are not finished.

        Raises:
            RunFolderTakenError: another process runs one of them.
        """
        for cell in tqdm(self.cells if chosen is None else chosen, desc=self.what, unit="run"):
            if not self.is_finished(cell):
                with run_lock(self.folder_of(cell)):
                    if not self.is_finished(cell):  # by another process, before this one had the lock
                        self.run_cell(cell)


def share_of(cells: list[Cell], share: str) -> list[Cell]:
    """The cells of one machine among several, e.g. "2/4".

    Raises:
        ParameterError: not a share.
    """
    part, slash, parts = share.partition("/")
    if not (slash and part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise ParameterError(f"share: {share!r} is not k/n with 1 <= k <= n, e.g. 2/4")
    return cells[int(part) - 1 :: int(parts)]


def command(
    module: str, told: logging.Logger, opened: Callable[[Path], Cells], arguments: list[str] | None = None
) -> None:
    """Run all cells or a share of them, from a file of parameters; or write what is finished of them as JSON.

    Args:
        module: name that it is called by.
        told: what the module tells its progress through.
        opened: the cells of a file of parameters.
        arguments: of the command line.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=command.__doc__.partition("\n")[0])
    parser.add_argument("--params", required=True, type=Path, help="YAML or JSON; paths relative to the file")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--share", default="1/1", help="this machine's part of the cells, e.g. 2/4")
    either.add_argument("--summary", type=Path, help="train nothing; write what the finished cells say here, as JSON")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    told.setLevel(logging.INFO)
    try:
        work = opened(given.params)
        chosen = share_of(work.cells, given.share)
    except (ValueError, FileNotFoundError) as error:
        parser.error(f"{given.params}: {error}")
    keep_freed_memory()
    if not given.summary:
        try:
            with interruption_told("interrupted; the same command goes on: finished runs are kept"):
                work.run(chosen)
        except (ParameterError, RunFolderTakenError, CheckpointError, FloatingPointError, OSError) as error:
            parser.exit(1, f"{parser.prog}: error: {error}\n")
        return
    for cell in work.cells:
        if not work.is_finished(cell):
            logger.warning("%s: not finished with these parameters, data and weights; left out", cell.name)
    write_results(given.summary, work.summary())
