"""Weights of the published implementation, loaded strictly into our model, and the texts that belong to them.

Source: repository Shef-AIRE/MeDSLIP, commit 7cfceb1. Its checkpoints hold no text books: its queries are plain
attributes, computed from Bio_ClinicalBERT on every start. Give the loaded model those with `published_books` and
`set_books`: they were trained together, and this project's own texts (`descriptions`) say it otherwise.
"""

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from medslip_core.model import MedslipModel
from medslip_core.model_config import MedslipConfig
from medslip_core.text import Books, embed_books
from medslip_core.vocabulary import ANATOMIES, PATHOLOGIES

logger = logging.getLogger(__name__)

_RULES = (
    (r"trunk\.network\.conv1\.", r"res_features.0."),
    (r"trunk\.network\.bn1\.", r"res_features.1."),
    (r"trunk\.network\.layer1\.", r"res_features.4."),
    (r"trunk\.network\.layer2\.", r"res_features.5."),
    (r"trunk\.network\.layer3\.", r"res_features.6."),
    (r"gate\.", r"mask_generator."),
    (r"(\w+)_projection\.inner\.", r"res_l1_\1."),
    (r"(\w+)_projection\.outer\.", r"res_l2_\1."),
    (r"query_projection\.", r"pathology_embedding_layer."),
    (r"(\w+)_decoder\.layers\.(\d+)\.self_attention\.", r"decoder_\1.layers.\2.self_attn."),
    (r"(\w+)_decoder\.layers\.(\d+)\.cross_attention\.", r"decoder_\1.layers.\2.multihead_attn."),
    (r"(\w+)_decoder\.layers\.(\d+)\.self_norm\.", r"decoder_\1.layers.\2.norm1."),
    (r"(\w+)_decoder\.layers\.(\d+)\.cross_norm\.", r"decoder_\1.layers.\2.norm2."),
    (r"(\w+)_decoder\.layers\.(\d+)\.feed_forward_norm\.", r"decoder_\1.layers.\2.norm3."),
    (r"(\w+)_decoder\.layers\.(\d+)\.feed_forward\.0\.", r"decoder_\1.layers.\2.linear1."),
    (r"(\w+)_decoder\.layers\.(\d+)\.feed_forward\.3\.", r"decoder_\1.layers.\2.linear2."),
    (r"final_norm\.0\.", r"decoder_pathology.norm."),
    (r"(\w+)_existence\.", r"classifier_\1."),
    (r"(\w+)_prototype\.", r"cl_fc_\1."),
)
"""Start of our parameter name -> start of the published one."""

_SHARED_NORM = {f"decoder_anatomy.norm.{part}": f"decoder_pathology.norm.{part}" for part in ("weight", "bias")}
"""One LayerNorm under two published names; the second is loaded last there, and so decides."""

CLINICAL_BERT = "emilyalsentzer/Bio_ClinicalBERT"
"""The published text encoder (T = 768, first token)."""

EXPLANATIONS = "PreTrain_MeDSLIP/data_file/observation explanation.json"
_MISSPELT = {"eumonia": "pneumonia"}
"""A key of that file."""

_ATTENTION_PARTS = ("query", "key", "value")
"""Order in which torch's MultiheadAttention stacks its input projections."""


