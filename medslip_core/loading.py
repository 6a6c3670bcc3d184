"""A saved model of whatever kind: its config tells which."""

from __future__ import annotations

import json
from pathlib import Path

from medslip_core.model import MedslipModel
from medslip_core.model_config import TrunkConfig
from medslip_core.saved_model import CONFIG, CONTRASTED, model_folder, saved_config
from medslip_core.trunk_model import TrunkModel


def load_config(folder: str | Path) -> TrunkConfig:
    """The config of a saved model, of the class that belongs to the model.

    Raises:
        FileNotFoundError, ValueError: see `saved_config`.
    """
    return saved_config(folder, _class_of(folder).config_class)


def load_model(source: str | Path) -> TrunkModel:
    """A saved `MedslipModel` or `ContrastiveModel`, in evaluation mode, on the CPU.

    Args:
        source: a folder, or a name on the Hugging Face hub.

    Raises:
        FileNotFoundError, ValueError: see `SavedModel.from_pretrained`.
    """
    folder = model_folder(source)
    return _class_of(folder).from_pretrained(folder)


def _class_of(folder: str | Path) -> type[TrunkModel]:
    """By the option that only a contrasted model's config has; a folder that cannot be read is left to its reader."""
    try:
        contrasted = CONTRASTED in json.loads((Path(folder) / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return MedslipModel
    if not contrasted:
        return MedslipModel
    from medslip_core.contrastive.model import ContrastiveModel

    return ContrastiveModel
