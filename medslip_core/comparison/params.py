"""Parameters of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medslip_core.finetune.params import GridParams
from medslip_core.model_config import TrunkConfig
from medslip_core.parameters import FiledParameters, ParameterError, named_values, parameter
from medslip_core.pretrain_params import PretrainParams


@dataclass(frozen=True)
class ComparisonParams(FiledParameters):
    """What is pre-trained, in which variants, and what each is asked afterwards.

    Raises:
        ParameterError: listing every value that cannot be, those of the variants' runs too.
    """

    pretraining_corpus: str = parameter("", "folder of the prepared corpus to train on")
    corpora: dict = parameter(dict, "corpus -> folder, of those that are asked about")
    pretraining: dict = parameter(dict, "PretrainParams that all variants share")
    variants: dict = parameter(
        dict, "name -> PretrainParams that differ; the first is what the others are compared with"
    )
    seeds: list = parameter(lambda: [0], "each variant is trained once with each")
    classification: list = parameter(list, "corpora whose classes are asked for")
    classes: dict = parameter(dict, "corpus -> label -> pathology, where a class's name does not tell")
    boxes: dict = parameter(dict, "corpus -> classes whose boxes are pointed at")
    anatomy_corpus: str = parameter("", "corpus with masks of anatomies, which are pointed at; none: no anatomies")
    anatomy_images: int = parameter(200, "images on which anatomies are pointed at; 0: all", low=0)
    places: list = parameter(list, "corpora whose findings are asked for at a place of one side; see `places`")
    looks: int = parameter(1, "per side: moved views that make maps finer (`grounding.maps.attention_maps`)", low=1)
    batch_size: int = parameter(64, "images per forward pass when asked", low=1)
    finetuned: dict = parameter(dict, "GridParams, but for weights, model and seeds, of what each is fine-tuned to")

    def __post_init__(self) -> None:
        super().__post_init__()
        problems = []
        if len(self.variants) < 2:
            problems.append("variants: at least two are needed, the first to compare the others with")
        asked = [*self.classification, *self.boxes, *self.places, *filter(None, [self.anatomy_corpus])]
        for name in dict.fromkeys(map(str, asked)):
            if name not in self.corpora:
                problems.append(f"{name!r} is asked about, and is none of the corpora {sorted(self.corpora, key=str)}")
        for option, wanted, told in (
            ("corpora", str | Path, "a folder"),
            ("boxes", list | tuple, "a list of classes"),
            ("classes", Mapping, "a set of named values (label: pathology)"),
        ):
            for name, given in getattr(self, option).items():
                if not isinstance(given, wanted):
                    problems.append(f"{option}.{name}: {given!r} is not {told}")
        if not asked and not self.finetuned:
            problems.append("classification, boxes, places, anatomy_corpus, finetuned: nothing is asked")
        streams: list[str] = []
        try:
            tasks = GridParams.from_dict(self.finetuned).tasks
            streams = [name for name, task in tasks.items() if task.get("features") == "streams"]
        except ParameterError as error:
            problems.append(f"finetuned: {error}")
        folders: dict[str, str] = {}
        for name in self.variants:
            other = folders.setdefault(in_folder_name(str(name)), name)
            if other != name:
                problems.append(f"variants: {other!r} and {name!r} would share one folder; call one of them otherwise")
            try:
                run = self.run(name, seed=0)
            except ParameterError as error:
                problems.append(f"variants.{name}: {error}")
                continue
            if streams and run.method != "medslip":
                problems.append(f"finetuned.tasks.{streams[0]}: features: {name!r} has no streams; take the trunk's")
        if not all(type(seed) is int and seed >= 0 for seed in self.seeds) or not self.seeds:
            problems.append(f"seeds: {self.seeds!r} are not whole numbers from 0 upwards")
        elif len(set(self.seeds)) < len(self.seeds):
            problems.append(f"seeds: {self.seeds!r} names one twice; its runs would count twice")
        if problems:
            raise ParameterError("; ".join(problems))

    @staticmethod
    def with_paths(values: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
        corpora = {name: change(place) for name, place in values.get("corpora", {}).items()}
        finetuned = values.get("finetuned", {})
        return {
            **values,
            "pretraining_corpus": change(values.get("pretraining_corpus", "")),
            "corpora": corpora,
            "finetuned": GridParams.with_paths(finetuned, change) if finetuned else {},
        }

    def run(self, variant: str, seed: int) -> PretrainParams:
        """The pre-training of a variant; options of its model are added to the shared ones."""
        own = named_values(self.variants[variant] or {}, "PretrainParams")
        shared, changed = (named_values(one.get("model", {}), "model") for one in (self.pretraining, own))
        if "method" in own:  # another model, which has the trunk in common
            shared = TrunkConfig.options_of(shared)
        model = {**shared, **changed}
        return PretrainParams.from_dict({**self.pretraining, **own, "model": model, "seed": seed})

    def grid(self, variant: str, seeds: list[int], weights: str | Path) -> GridParams:
        """The fine-tuning of a variant from some weights; a seed draws labels and views, the same for all variants.

        Args:
            weights: the folder of its saved model; see `finetune.initial.starting_model` for what else there is.
        """
        run = self.run(variant, seeds[0])
        model = TrunkConfig.options_of(run.config_of(run.model).to_dict())
        own = dict(weights={"pretrained": str(weights)}, seeds=seeds, model=model)
        return GridParams.from_dict({"resamples": 2, **self.finetuned, **own})


def in_folder_name(variant: str) -> str:
    """A variant as the folders of its cells name it."""
    return variant.replace(" ", "-")
