"""A model in a folder, in the Hugging Face layout: `config.json`, `model.safetensors`, and a model card `README.md`.

The folder can be published as it is (`hf upload NAME FOLDER`), and read from the hub by its name. Nothing in it is ever
executed: weights are safetensors, never pickles. (transformers' own base class would do the same, at four times the
time that importing torch takes.)
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from medslip_core.files import write_whole
from medslip_core.parameters import ParameterError, Parameters, named_values

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"

CONTRASTED = "method"
"""The option that only the config of a contrasted model has."""


def saved_config(folder: str | Path, kind: type[Parameters]) -> Any:
    """The config of a saved model.

    Args:
        folder: of the model.
        kind: class of its config.

    Raises:
        FileNotFoundError: there is none in the folder.
        ValueError: it is damaged, or has options that this version does not know.
    """
    file = Path(folder) / CONFIG
    if not file.is_file():
        raise FileNotFoundError(_no_model(Path(folder).resolve()))
    try:
        options = named_values(json.loads(file.read_text(encoding="utf-8")), kind.__name__)
    except ValueError as error:
        raise ValueError(f"{file}: damaged ({error}); save the model again") from error
    if (CONTRASTED in options) != any(field.name == CONTRASTED for field in fields(kind)):
        raise ValueError(f"{file}: not a {kind.__name__}, another kind of model; medslip_core.load_model reads it")
    try:
        return kind.from_dict(options)
    except ParameterError as error:
        raise ValueError(f"{file}: not a {kind.__name__} of this version: {error}") from error


def _no_model(folder: Path) -> str:
    if (folder / "model" / CONFIG).is_file():
        return f"{folder}: no saved model there ({CONFIG}); is {folder / 'model'} meant?"
    if not folder.is_dir():
        return f"{folder}: no saved model there: no such folder; a training makes it when it has finished"
    return f"{folder}: no saved model there ({CONFIG}); name the folder of one, or let its training finish"


class SavedModel(nn.Module):
    """Base of a model that is built from its `config`, and saved and loaded with it.

    Attributes:
        config: what it was built from, of the class `config_class`.
        trained_on: a sentence for the card, which a loaded model brings along.
    """

    config_class: type[Parameters]
    trained_on = "not recorded"

    def __init__(self, config: Parameters) -> None:
        super().__init__()
        self.config = config

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    def save_pretrained(self, folder: str | Path, training: str | None = None) -> None:
        """Save config, weights and model card.

        Args:
            folder: made if missing; what lies there under these names is replaced.
            training: what the model was trained on, a sentence for the card; None: what the model brought along.
        """
        folder = Path(folder)
        self.trained_on = training or self.trained_on
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f".{WEIGHTS}.*"):  # by a saving that was killed
            left.unlink(missing_ok=True)
        weights = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        write_whole(folder / WEIGHTS, save(weights))
        write_whole(folder / CONFIG, (json.dumps(self.config.to_dict(), indent=2) + "\n").encode())
        write_whole(folder / CARD, self.card(self.trained_on).encode())

    def card(self, training: str) -> str:
        """The model card, Markdown; `training` says what the model was trained on."""
        raise NotImplementedError

    @classmethod
    def from_pretrained(cls, source: str | Path, **hub_options: Any) -> Self:
        """Load a saved model, strictly, in evaluation mode, on the CPU.

        Args:
            source: a folder, or a name on the Hugging Face hub.
            hub_options: of `huggingface_hub.snapshot_download`, such as `revision` or `token`.

        Raises:
            FileNotFoundError: no such folder or model, or a file of it is missing.
            ValueError: a file is damaged; or a weight is missing, unexpected or of another shape.
        """
        folder = model_folder(source, **hub_options)
        model, file = cls(saved_config(folder, cls.config_class)), folder / WEIGHTS
        if not file.is_file():
            raise FileNotFoundError(f"{file}: missing; save the model again")
        try:
            weights = load_file(file)
        except SafetensorError as error:
            raise ValueError(f"{file}: damaged ({error}); save the model again") from error
        expected = model.state_dict()
        faults = {
            "missing": expected.keys() - weights.keys(),
            "unexpected": weights.keys() - expected.keys(),
            "mismatched": {
                name for name in expected.keys() & weights.keys() if expected[name].shape != weights[name].shape
            },
        }
        if any(faults.values()):
            listed = "; ".join(f"{kind}: {', '.join(sorted(names))}" for kind, names in faults.items() if names)
            raise ValueError(f"{file}: weights do not fit {CONFIG}: {listed}")
        model.load_state_dict(weights)
        model.trained_on = _trained_on(folder / CARD) or cls.trained_on
        return model.eval()


def _trained_on(card: Path) -> str:
    """What a model card says of the training data; empty if it is missing or says nothing."""
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    said = re.search(r"^\| trained on \| (.*) \|$", text, flags=re.M)
    return said.group(1) if said else ""


def model_folder(source: str | Path, **hub_options: Any) -> Path:
    """The folder of a model; one on the hub is downloaded unless it was before.

    Args, Raises: see `SavedModel.from_pretrained`.
    """
    name = str(source)
    if Path(name).is_dir():
        return Path(name)
    if name.startswith(("/", ".")) or name.count("/") > 1 or Path(name).parts and Path(Path(name).parts[0]).is_dir():
        raise FileNotFoundError(_no_model(Path(name).resolve()))  # no name on the hub, and the hub would not say why

    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS, CARD], **hub_options))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise FileNotFoundError(
            f"{name}: no such folder, and not to be had from the Hugging Face hub: {error}"
        ) from error
