"""GLoRIA: each word of a report looks for its place in the image.

Source: Huang et al., "GLoRIA: a multimodal global-local representation learning framework for label-efficient medical
image recognition", ICCV 2021.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from medslip_core.contrastive.towers import Read, Seen, WordTowers, hide, info_nce

ATTENTION, WORDS, PAIRS = 0.25, 0.2, 0.1
"""Temperatures: of a word's attention to patches, of the sum over words, of the contrast of pairs."""


class GLoRIA(WordTowers):
    """InfoNCE between whole images and reports, and between what words attend to and the words."""

    terms = ("contrast", "local")
    weights = (1.0, 1.0)

    def losses(self, seen: Seen, read: Read) -> tuple[Tensor, Tensor]:
        whole = info_nce(seen.whole @ read.whole.T / PAIRS)
        local = info_nce(word_matching(seen.patches, read.units, read.mask) / PAIRS)
        return sum(whole), sum(local)

    def similarity(self, seen: Seen, read: Read) -> Tensor:
        """The mean of whole and local, as the paper classifies."""
        local = word_matching(seen.patches, read.units, read.mask)
        return (super().similarity(seen, read) + local) / 2


def word_matching(patches: Tensor, words: Tensor, mask: Tensor) -> Tensor:
    """How well the words of each text find themselves in each image, [B, R].

    The soft maximum over words of the cosine between a word and the patches it attends to; divided by the number of
    words, so that long texts are not more like every image than short ones.

    Args:
        patches: [B, N, d]; words: [R, W, d], both of norm 1.
        mask: [R, W] bool.
    """
    # One text after the other: all at once would hold B * R * W * N weights.
    return torch.stack([_matching(patches, *text) for text in zip(words, mask, strict=True)], dim=1)


def _matching(patches: Tensor, words: Tensor, mask: Tensor) -> Tensor:
    weights = (words @ patches.transpose(1, 2) / ATTENTION).softmax(dim=-1)  # [B, W, N]
    cosines = (F.normalize(weights @ patches, dim=-1) * words).sum(dim=-1)  # [B, W]
    return WORDS * (hide(cosines / WORDS, ~mask).logsumexp(dim=-1) - mask.sum().clamp(min=1).log())
