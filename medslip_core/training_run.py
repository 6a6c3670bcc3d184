"""A pre-training run: its steps, validations, rows of the history and checkpoints, on one process or several.

All randomness comes from counters (see `medslip_core.randomness`), so the state of a run is its weights, its optimiser
and the number of its step (and, on a CPU, of its threads, which decide in what order sums are taken); a run that was
killed and resumed ends, on a CPU, with the same bits as one that was not.

Every process takes part of each step's batch, if the task allows it. ProtoCL contrasts a query of an image with text
prototypes and ICL pairs the queries of one image: no negative comes from another image, so nothing is gathered across
processes but figures.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from medslip_core.augment import augment
from medslip_core.checkpoint import CheckpointError
from medslip_core.corpus import PreparedCorpus
from medslip_core.gpu_use import GpuUse
from medslip_core.interruption import StopOnSignal
from medslip_core.labels import VERSION as LABELS_VERSION
from medslip_core.non_finite import error_of, save_batch
from medslip_core.optimisation import (
    WeightAverage,
    freeze_stages,
    learning_rate,
    make_optimizer,
    set_learning_rate,
    training_mode,
)
from medslip_core.parameters import ParameterError
from medslip_core.pretrain_params import PretrainParams
from medslip_core.randomness import torch_seed
from medslip_core.run_checkpoints import Best, RunCheckpoints
from medslip_core.sampling import part_of_batch
from medslip_core.torch_state import compile_network, precision
from medslip_core.training_log import Progress, TrainingLog
from medslip_core.training_task import task_of
from medslip_core.trunk_model import TrunkModel
from medslip_core.validation import Validation

logger = logging.getLogger(__name__)

LOWEST_SCALE = 1.0
"""Of the loss in float16. Each gradient that overflows halves it, from 65,536: below this, all of them do."""


class TrainingRun:
    """State of a run, and one method per thing that happens in it.

    Args:
        params: of the run.
        corpus: prepared images and triplets.
        folder: of the run; several processes share it.
        model: to train, in place.

    Raises:
        ParameterError: the work on a batch is to be divided, and the method does not allow it.
    """

    def __init__(self, params: PretrainParams, corpus: PreparedCorpus, folder: Path, model: TrunkModel) -> None:
        self.params, self.corpus, self.folder, self.model = params, corpus, folder, model
        self.accelerator = Accelerator(mixed_precision=precision(params), cpu=params.device == "cpu")
        self.device = self.accelerator.device
        self.task = task_of(params, corpus, model, self.device)
        self.figures = (*self.task.terms, "gradient_norm")
        if self.parts > 1 and not self.task.divisible:
            raise ParameterError(
                f"method {params.method!r} contrasts the images of a batch with one another, so a batch cannot be "
                f"divided into {self.parts} parts: use one process and accumulation_steps 1"
            )
        self.steps_per_epoch = self.task.source.order.steps_per_epoch
        self.total_steps = params.epochs * self.steps_per_epoch
        self.whole_batch = min(params.batch_size, len(self.task.source.order.rows))  # the last one may be short
        self.validation = Validation(params, corpus)

        self.frozen = freeze_stages(model.trunk, params.frozen_stages)
        model.to(self.device, memory_format=torch.channels_last)
        if params.gradient_checkpointing:
            model.trunk.checkpoint_gradients()
        if params.compile:
            compile_network(model, replayed=self.parts == 1)  # of whole batches; other sizes run without it
        self.optimizer = make_optimizer(model, params)
        self.network, self.prepared_optimizer = self.accelerator.prepare(model, self.optimizer)
        self.average = WeightAverage(model, params.average_decay) if params.average_decay else None
        self.checkpoints = RunCheckpoints(
            folder, self.identity(), params.keep_checkpoints, model, self.optimizer, self.average,
            self.accelerator.scaler,
        )  # fmt: skip

        self.step = 0  # optimiser steps done
        self.best: Best | None = None
        self.pending: list[Tensor] = []  # figures of recent steps, still on the device
        self.interval: list[list[float]] = []  # figures of the steps since the last row of the history

    @property
    def parts(self) -> int:
        """Into how many forward and backward passes the work on a batch is divided, over all processes."""
        return self.accelerator.num_processes * self.params.accumulation_steps

    # -- a step -------------------------------------------------------------------------------------------------------

    def train_step(self) -> int:
        """One optimiser step; returns the number of images."""
        params, accelerator, task = self.params, self.accelerator, self.task
        batch = task.batch(self.step)
        set_learning_rate(self.optimizer, self.rate(self.step))
        counts, figures = task.counts(batch), torch.zeros(len(task.terms), device=self.device)
        whole = len(batch.rows) == self.whole_batch
        for passage in range(params.accumulation_steps):
            number = passage * accelerator.num_processes + accelerator.process_index
            place = part_of_batch(len(batch.rows), number, self.parts)
            share = task.counts(batch.part(place)) / counts.clamp(min=1)
            if place.start == place.stop:  # a small last batch: every process still takes part in the backward pass
                place = slice(0, 1)
            part = batch.part(place)
            grey = augment(task.source.images(part.rows), part.views, self.model.config.image_size)
            last = passage == params.accumulation_steps - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self.network):
                torch.manual_seed(torch_seed(params.seed, "dropout", self.step, number))
                with contextlib.nullcontext() if whole else torch.compiler.set_stance("force_eager"):
                    output = task.output(self.network, self.model.pixel_values(grey), part)
                losses = self.losses(output, part, share)
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
        return len(batch.rows)

    def losses(self, output: Any, part: Any, share: Tensor) -> Tensor:
        """The task's `terms` [1 + n] of a part of a batch, each times the part's share [n] of what it averages over.

        Summed over the parts they are the losses of the whole batch, however it was divided. (Batch-norm statistics are
        those of a part, unless `frozen_batch_norm` keeps the stored ones.)
        """
        terms = self.task.losses(output, part) * share
        return torch.cat([(self.task.weights * terms).sum().reshape(1), terms])

    def rate(self, step: int) -> float:
        return learning_rate(self.params, step / self.steps_per_epoch)

    # -- the run ------------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Steps, rows of the history, validations and checkpoints, until the last epoch, an early stop or a signal."""
        params, gpu = self.params, GpuUse(self.device)
        progress = Progress(self.total_steps, self.step, shown=self.accelerator.is_main_process)
        log = None
        if self.accelerator.is_main_process:
            log = TrainingLog(self.folder, self.step, params.tensorboard, self.task.terms)
            if self.step < self.total_steps:
                logger.info(self.setting())
        images, seconds = 0, 0.0
        training_mode(self.model, self.frozen, params.frozen_batch_norm)
        try:
            with StopOnSignal() as stop:
                while self.step < self.total_steps and not self.stopped_early():
                    started = time.perf_counter()
                    images += self.train_step()
                    progress.step()
                    epoch_ends = self.step % self.steps_per_epoch == 0
                    row_due = self.step % params.log_every_steps == 0 or epoch_ends
                    if row_due:
                        self.fetch()
                    seconds += time.perf_counter() - started
                    if row_due:
                        figures = dict(zip(self.figures, np.mean(self.interval, axis=0), strict=True))
                        self.interval.clear()
                        speed = images / seconds
                        self.record(log, "train", learning_rate=self.rate(self.step - 1), **figures,
                                    images_per_s=speed, **gpu.figures())  # fmt: skip
                        progress.report({**{name: figures[name] for name in self.task.terms}, "images/s": speed})
                        images, seconds = 0, 0.0
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
                if self.step < self.total_steps:
                    progress.note(f"stopped early: no better validation since epoch {self.best_epoch()}")
        finally:
            progress.close()
            if log:
                log.close()

    def setting(self) -> str:
        """A line: how much there is to do, on what. A launcher that started fewer processes than meant shows here."""
        images, processes = len(self.task.source.order.rows), self.accelerator.num_processes
        shares = f"{processes} process{'es' * (processes > 1)} x {self.params.batch_size / processes:g} images"
        device = f"{self.device.type} (threads: {torch.get_num_threads()})"
        if self.device.type == "cuda":
            device = torch.cuda.get_device_name(self.device)
        numbers = self.accelerator.mixed_precision.replace("no", "float32")
        return f"{images:,} training images, {self.total_steps:,} steps, each {shares}; {device}, {numbers}"

    def record(self, log: TrainingLog | None, split: str, **figures: float) -> None:
        if log:
            log.add(step=self.step, epoch=self.step / self.steps_per_epoch, split=split, **figures)

    def fetch(self) -> None:
        """Bring the recent steps' figures to the host (the only wait for the device), and watch for NaN."""
        if not self.pending:
            return
        figures = torch.stack(self.pending)  # [steps, terms + 1]
        self.pending.clear()
        terms = self.accelerator.reduce(figures[:, :-1], "sum")
        rows = torch.cat([terms, figures[:, -1:]], dim=1).tolist()
        terms_only = slice(0, len(self.task.terms))
        watched = terms_only if self.accelerator.scaler else slice(None)  # gradients that overflow float16 are skipped
        for number, row in enumerate(rows):
            if not np.isfinite(row[watched]).all():
                self.stop_non_finite(self.step - len(rows) + number, row)
        self.interval.extend(rows)
        scaler = self.accelerator.scaler
        if scaler and scaler.get_scale() < LOWEST_SCALE:
            self.stop_non_finite(self.step - 1, rows[-1])

    def stop_non_finite(self, step: int, row: list[float]) -> None:
        """Save the batch of a step (drawn again from its counters) and raise."""
        folder, figures = self.folder / "non_finite", dict(zip(self.figures, row, strict=True))
        if self.accelerator.is_main_process:
            batch = self.task.batch(step)
            grey = augment(self.task.source.images(batch.rows), batch.views, self.model.config.image_size)
            pixels, rows = self.model.pixel_values(grey), torch.from_numpy(batch.rows)
            tensors = dict(pixel_values=pixels, rows=rows, **self.task.tensors(batch))
            save_batch(folder, tensors, step, figures)
        self.accelerator.wait_for_everyone()  # a launcher ends all processes at the first error
        raise error_of(folder, step, figures)

    def agreed(self, signal_number: int) -> int:
        """The signal that any process received (0: none); several processes ask only now and then, as it costs."""
        if self.accelerator.num_processes == 1:
            return signal_number
        if self.step % self.params.log_every_steps and self.step % self.steps_per_epoch:
            return 0
        return max(gather_object([signal_number]))

    def leave(self, signal_number: int) -> None:
        """Stop after a signal; the state is saved."""
        self.accelerator.wait_for_everyone()
        told = f"stopped after step {self.step} of {self.total_steps}, saved; started again, the run goes on from here"
        logger.warning(told)
        if signal_number == signal.SIGINT:
            raise KeyboardInterrupt(told)
        raise SystemExit(128 + signal_number)

    # -- validation ---------------------------------------------------------------------------------------------------

    def validate(self) -> dict[str, float]:
        """Loss terms and macro AUROC on the validation rows; nothing if there are none."""
        if len(self.validation.rows) == 0:
            return {}
        self.fetch()
        self.share_statistics()
        with self.average.in_place_of(self.model) if self.average else contextlib.nullcontext():
            self.model.eval()
            figures = self.validation.figures(self.task, self.model, self.accelerator)
        training_mode(self.model, self.frozen, self.params.frozen_batch_norm)
        return figures

    def share_statistics(self) -> None:
        """Give every process the first one's batch-norm statistics, so that all validate the model that is saved."""
        if self.accelerator.num_processes == 1:
            return
        for name, buffer in self.model.named_buffers():
            torch.distributed.broadcast(buffer, 0)
            if self.average and name in self.average.tensors:  # some buffers are made, not saved
                torch.distributed.broadcast(self.average.tensors[name], 0)

    def judged(self, figures: dict[str, float]) -> str:
        """Keep the weights if this validation is the best so far; returns a line about it."""
        score = figures["macro_auroc"] if self.params.best_by == "macro_auroc" else -figures["total"]
        epoch = self.step // self.steps_per_epoch
        line = f"epoch {epoch}: validation total {figures['total']:.4g}, macro AUROC {figures['macro_auroc']:.3f}"
        if not score > (self.best.score if self.best else -float("inf")):
            return line
        weights = self.average.tensors if self.average else self.model.state_dict()
        weights = {name: tensor.detach().to("cpu", copy=True) for name, tensor in weights.items()}
        self.best = Best(self.step, epoch, score, weights)
        return f"{line} (best so far)"

    def best_epoch(self) -> int:
        return self.best.epoch if self.best else 0

    def stopped_early(self) -> bool:
        patience = self.params.early_stopping_epochs
        return bool(patience) and self.step // self.steps_per_epoch - self.best_epoch() >= patience

    # -- state --------------------------------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """All that must be the same for a resumed run to be the same run (not: processes, threads, device)."""
        model = {f"model.{name}": value for name, value in self.model.config.to_dict().items()}
        corpus = dict(corpus_sha256=self.corpus.header["sha256"], train_rows=len(self.task.source.order.rows))
        return {**self.params.fixed(), **model, **corpus, "labels": LABELS_VERSION}

    def save(self) -> None:
        """Write a checkpoint of this step."""
        self.fetch()
        if self.accelerator.is_main_process:
            self.checkpoints.save(self.step, self.interval, self.best)

    def restore(self, resume: bool) -> None:
        """Take up the state of the last checkpoint that verifies, or make the folder ready for a new run.

        Raises:
            CheckpointError: the processes do not see the same checkpoints.
        """
        if not resume and self.accelerator.is_main_process:
            self.checkpoints.clear()
        self.accelerator.wait_for_everyone()
        self.checkpoints.root.mkdir(parents=True, exist_ok=True)
        restored = self.checkpoints.restore()
        if restored:
            self.step, self.interval, self.best = restored.step, restored.interval, restored.best
            if self.device.type == "cpu" and restored.threads != torch.get_num_threads():
                logger.info("computing in %d threads as before: another number changes the last bits", restored.threads)
                torch.set_num_threads(restored.threads)
        steps = gather_object([self.step])
        if len(set(steps)) > 1:
            raise CheckpointError(
                f"{self.checkpoints.root}: the processes found states after steps {steps}, in order of their rank; "
                "the run folder must be on a disk that all of them share"
            )
        if self.accelerator.is_main_process:
            self.checkpoints.tell(self.step)


def _is_multiple(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