def load_published(checkpoint: str | Path | Mapping[str, Tensor], image_size: int = 224) -> MedslipModel:
    """A model with the weights of a published checkpoint, in eval mode, still without text books.

    Args:
        checkpoint: path of a .pth file (its `model` entry is taken), or a state dict; with or without the prefix
            `module.` of multi-GPU training; ResNet-50 or ResNet-18.
        image_size: side of the images it will see, px.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint, or weights are missing, unexpected or of another shape; all are named.
    """
    origin = "state dict" if isinstance(checkpoint, Mapping) else str(checkpoint)
    state = checkpoint if isinstance(checkpoint, Mapping) else _read(Path(checkpoint))
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    for alias, name in _SHARED_NORM.items():
        if alias in state and name in state and not torch.equal(state[alias], state[name]):
            logger.warning(
                "%s: %s differs from %s, though they are one parameter; the latter is used", origin, alias, name
            )

    model = MedslipModel(_config(state, image_size))
    loaded, misfits, missing = model.state_dict(), set(), set()
    sources = {name: published_name(name) for name in loaded if not name.endswith("_book")}
    for name, (source, part) in sources.items():
        if source not in state:
            missing.add(source)
            continue
        tensor = state[source]
        if part is not None and tensor.ndim and len(tensor) % 3 == 0:
            tensor = tensor.chunk(3)[part]
        if tensor.shape != loaded[name].shape:
            misfits.add(f"{source} {tuple(state[source].shape)}")
            continue
        loaded[name] = tensor
    missing |= _SHARED_NORM.keys() - state.keys()
    unexpected = state.keys() - {source for source, _ in sources.values()} - _SHARED_NORM.keys()
    faults = {"missing": missing, "unexpected": unexpected, "of another shape": misfits}
    if any(faults.values()):
        listed = "; ".join(
            f"{len(names)} {kind}: {', '.join(sorted(names))}" for kind, names in faults.items() if names
        )
        raise ValueError(f"{origin}: not a published MeDSLIP checkpoint ({model.config.backbone}); {listed}")
    model.load_state_dict(loaded, strict=True)
    return model.eval()


def published_name(name: str) -> tuple[str, int | None]:
    """The published name of one of our parameters, and which third of it (query, key, value) ours is, if not all.

    Raises:
        KeyError: the published model has no such parameter.
    """
    for pattern, replacement in _RULES:
        source, found = re.subn(f"^{pattern}", replacement, name)
        if not found:
            continue
        attention = re.search(r"_attn\.(query|key|value|output)\.(weight|bias)$", source)
        if attention is None:
            return source, None
        which, kind = attention.groups()
        stem = source[: attention.start()] + "_attn."
        if which == "output":
            return f"{stem}out_proj.{kind}", None
        return f"{stem}in_proj_{kind}", _ATTENTION_PARTS.index(which)
    raise KeyError(f"{name} has no counterpart in the published model")


def published_books(explanations: str | Path, encoder: str = CLINICAL_BERT) -> Books:
    """The text books that the published weights were trained with.

    Args:
        explanations: the authors' `PreTrain_MeDSLIP/data_file/observation explanation.json`, which has no licence and
            so is not part of this project: pathology -> text, in the vocabulary's order.
        encoder: Bio_ClinicalBERT on the hub, or the folder that holds it.

    Raises:
        FileNotFoundError: there is no such file, or no such encoder.
        ValueError: the file is not that one.
    """
    path = Path(explanations)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; it lies in {EXPLANATIONS} of the published repository")
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not readable as JSON ({error}); take {EXPLANATIONS} as published") from error
    names = [_MISSPELT.get(name, name) for name in texts] if isinstance(texts, dict) else []
    if names != list(PATHOLOGIES) or not all(isinstance(text, str) and text.strip() for text in texts.values()):
        raise ValueError(
            f"{path}: not one text for each of the {len(PATHOLOGIES)} pathologies in their order; take {EXPLANATIONS} "
            "as published"
        )
    places = [f"It is located at {name}. " for name in ANATOMIES]
    return embed_books(encoder, pooling="cls", separator=False, texts=(places, list(texts.values())))


def _read(path: Path) -> Mapping[str, Tensor]:
    """The state dict in a .pth file, read without executing anything in it."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types on what is not a checkpoint, and advises to run it
        raise ValueError(
            f"{path}: not a checkpoint that can be read safely (weights alone, nothing executed); take the .pth file "
            "as it was published"
        ) from error
    if isinstance(content, Mapping) and "model" in content:
        content = content["model"]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise ValueError(f"{path}: holds no state dict, neither at the top nor under 'model'")
    return content


def _config(state: Mapping[str, Tensor], image_size: int) -> MedslipConfig:
    """The published setting, with the checkpoint's depth of trunk."""
    bottleneck = "res_features.4.0.conv3.weight" in state  # ResNet-18 has two convolutions per block
    return MedslipConfig(backbone="resnet50" if bottleneck else "resnet18", image_size=image_size)
