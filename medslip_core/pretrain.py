"""Pre-training: from a prepared corpus to a MeDSLIP model, exactly resumable, on a CPU, a GPU or many.

    accelerate launch -m medslip_core.pretrain --params FILE      (or: python -m medslip_core.pretrain --params FILE)

A run folder holds `history.csv`, `tensorboard/`, `checkpoints/` and, at the end, `model/`. All randomness comes from
counters (see `medslip_core.randomness`), so the state of a run is its weights, its optimiser and the number of its
step; a run that was killed and resumed ends, on a CPU, with the same bits as one that was not.

Losses and their negatives stay within an image, so several processes need no gather of features.

Source: paper section "Implementation". Differences on purpose from the published train_MeDSLIP.py: flips swap the
labels' sides, validation has its own view and fixed negatives, one process writes, each term of the loss is logged.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object
from torch import Tensor

from medslip_core import checkpoint as checkpoints
from medslip_core.augment import Views, augment, draw_views, flip_matrix
from medslip_core.corpus import PreparedCorpus
from medslip_core.losses.existence import stream_labels
from medslip_core.losses.objective import medslip_objective
from medslip_core.losses.protocl import Negatives, sample_negatives
from medslip_core.model import MedslipConfig, MedslipModel, MedslipOutput
from medslip_core.optimisation import (
    WeightAverage,
    freeze_stages,
    learning_rate,
    make_optimizer,
    set_learning_rate,
    training_mode,
)
from medslip_core.parameters import ParameterError
from medslip_core.pretrain_params import MODEL_NAMES, PretrainParams
from medslip_core.randomness import generator, torch_seed
from medslip_core.sampling import BatchOrder, part_of_batch
from medslip_core.training_log import TERMS, Progress, TrainingLog, read_history
from medslip_core.validation import label_matrix, macro_auroc, pathology_labels, validation_rows
from medslip_core.vocabulary import ABSENT, ANATOMY_INDEX, PATHOLOGY_INDEX, PRESENT

logger = logging.getLogger(__name__)

VALIDATION_BATCH = 64  # fixed, as the negatives are drawn per batch
UNSPECIFIC_ANATOMIES = (ANATOMY_INDEX["unspecified"], ANATOMY_INDEX["other"])
UNSPECIFIC_PATHOLOGIES = (PATHOLOGY_INDEX["tail_abnorm_obs"], PATHOLOGY_INDEX["excluded_obs"])


class ParametersChangedError(ParameterError):
    """A run is to be resumed with other parameters, another model or another corpus than it began with."""


class NonFiniteLossError(FloatingPointError):
    """A loss or gradient became NaN or infinite; the message names the folder with the batch."""


@dataclass(frozen=True)
class PretrainResult:
    """A finished run.

    Attributes:
        model: the resulting model, in evaluation mode.
        model_folder: the same, saved (`MedslipModel.from_pretrained` reads it).
        best_checkpoint: weights of the best validation (None if there was none); last_checkpoint: the last state.
        best_step: optimiser steps done at the best validation; best_score: its macro AUROC, or minus its total loss.
        steps: optimiser steps done.
        history: one row per `log_every_steps` steps and per validation (columns: `training_log.COLUMNS`).
    """

    model: MedslipModel
    model_folder: Path
    best_checkpoint: Path | None
    last_checkpoint: Path
    best_step: int
    best_score: float
    steps: int
    history: pd.DataFrame


def pretrain(
    params: PretrainParams,
    corpus: PreparedCorpus,
    run_folder: str | Path,
    resume: bool = True,
    model: MedslipModel | None = None,
) -> PretrainResult:
    """Train on the corpus's split "train", validate on "validate", and save the resulting model.

    Interrupted (Ctrl-C, SIGTERM), it finishes the step, saves and raises; called again, it goes on from there.

    Args:
        params: of the run.
        corpus: prepared images and triplets.
        run_folder: where everything is written.
        resume: go on from the last checkpoint in the folder that verifies; False deletes what an earlier run left.
        model: to start from, with its text books; None builds one from `params`.

    Raises:
        ParametersChangedError: resuming with other parameters than the run began with.
        NonFiniteLossError: a loss or gradient was NaN or infinite; the batch is saved.
        checkpoint.CheckpointError: a checkpoint could not be written, or none of those there can be read.
        ValueError: the corpus has no rows to train or validate on.
    """
    run_folder = Path(run_folder)
    with _global_state(params):
        run = _Run(params, corpus, run_folder, model or starting_model(params))
        run.restore(resume)
        run.train()
        return run.finish()


def starting_model(params: PretrainParams) -> MedslipModel:
    """The model before training: drawn from the seed, trunk weights as asked for, text books set."""
    from medslip_core.text import embed_books

    books = embed_books(params.text_encoder, separator=params.text_separator)
    config = MedslipConfig(**{"text_dim": books.dim, **params.model})
    with torch.random.fork_rng():
        torch.manual_seed(torch_seed(params.seed, "initial weights"))
        model = MedslipModel(config)
    if params.trunk_weights != "none":
        model.trunk.load_imagenet(params.trunk_weights)
    model.set_books(books.anatomy, books.pathology, params.text_encoder)
    return model


@dataclass(frozen=True)
class TrainingViews:
    """What a training step sees.

    Attributes:
        rows: [B] int64 corpus rows; images: [B, s, s] float32 in [0, 1], augmented; flipped: [B] bool.
        matrix: [B, A, P] int8, sides swapped where the image was flipped.
    """

    rows: np.ndarray
    images: Tensor
    flipped: Tensor
    matrix: Tensor


def training_views(params: PretrainParams, corpus: PreparedCorpus, step: int, image_size: int) -> TrainingViews:
    """The augmented batch of a step (from 0), exactly as `pretrain` feeds it to the model.

    Args:
        params, corpus: as for `pretrain`.
        step: optimiser step, from 0.
        image_size: side of the model's input, px.
    """
    order = BatchOrder(corpus.rows("train"), params.batch_size, params.seed)
    rows = order.batch(step)
    views = draw_views(params.augment, params.seed, order.epoch_of(step), rows)
    images = augment(torch.from_numpy(np.ascontiguousarray(corpus.images[rows])), views, image_size)
    matrix = flip_matrix(torch.from_numpy(label_matrix(params, corpus, rows)), views.flipped)
    return TrainingViews(rows, images, views.flipped, matrix)


class _Run:
    """State of a run, and one method per thing that happens in it."""

    def __init__(self, params: PretrainParams, corpus: PreparedCorpus, folder: Path, model: MedslipModel) -> None:
        self.params, self.corpus, self.folder, self.model = params, corpus, folder, model
        self.order = BatchOrder(corpus.rows("train"), params.batch_size, params.seed)
        self.total_steps = params.epochs * self.order.steps_per_epoch
        self.validation_rows = validation_rows(params, corpus)

        self.accelerator = Accelerator(mixed_precision=_precision(params), cpu=params.device == "cpu")
        self.device = self.accelerator.device
        self.frozen = freeze_stages(model.trunk.network, params.frozen_stages)
        model.to(self.device, memory_format=torch.channels_last)
        self.optimizer = make_optimizer(model, params)
        self.network, self.prepared_optimizer = self.accelerator.prepare(model, self.optimizer)
        self.average = WeightAverage(model, params.average_decay) if params.average_decay else None

        existence, protocl, icl = params.existence_weight, params.protocl_weight, params.icl_weight
        self.weights = torch.tensor([existence, existence, protocl, protocl, icl], device=self.device)

        self.step = 0  # optimiser steps done
        self.best_step, self.best_score, self.best_epoch = 0, -float("inf"), 0
        self.pending: list[Tensor] = []  # figures of recent steps, still on the device
        self.interval: list[list[float]] = []  # figures of the steps since the last row of the history

    # -- data ---------------------------------------------------------------------------------------------------------

    def batch(self, step: int) -> tuple[np.ndarray, Views, Tensor, Negatives]:
        """Rows, views, label matrices (sides swapped where flipped) and negatives of the whole batch of a step."""
        params, rows = self.params, self.order.batch(step)
        views = draw_views(params.augment, params.seed, self.order.epoch_of(step), rows)
        matrix = flip_matrix(self.matrix(rows), views.flipped)
        return rows, views, matrix, self.negatives(matrix, "negatives", step)

    def matrix(self, rows: np.ndarray) -> Tensor:
        """Label matrices [B, A, P] int8 of corpus rows, on the device."""
        return torch.from_numpy(label_matrix(self.params, self.corpus, rows)).to(self.device)

    def negatives(self, matrix: Tensor, stream: str, counter: int) -> Negatives:
        return sample_negatives(
            matrix,
            self.params.negatives,
            generator(self.device, self.params.seed, stream, counter),
            exclude_anatomies=() if self.params.negatives_unspecific else UNSPECIFIC_ANATOMIES,
            exclude_pathologies=() if self.params.negatives_unspecific else UNSPECIFIC_PATHOLOGIES,
        )

    def images(self, rows: np.ndarray) -> Tensor:
        """Images [B, S, S] uint8 of corpus rows, on the device."""
        return torch.from_numpy(np.ascontiguousarray(self.corpus.images[rows])).to(self.device, non_blocking=True)

    def input(self, images: Tensor) -> Tensor:
        return self.model.pixel_values(images).contiguous(memory_format=torch.channels_last)

    def losses(self, output: MedslipOutput, matrix: Tensor, negatives: Negatives, share: Tensor) -> Tensor:
        """`TERMS` [6] of a part of a batch, each term times the part's share [5] of the batch's labels.

        Summed over the parts they are the losses of the whole batch, however it was divided.
        """
        temperature = self.model.config.protocl_temperature
        losses = medslip_objective(
            output, matrix, *self.model.text_books(), negatives,
            temperature=temperature, healthy_is_absent=self.params.healthy_is_absent,
        )  # fmt: skip
        terms = torch.stack([getattr(losses, term) for term in TERMS[1:]]) * share
        return torch.cat([(self.weights * terms).sum().reshape(1), terms])

    def label_counts(self, matrix: Tensor) -> Tensor:
        return label_counts(matrix, self.params.healthy_is_absent)

    # -- training -----------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Steps, rows of the history, validations and checkpoints, until the last epoch, an early stop or a signal."""
        params, per_epoch = self.params, self.order.steps_per_epoch
        progress = Progress(self.total_steps, self.step, shown=self.accelerator.is_main_process)
        log = None
        if self.accelerator.is_main_process:
            log = TrainingLog(self.folder, self.step, params.tensorboard)
        images, seconds = 0, 0.0
        training_mode(self.model, self.frozen, params.frozen_batch_norm)
        try:
            with _StopOnSignal() as stop:
                while self.step < self.total_steps and not self.stopped_early():
                    started = time.perf_counter()
                    images += self.train_step()
                    progress.step()
                    epoch_ends = self.step % per_epoch == 0
                    if self.step % params.log_every_steps == 0 or epoch_ends:
                        self.fetch()
                        figures = dict(zip((*TERMS, "gradient_norm"), np.mean(self.interval, axis=0), strict=True))
                        self.interval.clear()
                        seconds += time.perf_counter() - started
                        self.record(log, "train", learning_rate=self.rate(self.step - 1), **figures,
                                    images_per_s=images / seconds)  # fmt: skip
                        progress.report({**{name: figures[name] for name in TERMS}, "images/s": images / seconds})
                        images, seconds = 0, 0.0
                    else:
                        seconds += time.perf_counter() - started
                    if epoch_ends:
                        figures = self.validate()
                        if figures:
                            self.record(log, "validate", **figures)
                            progress.note(self.judged(figures))
                    asked = self.agreed(stop.signal)
                    if epoch_ends or asked or _is_multiple(self.step, params.checkpoint_every_steps):
                        self.save()
                    if asked:
                        self.leave(asked)
        finally:
            progress.close()
            if log:
                log.close()

    def train_step(self) -> int:
        """One optimiser step; returns the number of images."""
        params, accelerator = self.params, self.accelerator
        rows, views, matrix, negatives = self.batch(self.step)
        set_learning_rate(self.optimizer, self.rate(self.step))
        parts = accelerator.num_processes * params.accumulation_steps
        counts, figures = self.label_counts(matrix), torch.zeros(len(TERMS), device=self.device)
        for passage in range(params.accumulation_steps):
            number = passage * accelerator.num_processes + accelerator.process_index
            part = part_of_batch(len(rows), number, parts)
            share = self.label_counts(matrix[part]) / counts.clamp(min=1)
            if part.start == part.stop:  # a small last batch: every process still takes part in the backward pass
                part = slice(0, 1)
            grey = augment(self.images(rows[part]), views[part], self.model.config.image_size)
            last = passage == params.accumulation_steps - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self.network):
                torch.manual_seed(torch_seed(params.seed, "dropout", self.step, number))
                output = self.network(self.input(grey))
                chosen = Negatives(pathology=negatives.pathology[part], anatomy=negatives.anatomy[part])
                losses = self.losses(output, matrix[part], chosen, share)
                accelerator.backward(losses[0] * accelerator.num_processes)  # whose gradients are averaged
            figures += losses.detach()
        trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        norm = accelerator.clip_grad_norm_(trained, params.clip_norm or float("inf"))
        self.prepared_optimizer.step()
        self.prepared_optimizer.zero_grad()
        if self.average:
            self.average.update(self.model)
        self.pending.append(torch.cat([figures, norm.reshape(1)]))
        self.step += 1
        return len(rows)

    def rate(self, step: int) -> float:
        return learning_rate(self.params, step / self.order.steps_per_epoch)

    def fetch(self) -> None:
        """Bring the recent steps' figures to the host (the only wait for the device), and watch for NaN."""
        if not self.pending:
            return
        figures = torch.stack(self.pending)  # [steps, terms + 1]
        self.pending.clear()
        terms = self.accelerator.reduce(figures[:, :-1], "sum")
        rows = torch.cat([terms, figures[:, -1:]], dim=1).tolist()
        watched = slice(0, len(TERMS)) if self.accelerator.scaler else slice(None)  # float16 overflows are skipped
        for number, row in enumerate(rows):
            if not np.isfinite(row[watched]).all():
                self.stop_non_finite(self.step - len(rows) + number, row)
        self.interval.extend(rows)

    def stop_non_finite(self, step: int, figures: list[float]) -> None:
        """Save the batch of a step (drawn again from its counters) and raise."""
        rows, views, matrix, _ = self.batch(step)
        folder = self.folder / "non_finite"
        named = dict(zip((*TERMS, "gradient_norm"), figures, strict=True))
        if self.accelerator.is_main_process:
            folder.mkdir(exist_ok=True)
            pixels = self.input(augment(self.images(rows), views, self.model.config.image_size))
            tensors = dict(pixel_values=pixels.contiguous(), matrix=matrix, rows=torch.from_numpy(rows))
            safetensors.torch.save_file({name: t.cpu() for name, t in tensors.items()}, folder / "batch.safetensors")
            told = dict(step=step, epoch=self.order.epoch_of(step), **{name: str(x) for name, x in named.items()})
            (folder / "figures.json").write_text(json.dumps(told, indent=1))
        bad = ", ".join(f"{name} {value}" for name, value in named.items() if not np.isfinite(value))
        raise NonFiniteLossError(
            f"step {step}: {bad}; the batch is in {folder}. The last checkpoint is from before; "
            "a lower learning_rate, clip_norm, or precision: no may help"
        )

    def agreed(self, signal_number: int) -> int:
        """The signal that any process received (0: none); several processes ask only now and then, as it costs."""
        if self.accelerator.num_processes == 1:
            return signal_number
        if self.step % self.params.log_every_steps and self.step % self.order.steps_per_epoch:
            return 0
        return max(gather_object([signal_number]))

    def leave(self, signal_number: int) -> None:
        """Stop after a signal; the state is saved."""
        self.accelerator.wait_for_everyone()
        told = f"stopped after step {self.step} of {self.total_steps}; saved; resume=True goes on from here"
        logger.warning(told)
        if signal_number == signal.SIGINT:
            raise KeyboardInterrupt(told)
        raise SystemExit(128 + signal_number)

    def record(self, log: TrainingLog | None, split: str, **figures: float) -> None:
        if log:
            log.add(step=self.step, epoch=self.step / self.order.steps_per_epoch, split=split, **figures)

    # -- validation ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Loss terms and macro AUROC on the validation rows: whole images, no augmentation, fixed negatives."""
        if len(self.validation_rows) == 0:
            return {}
        self.fetch()
        counts, results = self.label_counts(self.matrix(self.validation_rows)), []
        with self.average.in_place_of(self.model) if self.average else contextlib.nullcontext():
            self.model.eval()
            starts = range(0, len(self.validation_rows), VALIDATION_BATCH)
            for number, start in enumerate(starts):
                if number % self.accelerator.num_processes != self.accelerator.process_index:
                    continue
                rows = self.validation_rows[start : start + VALIDATION_BATCH]
                matrix = self.matrix(rows)
                output = self.model(self.input(self.images(rows)))  # unwrapped: one process may have a batch more
                share = self.label_counts(matrix) / counts.clamp(min=1)
                losses = self.losses(output, matrix, self.negatives(matrix, "validation negatives", number), share)
                prob = output.pathology_logits.float().softmax(dim=-1)[..., 1]  # [B, P]
                results.append((number, losses.cpu().numpy(), prob.cpu().numpy()))
        training_mode(self.model, self.frozen, self.params.frozen_batch_norm)
        results = sorted(gather_object(results), key=lambda result: result[0])
        terms = sum(result[1] for result in results)
        labels = pathology_labels(self.params, self.corpus, self.validation_rows)
        score = macro_auroc(labels, np.concatenate([result[2] for result in results]), self.params.validation_min_count)
        return {**dict(zip(TERMS, terms.tolist(), strict=True)), "macro_auroc": score}

    def judged(self, figures: dict[str, float]) -> str:
        """Keep the weights if this validation is the best so far; returns a line about it."""
        score = figures["macro_auroc"] if self.params.best_by == "macro_auroc" else -figures["total"]
        epoch = self.step // self.order.steps_per_epoch
        line = f"epoch {epoch}: validation total {figures['total']:.4g}, macro AUROC {figures['macro_auroc']:.3f}"
        if not score > self.best_score:
            return line
        self.best_step, self.best_score, self.best_epoch = self.step, score, epoch
        if self.accelerator.is_main_process:
            weights = self.average.tensors if self.average else self.model.state_dict()
            checkpoints.write_checkpoint(self.best_folder(), {"model": weights}, {"step": self.step, **figures})
        return f"{line} (best so far)"

    def best_folder(self) -> Path:
        return self.folder / "checkpoints" / f"best-{self.best_step:08d}"

    def stopped_early(self) -> bool:
        patience = self.params.early_stopping_epochs
        return bool(patience) and self.step // self.order.steps_per_epoch - self.best_epoch >= patience

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """All that must be the same for a resumed run to be the same run."""
        config = self.model.config.to_dict()
        model = {f"model.{name}": config[name] for name in MODEL_NAMES}
        corpus = dict(corpus_sha256=self.corpus.header["sha256"], train_rows=len(self.order.rows))
        return json.loads(json.dumps({**self.params.fixed(), **model, **corpus}))

    def save(self) -> None:
        """Write a checkpoint of this step; older ones go once it verifies."""
        self.fetch()
        if not self.accelerator.is_main_process:
            return
        root, scaler = self.folder / "checkpoints", self.accelerator.scaler
        tensors = dict(
            model=self.model.state_dict(), optimizer=checkpoints.optimizer_tensors(self.model, self.optimizer)
        )
        if self.average:
            tensors["average"] = self.average.tensors
        state = dict(
            step=self.step,
            identity=self.identity(),
            best=dict(step=self.best_step, score=self.best_score, epoch=self.best_epoch),
            average_updates=self.average.updates if self.average else 0,
            scaler=scaler.state_dict() if scaler else {},
            interval=self.interval,
        )
        checkpoints.write_checkpoint(checkpoints.step_folder(root, self.step), tensors, state)
        checkpoints.prune_checkpoints(root, self.params.keep_checkpoints)
        kept = {checkpoints.read_state(folder)["best"]["step"] for folder in checkpoints.list_checkpoints(root)}
        for folder in root.glob("best-*"):
            if int(folder.name.removeprefix("best-")) not in kept:
                shutil.rmtree(folder)

    def restore(self, resume: bool) -> None:
        """Take up the state of the last checkpoint, or make the folder ready for a new run."""
        root = self.folder / "checkpoints"
        if not resume and self.accelerator.is_main_process:
            for leftover in ("checkpoints", "tensorboard", "model", "non_finite"):
                shutil.rmtree(self.folder / leftover, ignore_errors=True)
            (self.folder / "history.csv").unlink(missing_ok=True)
        self.accelerator.wait_for_everyone()
        root.mkdir(parents=True, exist_ok=True)
        saved = checkpoints.latest_checkpoint(root)
        if saved is None:
            return
        _refuse_changes(saved.state["identity"], self.identity(), saved.folder)
        self.model.load_state_dict(saved.tensors["model"])
        checkpoints.load_optimizer_tensors(self.model, self.optimizer, saved.tensors["optimizer"])
        if self.average:
            self.average.load(saved.tensors["average"], saved.state["average_updates"])
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(saved.state["scaler"])
        best = saved.state["best"]
        self.best_step, self.best_score, self.best_epoch = best["step"], best["score"], best["epoch"]
        self.step, self.interval = saved.state["step"], saved.state["interval"]
        logger.info("resumed from %s, step %d of %d", saved.folder, self.step, self.total_steps)

    def finish(self) -> PretrainResult:
        """Save the resulting model as `model/` and say what came out."""
        model = self.accelerator.unwrap_model(self.network, keep_fp32_wrapper=False)
        best = self.best_folder() if self.best_step else None
        if best and self.params.result == "best":
            model.load_state_dict(checkpoints.read_checkpoint(best).tensors["model"])
        elif self.average:
            model.load_state_dict(self.average.tensors)
        model.eval()
        model_folder, partial = self.folder / "model", self.folder / ".partial-model"
        if self.accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
            model.save_pretrained(partial)
            shutil.rmtree(model_folder, ignore_errors=True)
            partial.rename(model_folder)
        self.accelerator.wait_for_everyone()
        return PretrainResult(
            model=model,
            model_folder=model_folder,
            best_checkpoint=best,
            last_checkpoint=checkpoints.step_folder(self.folder / "checkpoints", self.step),
            best_step=self.best_step,
            best_score=self.best_score,
            steps=self.step,
            history=read_history(self.folder / "history.csv"),
        )


