"""The training loop of fine-tuning: a budget of steps, looks at the validation part, early stopping, exact resumption.

All randomness comes from counters (see `medslip_core.randomness`), so a run that was killed goes on from its last look
at the validation part as if nothing had happened. Source: paper section "Fine-tuning"; the published schedule, called
a cosine, is constant, ours is one.
"""

from __future__ import annotations

import logging
import math
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from medslip_core import checkpoint as checkpoints
from medslip_core.finetune.learners import Learner
from medslip_core.finetune.params import FinetuneParams
from medslip_core.optimisation import (
    learning_rate,
    load_optimizer_tensors,
    make_optimizer,
    optimizer_tensors,
    set_learning_rate,
)
from medslip_core.randomness import torch_seed
from medslip_core.sampling import BatchOrder
from medslip_core.torch_state import own_randomness

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit:
    """What a training run did; the network has the weights of its best validation.

    steps: optimiser steps done; best_step: those done at the best validation; best_score: its score;
    history: one entry per validation (step, loss: mean training loss since the one before, score).
    """

    steps: int
    best_step: int
    best_score: float
    history: list[dict[str, float]]


def fit(
    learner: Learner, rows: np.ndarray, params: FinetuneParams, seed: int, folder: Path, identity: Mapping[str, Any]
) -> Fit:
    """Train until the budget is spent or validation stops getting better.

    Args:
        learner: what is trained.
        rows: [n] corpus rows to train on.
        params: budget and optimiser.
        seed: of order and dropout.
        folder: of checkpoints; one of the same `identity` is taken up.
        identity: all that must be the same for a resumed run to be the same run; what JSON can hold.

    Raises:
        FloatingPointError: the loss or the score became NaN or infinite.
        checkpoint.CheckpointError: a checkpoint could not be written.
    """
    order = BatchOrder(rows, params.batch_size, seed, even=True)
    total = params.steps(order.steps_per_epoch)
    every = math.ceil(total / params.validations)
    network = learner.network
    optimizer = make_optimizer(network, params)
    state = {"step": 0, "best_step": 0, "best_score": -math.inf, "history": []}
    best: dict[str, Tensor] = {}
    saved = checkpoints.latest_checkpoint(folder) if folder.is_dir() else None
    if saved and saved.state["identity"] == identity:
        state, best = saved.state["run"], saved.tensors["best"]
        network.load_state_dict(saved.tensors["network"])
        load_optimizer_tensors(network, optimizer, saved.tensors["optimizer"])
        logger.info("resumed from step %d of %d", state["step"], total)
    elif saved:
        logger.info("%s belongs to another run and is not taken up", saved.folder)
        shutil.rmtree(folder)

    with own_randomness(learner.device), tqdm(
        total=total, initial=state["step"], unit="step", leave=False, disable=not sys.stderr.isatty()
    ) as progress:  # fmt: skip
        while state["step"] < total and not _stopped_early(state, params):
            learner.training_mode()
            losses = []
            for step in range(state["step"], min(state["step"] + every, total)):
                set_learning_rate(optimizer, learning_rate(params, step / total * params.epochs))
                torch.manual_seed(torch_seed(seed, "dropout", step))
                loss = learner.loss(order.batch(step), order.epoch_of(step))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
                progress.update()
            state["step"] += len(losses)
            mean_loss = float(torch.stack(losses).mean())
            score = learner.score() if math.isfinite(mean_loss) else math.nan
            if not math.isfinite(score):
                told = f"the loss is {mean_loss}, and the validation score {score}, by step {state['step']}"
                raise FloatingPointError(f"{told}: lower the learning_rate")
            state["history"].append({"step": state["step"], "loss": mean_loss, "score": score})
            progress.set_postfix(loss=mean_loss, score=score)
            if score > state["best_score"]:
                state |= {"best_step": state["step"], "best_score": score}
                best = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
            tensors = dict(network=network.state_dict(), best=best, optimizer=optimizer_tensors(network, optimizer))
            checkpoints.write_checkpoint(
                checkpoints.step_folder(folder, state["step"]), tensors, {"identity": identity, "run": state}
            )
            checkpoints.prune_checkpoints(folder, keep=2)
    network.load_state_dict(best)
    return Fit(state["step"], state["best_step"], state["best_score"], state["history"])


def _stopped_early(state: Mapping[str, Any], params: FinetuneParams) -> bool:
    since_best = sum(look["step"] > state["best_step"] for look in state["history"])
    return bool(params.patience) and since_best >= params.patience
