"""MeDSLIP: dual-stream language-image pre-training on chest radiographs (arXiv 2403.10635).

The names below are loaded on first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Images": "inference",
    "MedslipConfig": "model_config",
    "MedslipModel": "model",
    "MedslipOutput": "model",
    "PreparedCorpus": "corpus",
    "attention_maps": "grounding.maps",
    "classify": "zero_shot",
    "classify_text": "zero_shot",
    "embed_books": "text",
    "encode_classes": "zero_shot",
    "encoder_of": "text",
    "load_finetuned": "finetune.finetuned",
    "load_model": "loading",
    "load_published": "published",
    "published_books": "published",
    "medslip_objective": "losses.objective",
    "place_questions": "places",
    "place_scores": "places",
    "sample_negatives": "losses.protocl",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
