"""Pre-training: from a prepared corpus to a MeDSLIP model, exactly resumable, on a CPU, a GPU or many.

    accelerate launch -m medslip_core.pretrain --params FILE      (or: python -m medslip_core.pretrain --params FILE)

A run folder holds `history.csv`, `tensorboard/`, `checkpoints/` and, at the end, `model/`. `medslip_core.training_run`
holds the loop itself; examples/slurm has a job for several nodes. Several processes without GPUs are started by
`accelerate launch --multi_gpu --num_processes N` and `device: cpu` (accelerate's own `--cpu` starts only one).

A run that was killed sees the same images in the same views and ends with the bits of one that nobody stopped: on a
CPU, and on a GPU with `deterministic`. Otherwise no two runs on a GPU have the same bits; its weights then end at most
ten times as far from an uninterrupted run's as two of these lie apart, or 0.001 of their norm if that is more.

Source: paper section "Implementation". Differences on purpose from the published train_MeDSLIP.py: flips swap the
labels' sides, validation has its own view and fixed negatives, one process writes, each term of the loss is logged.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import safetensors
import torch
import yaml
from accelerate import PartialState

from medslip_core.allocator import keep_freed_memory
from medslip_core.backbone import imagenet_normalisation
from medslip_core.checkpoint import CheckpointError
from medslip_core.corpus import PreparedCorpus
from medslip_core.interruption import interruption_told
from medslip_core.model import MedslipModel
from medslip_core.non_finite import NonFiniteLossError
from medslip_core.parameters import ParameterError, listed, read_values
from medslip_core.pretrain_params import PretrainParams
from medslip_core.randomness import torch_seed
from medslip_core.run_checkpoints import ParametersChangedError
from medslip_core.run_lock import RunFolderTakenError, run_lock
from medslip_core.torch_state import global_state
from medslip_core.training_batch import TrainingViews, training_views
from medslip_core.training_log import read_history
from medslip_core.training_run import TrainingRun
from medslip_core.trunk_model import TrunkModel
from medslip_core.vocabulary import require_vocabulary

logger = logging.getLogger(__name__)

__all__ = [
    "NonFiniteLossError",
    "ParametersChangedError",
    "PretrainResult",
    "RunFolderTakenError",
    "TrainingViews",
    "pretrain",
    "starting_model",
    "training_views",
]


@dataclass(frozen=True)
class PretrainResult:
    """A finished run.

    Attributes:
        model: the resulting model, in evaluation mode.
        model_folder: the same, saved; `from_pretrained` of its class reads it.
        best_step: optimiser steps done at the best validation (0: there was none).
        best_score: its macro AUROC, or minus its total loss.
        steps: optimiser steps done.
        history: one row per `log_every_steps` steps and per validation (columns: `training_log.columns`).
    """

    model: TrunkModel
    model_folder: Path
    best_step: int
    best_score: float
    steps: int
    history: pd.DataFrame


def pretrain(
    params: PretrainParams,
    corpus: PreparedCorpus,
    run_folder: str | Path,
    resume: bool = True,
    model: TrunkModel | None = None,
) -> PretrainResult:
    """Train on the corpus's split "train", validate on "validate", and save the resulting model.

    Interrupted (Ctrl-C, SIGTERM), it finishes the step, saves and raises; called again, it goes on from there.

    Args:
        params: of the run.
        corpus: prepared images and triplets.
        run_folder: where everything is written.
        resume: go on from the last checkpoint in the folder that verifies; False deletes what an earlier run left.
        model: to start from, with its text books, trained in place; None builds one from `params`. A run that goes on
            takes the weights of its checkpoint instead.

    Raises:
        ParametersChangedError: resuming with other parameters than the run began with.
        NonFiniteLossError: a loss or gradient was NaN or infinite; the batch is saved.
        RunFolderTakenError: another training writes into the folder.
        checkpoint.CheckpointError: a checkpoint could not be written, or none of those there can be read.
        ValueError: the corpus has no rows to train or validate on; the model is not of this method, or of other queries
            than the vocabulary.
    """
    run_folder = Path(run_folder)
    if model is not None:
        _require_kind(model, params)
    with global_state(params):
        run = TrainingRun(params, corpus, run_folder, model or starting_model(params))
        with run_lock(run_folder) if run.accelerator.is_main_process else contextlib.nullcontext():
            run.restore(resume)
            run.train()
            return _finish(run)


def starting_model(params: PretrainParams) -> TrunkModel:
    """The model before training: drawn from the seed, trunk weights as asked for, text books (if it has some) set.

    It is in evaluation mode: in training mode, asking it anything would move its batch-norm statistics.
    """
    model = _medslip_model(params) if params.method == "medslip" else _contrastive_model(params)
    if params.trunk_weights != "none":
        model.trunk.load_imagenet(params.trunk_weights)
        mean, std = imagenet_normalisation(model.config.backbone)
        if (model.config.image_mean, model.config.image_std) != (mean, std):
            logger.warning(
                "the ImageNet weights of %s were trained with mean %s and standard deviation %s, not %s and %s: "
                "set image_mean and image_std of the model", model.config.backbone, mean, std,
                model.config.image_mean, model.config.image_std,
            )  # fmt: skip
    return model.eval()


def _require_kind(model: TrunkModel, params: PretrainParams) -> None:
    wanted = MedslipModel if params.method == "medslip" else _contrastive_kind()
    if not isinstance(model, wanted):
        raise ValueError(
            f"method {params.method!r} trains a {wanted.__name__}, and the model is a {type(model).__name__}"
        )
    if getattr(model.config, "method", params.method) != params.method:
        raise ValueError(f"method {params.method!r}: the model is one of {model.config.method!r}")
    require_vocabulary(model.config)


def _medslip_model(params: PretrainParams) -> MedslipModel:
    from medslip_core.text import embed_books

    books = embed_books(params.text_encoder, params.pooling, params.text_separator)
    config = params.config_of({"text_dim": books.dim, **params.model})
    require_vocabulary(config, trained=False)
    with _initial_weights(params):
        model = MedslipModel(config)
    model.set_books(books.anatomy, books.pathology, books.encoder, books.pooling, books.separator)
    return model


def _contrastive_kind() -> type[TrunkModel]:
    from medslip_core.contrastive.model import ContrastiveModel

    return ContrastiveModel


def _contrastive_model(params: PretrainParams) -> TrunkModel:
    from medslip_core.text import located

    config = params.config_of(params.model)
    with _initial_weights(params):
        return _contrastive_kind()(replace(config, text_encoder=located(config.text_encoder)))


@contextlib.contextmanager
def _initial_weights(params: PretrainParams) -> Iterator[None]:
    """Weights that are drawn in the `with` block come from the run's seed."""
    with torch.random.fork_rng(devices=[]):  # they are drawn on the CPU
        torch.manual_seed(torch_seed(params.seed, "initial weights"))
        yield


