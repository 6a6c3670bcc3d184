"""A fine-tuned network in the folder of its run, to be asked about new images."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from medslip_core.files import write_whole
from medslip_core.finetune.classifier import Classifier
from medslip_core.finetune.segmenter import Segmenter
from medslip_core.inference import Images, batches
from medslip_core.model import MedslipModel
from medslip_core.model_config import MedslipConfig, TrunkConfig
from medslip_core.trunk_model import TrunkModel

NETWORK = "network.safetensors"


@dataclass(frozen=True)
class Finetuned:
    """A network and what its answers mean.

    Attributes:
        network: `Classifier` or `Segmenter`, in evaluation mode.
        model: what the network was made of, which prepares its pixels.
        classes: C names; of a segmentation one.
        features: of a classification, as in `TaskParams`; of a segmentation "".
    """

    network: nn.Module
    model: TrunkModel
    classes: tuple[str, ...]
    features: str

    def predict(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """Probabilities [n, C], or of a segmentation of each pixel [n, S, S], at the model's image size; float32.

        Args:
            images: n of [H, H] uint8, see `inference.Images`.
        """
        with torch.inference_mode():
            pixels = batches(self.model, Images(images), np.arange(len(images)), batch_size, "fine-tuned")
            return np.concatenate([self.network(some).float().sigmoid().cpu().numpy() for some in pixels])

    def save(self, folder: Path) -> None:
        """Write weights, and in their metadata what rebuilds the network."""
        config = self.model.config.to_dict()
        if self.features != "streams":
            config = TrunkConfig.options_of(config)
        told = {"config": config, "classes": self.classes, "features": self.features}
        weights = {name: tensor.cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        write_whole(folder / NETWORK, save(weights, {name: json.dumps(value) for name, value in told.items()}))


def load_finetuned(folder: str | Path) -> Finetuned:
    """The network that a run with `keep_models` has left in its folder, on the CPU.

    Args:
        folder: of the run, `cells/<its name>` of its grid.

    Raises:
        FileNotFoundError: it left none.
        ValueError: the file is damaged.
    """
    file = Path(folder) / NETWORK
    if not file.is_file():
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"{folder}: no such folder; cells/ of a grid's folder holds one for each run")
        below = sorted(one.parent.relative_to(folder) for one in Path(folder).glob(f"cells/*/{NETWORK}"))
        remedy = f"there are {', '.join(map(str, below))} in it" if below else "run its grid with keep_models"
        raise FileNotFoundError(f"{file}: no network was kept; {remedy}")
    try:
        with safe_open(file, "pt") as opened:
            told = {name: json.loads(value) for name, value in opened.metadata().items()}
            weights = {name: opened.get_tensor(name) for name in opened.keys()}
        if told["features"] == "streams":
            model = MedslipModel(MedslipConfig.from_dict(told["config"]))
        else:
            model = TrunkModel(TrunkConfig.from_dict(told["config"]))
        network = Classifier(model, len(told["classes"]), told["features"]) if told["features"] else Segmenter(model)
        network.load_state_dict(weights)
    except (SafetensorError, KeyError, ValueError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{file}: damaged ({error}); remove it and run its grid again") from error
    return Finetuned(network.eval(), model.eval(), tuple(told["classes"]), told["features"])