def _precision(params: PretrainParams) -> str:
    if params.precision != "auto":
        return params.precision
    if params.device == "cpu" or not torch.cuda.is_available():
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


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


def _is_multiple(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def label_counts(matrix: Tensor, healthy_is_absent: bool = False) -> Tensor:
    """How many labels each loss term of `TERMS[1:]` averages over, [5] float32.

    Args:
        matrix: [B, A, P] int8, 1 / 0 / -1.
        healthy_is_absent: see `stream_labels`.
    """
    pathology, anatomy = stream_labels(matrix, healthy_is_absent)
    counted = (pathology >= ABSENT, anatomy >= ABSENT, pathology == PRESENT, anatomy == PRESENT, matrix >= ABSENT)
    return torch.stack([labels.sum() for labels in counted]).float()


@contextlib.contextmanager
def _global_state(params: PretrainParams) -> Iterator[None]:
    """Accelerate's and torch's global state as this run needs it; torch's is put back afterwards."""
    if PartialState(cpu=params.device == "cpu").num_processes == 1:
        # A notebook may train twice in one process, with another precision or device.
        AcceleratorState._reset_state(reset_partial_state=True)
    deterministic = torch.are_deterministic_algorithms_enabled()
    if params.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic)


class _StopOnSignal:
    """Notes SIGINT and SIGTERM instead of dying at once; a second one is not held back."""

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _StopOnSignal:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: object) -> None:
        self.signal = number
        logger.warning("signal %d: finishing the step, then saving", number)
        self.__exit__()


