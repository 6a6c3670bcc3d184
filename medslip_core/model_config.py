"""Every choice that shapes a MeDSLIP model. The defaults are the published setting; everything else is an option."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medslip_core.parameters import ParameterError, Parameters, parameter
from medslip_core.vocabulary import ANATOMIES, PATHOLOGIES

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class TrunkConfig(Parameters):
    """What goes into a model's image trunk, and what the trunk is."""

    backbone: str = parameter("resnet50", "timm name of the image trunk")
    backbone_stage: int | None = parameter(None, "feature stage of the trunk; None: the last one of stride 16", low=0)
    detail_stage: int | None = parameter(None, "earlier stage that joins it, on its finer grid (see `Trunk`)", low=0)
    image_size: int = parameter(224, "side S of the input, px", low=1)
    image_mean: tuple[float, ...] = parameter(IMAGENET_MEAN, "of each of 3 channels, of images in 0..1")
    image_std: tuple[float, ...] = parameter(IMAGENET_STD, "of each of 3 channels, of images in 0..1", low=1e-6)

    def __post_init__(self) -> None:
        super().__post_init__()
        problems = [
            f"{name}: {getattr(self, name)!r} is not one value for each of 3 channels"
            for name in ("image_mean", "image_std")
            if len(getattr(self, name)) != 3
        ]
        if problems:
            raise ParameterError("; ".join(problems))

    @staticmethod
    def options_of(options: Mapping[str, Any]) -> dict[str, Any]:
        """Those options of a model's config that are its trunk's."""
        known = {field.name for field in dataclasses.fields(TrunkConfig)}
        return {name: value for name, value in options.items() if name in known}


@dataclass(frozen=True)
class MedslipConfig(TrunkConfig):
    """Architecture of a `MedslipModel`, and what belongs to its input and output.

    Raises:
        ParameterError: listing every value of the wrong type or out of range; heads that do not divide the width;
            `from_dict` also unknown names.
    """

    anatomies: tuple[str, ...] = parameter(tuple(ANATOMIES), "names of the anatomy queries, in order")
    pathologies: tuple[str, ...] = parameter(tuple(PATHOLOGIES), "names of the pathology queries, in order")
    text_encoder: str | None = parameter(None, "where the books came from; None until `MedslipModel.set_books`")
    text_pooling: str = parameter("cls", "of that encoder, for texts to ask with", choices=("cls", "mean"))
    text_separator: bool = parameter(True, "end such texts with [SEP]")
    text_dim: int = parameter(768, "width T of the text embeddings", low=1)
    hidden_dim: int = parameter(256, "width d of queries, memory and features", low=1)
    decoder_layers: int = parameter(4, "of each of the two query decoders", low=1)
    decoder_heads: int = parameter(4, "of their attention; divides `hidden_dim`", low=1)
    feed_forward_dim: int = parameter(1024, "inner width of their feed-forward networks", low=1)
    dropout: float = parameter(0.1, "in the decoders and before the heads", low=0, high=1)
    wide_attention: bool = parameter(
        False, "first weights of attention as torch draws them, 2.2 times as wide as published, so that it is not flat"
    )
    gated: bool = parameter(True, "a gate splits the image between the streams; False: both see all of it")
    gate_activation: str = parameter("none", "of that gate", choices=("none", "sigmoid"))
    final_norm: str = parameter(
        "shared", "LayerNorm after the decoders: one for both, or one each", choices=("shared", "separate")
    )
    memory_norm: bool = parameter(False, "LayerNorm on the image memory before the decoders see it")
    memory_position: str = parameter(
        "none", "fixed 2-d position codes on the memory (best with `memory_norm`)", choices=("none", "sincos2d")
    )
    query_residual: bool = parameter(False, "a learned vector on each query, so that near-equal sentences can part")
    center_books: bool = parameter(False, "subtract the mean of each book, and scale its rows to norm sqrt(T)")
    feature_norm: bool = parameter(False, "ICL on unit features (cosines) instead of raw dot products")
    icl_scale: float = parameter(1.0, "factor of the ICL logits: 1 / sqrt(d) tames dot products, 10 suits cosines")
    protocl_temperature: float | None = parameter(
        None, "divides ProtoCL's cosines; None: raw dot products (read by the objective's caller)", low=1e-6
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_dim % self.decoder_heads:
            raise ParameterError(f"decoder_heads: {self.decoder_heads} does not divide hidden_dim ({self.hidden_dim})")
        if self.memory_position == "sincos2d" and self.hidden_dim % 4:
            raise ParameterError(f"hidden_dim: {self.hidden_dim} is not a multiple of 4, which sincos2d wants")
