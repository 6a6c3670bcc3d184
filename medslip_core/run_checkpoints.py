"""The state of a pre-training run as a checkpoint: saved, found again, and compared with what is asked for now.

Everything that a run needs to go on is in each of them, the weights of its best validation too: as long as one
verifies, no more is lost than the steps since.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medslip_core import checkpoint as checkpoints
from medslip_core.optimisation import WeightAverage, load_optimizer_tensors, optimizer_tensors
from medslip_core.parameters import ParameterError
from medslip_core.training_log import read_history

logger = logging.getLogger(__name__)

FORMAT = 2


class ParametersChangedError(ParameterError):
    """A run is to be resumed with other parameters, a model of another config or another corpus than it began with."""


@dataclass(frozen=True)
class Best:
    """The best validation so far: optimiser steps and epochs done, its score, and the weights (on the CPU)."""

    step: int
    epoch: int
    score: float
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class Restored:
    """Where a run stood: steps done, figures since the last row of the history, best validation, threads computing."""

    step: int
    interval: list[list[float]]
    best: Best | None
    threads: int


class RunCheckpoints:
    """Checkpoints of one run.

    Args:
        folder: of the run.
        identity: all that must be the same for a resumed run to be the same run; JSON can hold it.
        keep: verified checkpoints to keep.
        model, optimizer, average, scaler: whose state is saved and restored.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        keep: int,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        average: WeightAverage | None,
        scaler: torch.amp.GradScaler | None,
    ) -> None:
        self.folder, self.root, self.keep = folder, folder / "checkpoints", keep
        self.identity = json.loads(json.dumps({"checkpoint_format": FORMAT, **identity}))
        self.model, self.optimizer, self.average, self.scaler = model, optimizer, average, scaler

    def save(self, step: int, interval: list[list[float]], best: Best | None) -> None:
        """Write the checkpoint after `step` steps; older ones go once it verifies.

        Raises:
            CheckpointError: it could not be written; those there are intact.
        """
        tensors = dict(model=self.model.state_dict(), optimizer=optimizer_tensors(self.model, self.optimizer))
        if self.average:
            tensors["average"] = self.average.tensors
        if best:
            tensors["best"] = best.weights
        state = dict(
            step=step,
            identity=self.identity,
            interval=interval,
            best=dict(step=best.step, epoch=best.epoch, score=best.score) if best else None,
            average_updates=self.average.updates if self.average else 0,
            scaler=self.scaler.state_dict() if self.scaler else {},
            threads=torch.get_num_threads(),
        )
        folder = checkpoints.step_folder(self.root, step)
        checkpoints.write_checkpoint(folder, tensors, state)
        checkpoints.prune_checkpoints(self.root, self.keep, verified_now=folder)

    def restore(self) -> Restored | None:
        """Put the newest state that verifies back; None if the run has none yet.

        Raises:
            ParametersChangedError: it is of another run.
            CheckpointError: there are checkpoints, but none verifies.
        """
        saved = checkpoints.latest_checkpoint(self.root)
        if saved is None:
            return None
        _refuse_changes(saved.state["identity"], self.identity, saved.folder)
        self.model.load_state_dict(saved.tensors["model"])
        load_optimizer_tensors(self.model, self.optimizer, saved.tensors["optimizer"])
        if self.average:
            self.average.load(saved.tensors["average"], saved.state["average_updates"])
        if self.scaler and saved.state["scaler"]:  # a run in bfloat16 has none to go on with
            self.scaler.load_state_dict(saved.state["scaler"])
        best = saved.state["best"]
        return Restored(
            step=saved.state["step"],
            interval=saved.state["interval"],
            best=Best(**best, weights=saved.tensors["best"]) if best else None,
            threads=saved.state["threads"],
        )

    def tell(self, step: int) -> None:
        """Say from where the run goes on, and which steps that its history knows were not saved or are lost."""
        told = read_history(self.folder / "history.csv")["step"].max()
        if told > step and not (step == 0 and (self.folder / "model").exists()):  # a finished run, tidied up
            logger.warning(
                "%s reaches step %d, the last state that verifies is that after step %d: the steps between come again",
                self.folder / "history.csv", told, step,
            )  # fmt: skip
        elif step:
            logger.info("going on after step %d", step)

    def clear(self) -> None:
        """Delete what an earlier run left in the folder."""
        for leftover in ("checkpoints", "tensorboard", "model", "non_finite"):
            shutil.rmtree(self.folder / leftover, ignore_errors=True)
        (self.folder / "history.csv").unlink(missing_ok=True)


def _refuse_changes(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    changes = [
        f"{name} was {before.get(name)!r}, is {now.get(name)!r}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    if changes:
        raise ParametersChangedError(
            f"{folder} belongs to a run with other parameters: {'; '.join(changes)}. "
            "Take them back, choose another run folder, or start anew with resume=False"
        )