def main(arguments: list[str] | None = None) -> PretrainResult:
    """Run from a file of parameters (YAML or JSON) that also names `corpus` and `run_folder`."""
    import yaml

    parser = argparse.ArgumentParser(prog="python -m medslip_core.pretrain", description=main.__doc__)
    parser.add_argument("--params", required=True, type=Path, help="YAML or JSON: names of PretrainParams")
    parser.add_argument("--corpus", type=Path, help="folder of the prepared corpus (or `corpus` in the file)")
    parser.add_argument("--run-folder", type=Path, help="folder of the run (or `run_folder` in the file)")
    parser.add_argument("--anew", action="store_true", help="delete what an earlier run left, do not resume")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    values = yaml.safe_load(given.params.read_text()) or {}
    if not isinstance(values, dict):
        parser.error(f"{given.params}: holds no named values")
    places = {name: values.pop(name, None) for name in ("corpus", "run_folder")}
    corpus, run_folder = given.corpus or places["corpus"], given.run_folder or places["run_folder"]
    if not corpus or not run_folder:
        parser.error(f"{given.params}: names no corpus or no run_folder")
    try:
        params = PretrainParams.from_dict(values)
    except ParameterError as error:
        parser.error(f"{given.params}: {error}")
    return pretrain(params, PreparedCorpus.open(corpus), run_folder, resume=not given.anew)


if __name__ == "__main__":
    main()
