"""Parameters of fine-tuning: of one training run, and of a whole grid of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medslip_core.augment import AugmentParams
from medslip_core.finetune import initial
from medslip_core.parameters import FiledParameters, ParameterError, Parameters, parameter

PROTOCOLS = {
    "classification": {"linear": "frozen trunk", "full": "all weights learn"},
    "segmentation": {"frozen": "frozen encoder", "full": "all weights learn"},
}
"""Protocols by kind of task, and what they mean."""


@dataclass(frozen=True)
class FinetuneParams(Parameters):
    """Budget and optimiser of one run. The names are those of `pretrain_params.PretrainParams` where both have them."""

    epochs: int = parameter(50, "passes over the labelled images, within min_steps and max_steps", low=1)
    min_steps: int = parameter(0, "steps of the schedule at least, for few labels too; patience may stop sooner", low=0)
    max_steps: int = parameter(0, "optimiser steps at most; 0 sets no limit", low=0)
    batch_size: int = parameter(64, "images per optimiser step", low=1)
    learning_rate: float = parameter(1e-4, "highest, per step", low=0, high=1)
    warmup_learning_rate: float = parameter(1e-6, "at the first step of a warm-up", low=0, high=1)
    final_learning_rate: float = parameter(1e-6, "at the last step", low=0, high=1)
    warmup_epochs: float = parameter(0.0, "of `epochs`, linear warm-up", low=0)
    trunk_learning_rate_scale: float = parameter(1.0, "factor of the learning rate for what was pre-trained", low=0)
    weight_decay: float = parameter(0.02, "on matrices; none on biases and 1-d weights", low=0)
    frozen_batch_norm: bool = parameter(False, "keep the trunk's batch-norm statistics, unless its weights are random")
    validations: int = parameter(10, "looks at the validation part, evenly over the run", low=1)
    patience: int = parameter(3, "stop after so many validations without a better one; 0 never", low=0)
    augment: AugmentParams = parameter(AugmentParams, "how far a training view may differ from its image")
    precision: str = parameter("auto", "auto: bf16 on a GPU that has it, else full", choices=("auto", "no", "bf16"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup_epochs >= self.epochs:
            raise ParameterError(f"warmup_epochs: {self.warmup_epochs} must be less than epochs ({self.epochs})")
        if self.max_steps and self.max_steps < self.min_steps:
            raise ParameterError(f"max_steps: {self.max_steps} is less than min_steps ({self.min_steps})")

    def steps(self, per_epoch: int) -> int:
        """Optimiser steps of the schedule of a run whose epoch has `per_epoch`: the same for all initial weights."""
        steps = max(self.epochs * per_epoch, self.min_steps)
        return min(steps, self.max_steps) if self.max_steps else steps


@dataclass(frozen=True)
class TaskParams(Parameters):
    """What is learned on one corpus."""

    kind: str = parameter("classification", "kind of task", choices=tuple(PROTOCOLS))
    corpus: str = parameter("", "name of the corpus")
    classes: list = parameter(list, "classification: classes of the dataset; none names all it has")
    features: str = parameter(
        "trunk", "classification: mean of the trunk's features, or of both streams'", choices=("trunk", "streams")
    )
    truth: str = parameter("masks", "segmentation: where the truth comes from", choices=("masks", "boxes"))
    label: str = parameter("", "segmentation: a pathology (masks) or a class of the dataset (boxes)")
    split: str = parameter("", "CSV with image_id and split; none takes the corpus's own split")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.corpus:
            raise ParameterError("corpus: a task needs the name of its corpus")
        if not all(isinstance(name, str) for name in self.classes):
            raise ParameterError(f"classes: {self.classes!r} are not all names")
        if len(set(self.classes)) < len(self.classes):
            raise ParameterError(f"classes: {self.classes!r} names one twice; it would count twice")
        if self.kind == "segmentation" and not self.label:
            raise ParameterError("label: a segmentation needs the label whose masks or boxes are learned")


@dataclass(frozen=True)
class GridParams(FiledParameters):
    """A grid of runs: every task x protocol x fraction x initial weights x seed."""

    corpora: dict = parameter(dict, "corpus -> folder of the prepared corpus")
    weights: dict = parameter(dict, "name -> random, imagenet:<source>, or the folder of a saved model")
    model: dict = parameter(dict, "options of MedslipConfig; none takes those of the first folder in `weights`")
    tasks: dict = parameter(dict, "name -> TaskParams")
    protocols: dict = parameter(
        lambda: {kind: list(protocols) for kind, protocols in PROTOCOLS.items()}, "kind of task -> protocols"
    )
    fractions: list = parameter(lambda: [0.01, 0.1, 1.0], "of the training patients whose labels are used")
    seeds: list = parameter(lambda: [0, 1, 2], "of label fraction, initial weights, order and views")
    training: dict = parameter(dict, "kind of task -> protocol -> FinetuneParams")
    resamples: int = parameter(1000, "bootstrap resamples over test patients", low=2)
    device: str = parameter("auto", "auto: a GPU if there is one", choices=("auto", "cpu"))
    keep_models: bool = parameter(False, "leave each run's network in its folder, see `finetuned.load_finetuned`")

    def __post_init__(self) -> None:
        if isinstance(self.weights, Mapping):
            paths = {name: str(source) if isinstance(source, Path) else source for name, source in self.weights.items()}
            object.__setattr__(self, "weights", paths)
        super().__post_init__()
        problems = []
        for option in ("tasks", "weights"):
            for name in getattr(self, option):
                if not isinstance(name, str) or "/" in name:
                    problems.append(f"{option}: {name!r} is to name a folder: a text without '/'")
        for option in ("corpora", "weights"):
            for name, place in getattr(self, option).items():
                if not isinstance(place, str | Path):
                    problems.append(f"{option}.{name}: {place!r} is no text")
        for name, task in self.tasks.items():
            try:
                TaskParams.from_dict(task)
            except ParameterError as error:
                problems.append(f"tasks.{name}: {error}")
            corpus = task.get("corpus") if isinstance(task, Mapping) else None
            if isinstance(corpus, str) and corpus not in self.corpora:
                problems.append(f"tasks.{name}: corpus {corpus!r} is none of {sorted(self.corpora, key=str)}")
        problems += self._protocol_problems()
        if not all(isinstance(f, int | float) and 0 < f <= 1 for f in self.fractions):
            problems.append(f"fractions: {self.fractions!r} are not all in (0, 1]")
        elif len({f"{fraction:g}" for fraction in self.fractions}) < len(self.fractions):  # as folders are named
            problems.append(f"fractions: {self.fractions!r} names one twice; its runs would count twice")
        if not all(type(seed) is int and seed >= 0 for seed in self.seeds) or not self.seeds:
            problems.append(f"seeds: {self.seeds!r} are not whole numbers from 0 upwards")
        elif len(set(self.seeds)) < len(self.seeds):
            problems.append(f"seeds: {self.seeds!r} names one twice; its runs would count twice")
        if problems:
            raise ParameterError("; ".join(problems))

    def _protocol_problems(self) -> list[str]:
        """What is wrong with `protocols` and `training`, which go by kind of task and protocol."""
        problems = []
        for option, wanted in (("protocols", list | tuple), ("training", Mapping)):
            for kind, given in getattr(self, option).items():
                if kind not in PROTOCOLS:
                    problems.append(f"{option}: {kind!r} is no kind of task; choose from {list(PROTOCOLS)}")
                elif not isinstance(given, wanted):
                    told = "a list of protocols" if option == "protocols" else "a set of named values (by protocol)"
                    problems.append(f"{option}.{kind}: {given!r} is not {told}")
                elif unknown := [protocol for protocol in given if protocol not in PROTOCOLS[kind]]:
                    problems.append(f"{option}.{kind}: no {unknown}; choose from {list(PROTOCOLS[kind])}")
                elif option == "training":
                    for protocol, options in given.items():
                        try:
                            FinetuneParams.from_dict(options)
                        except ParameterError as error:
                            problems.append(f"training.{kind}.{protocol}: {error}")
        return problems

    def task(self, name: str) -> TaskParams:
        """The parameters of a task."""
        return TaskParams.from_dict(self.tasks[name])

    def run(self, kind: str, protocol: str) -> FinetuneParams:
        """The parameters of a run of this kind and protocol."""
        return FinetuneParams.from_dict(self.training.get(kind, {}).get(protocol, {}))

    @staticmethod
    def with_paths(values: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
        return {
            **values,
            "corpora": {name: change(place) for name, place in values.get("corpora", {}).items()},
            "weights": {
                name: change(source) if initial.is_folder(source) else source
                for name, source in values.get("weights", {}).items()
            },
            "tasks": {
                name: {**task, "split": change(task["split"])} if task.get("split") else task
                for name, task in values.get("tasks", {}).items()
            },
        }
