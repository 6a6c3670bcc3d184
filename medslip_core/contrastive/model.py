"""A contrasted model, asked the same questions as MeDSLIP, by prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medslip_core.contrastive.biovil import BioViL
from medslip_core.contrastive.config import ContrastiveConfig
from medslip_core.contrastive.convirt import ConVIRT
from medslip_core.contrastive.gloria import GLoRIA
from medslip_core.contrastive.lovt import LoVT
from medslip_core.contrastive.mgca import MGCA
from medslip_core.contrastive.prompts import PLACES, PROMPTS
from medslip_core.contrastive.text_encoder import LearningEncoder, Words, frozen_encoder, read_words
from medslip_core.contrastive.towers import PROMPT_TEMPERATURE, Read, Seen
from medslip_core.model import MedslipOutput
from medslip_core.model_card import HUB_METADATA, USE_AND_LIMITS, encoder_name, usage
from medslip_core.trunk_model import TrunkModel

TOWERS = {"convirt": ConVIRT, "gloria": GLoRIA, "biovil": BioViL, "lovt": LoVT, "mgca": MGCA}


@dataclass(frozen=True)
class ContrastiveOutput:
    """Images and texts in the common space, and the grid (h, w) of the patches."""

    seen: Seen
    read: Read
    grid: tuple[int, int]


class ContrastiveModel(TrunkModel):
    """Trunk, text encoder, and the `towers` of its method.

    Raises:
        ParameterError, ValueError, FileNotFoundError: of the text encoder, see `text_encoder`.
    """

    config_class = ContrastiveConfig

    def __init__(self, config: ContrastiveConfig) -> None:
        super().__init__(config)
        origin = config.text_encoder, config.text_separator
        self.text_encoder = (
            LearningEncoder(*origin, config.text_layers) if config.text_layers else frozen_encoder(*origin)
        )
        self.towers = TOWERS[config.method](self.trunk.channels, self.text_encoder.dim, config)

    def forward(
        self, pixel_values: Tensor, texts: list[list[str]] | None = None, output_attentions: bool = False
    ) -> ContrastiveOutput | MedslipOutput:
        """Images beside texts; without texts, the answers about every pathology and anatomy.

        Args:
            pixel_values: [B, 3, S, S] from `pixel_values()`.
            texts: B of them, each a list of sentences.
            output_attentions: answer also where.
        """
        seen, grid = self._see(pixel_values)
        if texts is None:
            return self.answers(seen, grid, output_attentions)
        return ContrastiveOutput(seen, self.towers.read(self._words(texts)), grid)

    def answers(self, seen: Seen, grid: tuple[int, int], output_attentions: bool = False) -> MedslipOutput:
        """What prompts find in images: logits [absent, present] and, if asked for, one layer of maps."""
        logits, attention = {}, {}
        with torch.autocast(self.device.type, enabled=False):
            seen = Seen(seen.whole.float(), seen.patches.float())
            told = {name: self.towers.read(self._words([[text] for text in texts])) for name, texts in PROMPTS.items()}
            for stream in ("pathology", "anatomy"):
                read = [told[f"{stream} absent"], told[f"{stream} present"]]
                similar = torch.stack([self.towers.similarity(seen, one) for one in read], dim=-1)  # [B, Q, 2]
                logits[stream] = similar / PROMPT_TEMPERATURE
                if output_attentions:
                    attention[stream] = self.towers.maps(seen, told[PLACES[stream]])[None]  # [1, B, Q, N]
        return MedslipOutput(
            pathology_logits=logits["pathology"],
            anatomy_logits=logits["anatomy"],
            pathology_attention=attention.get("pathology"),
            anatomy_attention=attention.get("anatomy"),
            grid=grid,
        )

    def likeness(self, pixel_values: Tensor, prompts: list[str]) -> Tensor:
        """How much each image [B, 3, S, S] is like each of Q sentences, [B, Q] float32."""
        seen, _ = self._see(pixel_values)
        with torch.autocast(self.device.type, enabled=False):
            seen = Seen(seen.whole.float(), seen.patches.float())
            return self.towers.similarity(seen, self.towers.read(self._words([[one] for one in prompts])))

    def _see(self, pixel_values: Tensor) -> tuple[Seen, tuple[int, int]]:
        feature_map = self.trunk(pixel_values)  # [B, C, h, w]
        return self.towers.see(feature_map.flatten(2).transpose(1, 2)), tuple(feature_map.shape[-2:])

    def compile(self, *options: Any, **more: Any) -> None:
        """Compile the trunk, as `nn.Module.compile` would all of it: texts are of every length."""
        self.trunk.compile(*options, **more)

    def card(self, training: str) -> str:
        told = dict(
            text_encoder=encoder_name(self.config.text_encoder),
            training=training,
            usage=usage(_IMPORTS, "ContrastiveModel", "PATHOLOGIES"),
        )
        return HUB_METADATA + _CARD.format(**{**self.config.to_dict(), **told}) + USE_AND_LIMITS

    def _words(self, texts: list[list[str]]) -> Words:
        return read_words(self.text_encoder, texts, self.device)


_CARD = """
# {method}: images contrasted with reports

A model that MeDSLIP (arXiv 2403.10635) is compared with: the objective of {method}, written anew from its paper, on a
trunk, text encoder and training that all compared models share. It is none of its authors' models.

| | |
| --- | --- |
| image trunk | {backbone}, {image_size} px |
| text encoder | {text_encoder}, {text_layers} layer(s) of it learned |
| trained on | {training} |

What prompts say:

{usage}
"""

_IMPORTS = """\
from medslip_core.contrastive.model import ContrastiveModel
from medslip_core.vocabulary import PATHOLOGIES"""
