"""What a run tells while it runs: a history in CSV, TensorBoard, and a progress bar (sparse lines in a batch log)."""

from __future__ import annotations

import csv
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from medslip_core.losses.objective import TERMS

logger = logging.getLogger(__name__)


def columns(terms: Sequence[str] = TERMS) -> list[str]:
    """Columns of the history of a run whose loss has these terms.

    `step` counts optimiser steps done and `epoch` passes done (a fraction within one); `split` is train or validate;
    the GPU's figures are those of the main process's (see `gpu_use.GpuUse`).
    """
    told = ("gradient_norm", "macro_auroc", "images_per_s", "gpu_memory_gib", "gpu_utilisation_percent")
    return ["step", "epoch", "split", "learning_rate", *terms, *told]


class TrainingLog:
    """The history of a run: rows of `columns(terms)`, appended to `history.csv` as they come, and to TensorBoard.

    Errors of the disk name the file.

    Args:
        run_folder: where history.csv and tensorboard/ lie.
        after_step: rows of an earlier part of this run are kept up to this step; later ones will come again.
        tensorboard: write TensorBoard events too.
        terms: of the loss.
    """

    def __init__(self, run_folder: Path, after_step: int, tensorboard: bool, terms: Sequence[str] = TERMS) -> None:
        self.path, self.columns = run_folder / "history.csv", columns(terms)
        history = read_history(self.path, terms)
        rewritten = self.path.with_suffix(".partial")
        history[history["step"] <= after_step].to_csv(rewritten, index=False)
        rewritten.replace(self.path)
        self._writer = _tensorboard_writer(run_folder / "tensorboard", after_step) if tensorboard else None

    def add(self, **row: object) -> None:
        """Append one row."""
        try:
            with open(self.path, "a", newline="") as file:
                csv.DictWriter(file, self.columns).writerow(row)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        if self._writer:
            for name, value in row.items():
                if name not in ("step", "epoch", "split"):
                    self._writer.add_scalar(f"{name}/{row['split']}", value, row["step"])

    def close(self) -> None:
        """Flush TensorBoard."""
        if self._writer:
            self._writer.close()


def read_history(path: Path, terms: Sequence[str] = TERMS) -> pd.DataFrame:
    """Read a history.csv; empty if there is none. A last line torn by a kill is left out; so are damaged ones, told."""
    if not path.exists():
        return pd.DataFrame(columns=columns(terms))
    text = path.read_text(errors="replace")
    whole = text[: text.rfind("\n") + 1]
    frame = pd.DataFrame(csv.DictReader(whole.splitlines())).reindex(columns=columns(terms))
    for column in frame.columns.drop("split"):
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    readable = frame["step"].notna() & frame["split"].isin(["train", "validate"])
    if not readable.all():
        logger.warning("%s: %d damaged lines are left out", path, (~readable).sum())
    return frame[readable].astype({"step": int}).reset_index(drop=True)


class Progress:
    """A progress bar over steps on a terminal, about 20 lines per run elsewhere.

    Args:
        total_steps: of the run.
        done_steps: before this session.
        shown: False on all but one process.
    """

    def __init__(self, total_steps: int, done_steps: int, shown: bool) -> None:
        terminal = sys.stderr.isatty()
        self._bar = tqdm(total=total_steps, initial=done_steps, unit="step", disable=not (shown and terminal))
        self._lines = shown and not terminal
        self._total, self._first, self._done = total_steps, done_steps, done_steps
        self._line_every = max(total_steps // 20, 1)
        self._next_line = done_steps + min(self._line_every, 10)
        self._started = time.monotonic()

    def step(self) -> None:
        """One step is done."""
        self._done += 1
        self._bar.update()

    def report(self, figures: dict[str, float]) -> None:
        """Show running figures."""
        text = " ".join(f"{name} {value:.4g}" for name, value in figures.items())
        self._bar.set_postfix_str(text, refresh=False)
        if self._lines and (self._done >= self._next_line or self._done == self._total):
            self._next_line = self._done + self._line_every
            left_s = (self._total - self._done) * (time.monotonic() - self._started) / (self._done - self._first)
            share = f"{self._done}/{self._total} steps ({self._done / self._total:.0%})"
            speed = f"{figures['images/s']:.0f} images/s"  # the terms are in history.csv; a line must fit a page
            tqdm.write(f"{share} | total {figures['total']:.3f} | {speed} | {tqdm.format_interval(left_s)} left")

    def note(self, text: str) -> None:
        """A line that stays."""
        if self._lines or not self._bar.disable:
            tqdm.write(text)

    def close(self) -> None:
        """End the bar."""
        self._bar.close()


def _tensorboard_writer(folder: Path, after_step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        logger.warning("no TensorBoard logs (%s): pip install tensorboard, or set tensorboard: false", error)
        return None
    return SummaryWriter(str(folder), purge_step=after_step + 1)
