"""What fine-tuning starts from: random weights, ImageNet weights, or a pre-trained model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import torch

from medslip_core.backbone import has_fixed_size
from medslip_core.loading import load_config, load_model
from medslip_core.model import MedslipModel
from medslip_core.model_config import MedslipConfig, TrunkConfig
from medslip_core.randomness import torch_seed
from medslip_core.trunk_model import TrunkModel

RANDOM, IMAGENET = "random", "imagenet:"


def is_folder(source: str) -> bool:
    """Whether a source of weights is the folder of a saved model."""
    return source != RANDOM and not source.startswith(IMAGENET)


def architecture(sources: dict[str, str], model: dict) -> MedslipConfig:
    """The architecture that all weights of a grid share.

    Args:
        sources: name -> "random", "imagenet:<source>" or the folder of a model.
        model: options of `MedslipConfig`; empty takes the config of the first folder (its trunk alone, if contrasted).

    Raises:
        ValueError: neither options nor a folder.
    """
    if model:
        return MedslipConfig.from_dict(model)
    folder = next((source for source in sources.values() if is_folder(source)), None)
    if folder is None:
        raise ValueError(
            "no architecture: name options of MedslipConfig in `model`, or a pre-trained folder in `weights`"
        )
    config = load_config(folder)
    if isinstance(config, MedslipConfig):
        return config
    return MedslipConfig.from_dict(TrunkConfig.options_of(config.to_dict()))


def starting_model(name: str, source: str, config: MedslipConfig, seed: int) -> TrunkModel:
    """A model with the weights to start from.

    Args:
        name: of the weights, for error messages.
        source: "random", "imagenet:<backbone.TrunkWeights>" (the rest drawn at random) or the folder of a model.
        config: the architecture to have; a folder's model keeps its own normalisation of grey levels.
        seed: of weights that are drawn.

    Raises:
        FileNotFoundError: no model in the folder.
        ValueError: the folder's model has another architecture, or ImageNet weights do not fit.
    """
    if is_folder(source):
        saved = load_config(source)
        fixed = ["image_size"] * has_fixed_size(saved.backbone)
        differing = [
            f"{option} is {getattr(saved, option)!r}, not {getattr(config, option)!r}"
            for option in ("backbone", "backbone_stage", "detail_stage", *fixed)
            if getattr(saved, option) != getattr(config, option)
        ]
        if differing:
            raise ValueError(
                f"weights {name!r} in {source}: a checkpoint of another architecture: {'; '.join(differing)}. "
                "Compare weights of one architecture in one grid (its `model` says which)."
            )
        model = load_model(source)
        model.config = replace(model.config, image_size=config.image_size)
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "initial weights"))
        model = MedslipModel(config)
    if source.startswith(IMAGENET):
        model.trunk.load_imagenet(source.removeprefix(IMAGENET))
    return model


def fingerprint(module: torch.nn.Module, config: TrunkConfig) -> str:
    """SHA-256 over all weights, buffers and their names, and over the options that decide what is made of them."""
    digest = hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode())
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