def _finish(run: TrainingRun) -> PretrainResult:
    """Save the resulting model as `model/` and say what came out."""
    model = run.accelerator.unwrap_model(run.network, keep_fp32_wrapper=False)
    model.__dict__.pop("forward", None)  # accelerate leaves one bound to this very model, which a copy would call
    for module in model.modules():
        module._compiled_call_impl = None  # what is asked of it now comes in other sizes, each a graph to compile
    if run.best and run.params.result == "best":
        model.load_state_dict(run.best.weights)
    elif run.average:
        model.load_state_dict(run.average.tensors)
    model.eval()
    model_folder, partial = run.folder / "model", run.folder / ".partial-model"
    if run.accelerator.is_main_process:
        try:
            shutil.rmtree(partial, ignore_errors=True)
            model.save_pretrained(partial, _training(run))
            shutil.rmtree(model_folder, ignore_errors=True)
            partial.rename(model_folder)
        except (OSError, safetensors.SafetensorError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise CheckpointError(
                f"{model_folder}: could not be written ({error}). The checkpoints are intact: make room, call again"
            ) from error
        logger.info("model saved in %s", model_folder)
    run.accelerator.wait_for_everyone()
    return PretrainResult(
        model=model,
        model_folder=model_folder,
        best_step=run.best.step if run.best else 0,
        best_score=run.best.score if run.best else -float("inf"),
        steps=run.step,
        history=read_history(run.folder / "history.csv", run.task.terms),
    )


def _training(run: TrainingRun) -> str:
    """What a run trained on, for the model card."""
    images, layout = len(run.task.source.order.rows), run.corpus.header["dataset"]
    kind = "SYNTHETIC images (the phantom's)" if run.corpus.header.get("synthetic") else "images"
    return f"{images:,} {kind} in the layout of {layout!r}, {run.step:,} steps of {run.params.batch_size}"


@contextlib.contextmanager
def _told_in_a_line(program: str) -> Iterator[None]:
    """End with a line, not a traceback, where a user can help it (status 1) or pressed Ctrl-C (130).

    Several processes say it each, as only one of them may have met it. Stopped by SIGTERM, they end as they would have.
    """
    try:
        with interruption_told("interrupted; the same command goes on from the last checkpoint, if there is one"):
            yield
    except (ValueError, OSError, CheckpointError, NonFiniteLossError, RunFolderTakenError) as error:
        process = f"process {os.environ['RANK']}: " if os.environ.get("WORLD_SIZE", "1") != "1" else ""
        sys.exit(f"{program}: error: {process}{_one_line(error).replace('resume=False', '--anew')}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def main(arguments: list[str] | None = None) -> PretrainResult:
    """Run from a file of parameters (YAML or JSON) that also names `corpus` and `run_folder`.

    Both are relative to the working directory, not to the file.
    """
    parser = argparse.ArgumentParser(
        prog="python -m medslip_core.pretrain",
        description=" ".join(main.__doc__.split()),
        epilog=f"parameters in the file, with their defaults:\n{listed(PretrainParams)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--params", required=True, type=Path, help="YAML or JSON: names of PretrainParams")
    parser.add_argument("--corpus", type=Path, help="folder of the prepared corpus (or `corpus` in the file)")
    parser.add_argument("--run-folder", type=Path, help="folder of the run (or `run_folder` in the file)")
    parser.add_argument("--anew", action="store_true", help="delete what an earlier run left, do not resume")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        values = read_values(given.params)
    except (ParameterError, OSError, yaml.YAMLError) as error:
        parser.error(f"{given.params}: {_one_line(error)}")
    places = {name: values.pop(name, None) for name in ("corpus", "run_folder")}
    corpus, run_folder = given.corpus or places["corpus"], given.run_folder or places["run_folder"]
    if not corpus or not run_folder:
        parser.error(f"{given.params}: names no corpus or no run_folder")
    try:
        params = PretrainParams.from_dict(values)
    except ParameterError as error:
        parser.error(f"{given.params}: {error}")
    keep_freed_memory()
    state = PartialState(cpu=params.device == "cpu")
    started = int(os.environ.get("WORLD_SIZE", 1))
    if started != state.num_processes:
        parser.error(
            f"{given.params}: {started} processes were started, and without GPUs they do not find each other, so that "
            "each would train alone: set `device: cpu`, or start one"
        )
    if state.is_main_process and params.device == "auto" and not torch.cuda.is_available():
        logger.warning("no GPU was found, the CPU trains (`device: cpu` says that this is meant)")
    with _told_in_a_line(parser.prog):
        result = pretrain(params, PreparedCorpus.open(corpus), run_folder, resume=not given.anew)
    PartialState().destroy_process_group()
    return result


if __name__ == "__main__":
    main()
