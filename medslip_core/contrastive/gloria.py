"""GLoRIA: each word of a report looks for its place in the image.

Source: Huang et al., "GLoRIA: a multimodal global-local representation learning framework for label-efficient medical
image recognition", ICCV 2021: the soft maximum over words is the paper's formula, with its factor 0.2. The published
code leaves that factor out, so that its local contrast is five times as sharp, and classifies by the best word.
Differences on purpose: the sum over words is divided by their number, so that long texts are not more like every image
than short ones; words attend by cosines, where the published code takes a softmax over words first.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from medslip_core.contrastive.towers import Read, Seen, WordTowers, info_nce

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

    The soft maximum over words of the cosine between a word and the patches it attends to.

    Args:
        patches: [B, N, d]; words: [R, W, d], both of norm 1.
        mask: [R, W] bool.
    """
    counts = mask.sum(dim=1).clamp(min=1).tolist()
    texts = [text[:count] for text, count in zip(words, counts, strict=True)]
    # One text after the other, and computed again in the backward pass: B * R * W * N weights would not fit a GPU.
    keep_nothing = {"use_reentrant": False, "preserve_rng_state": False}
    return torch.stack([checkpoint(_matching, patches, text, **keep_nothing) for text in texts], dim=1)


def _matching(patches: Tensor, words: Tensor) -> Tensor:
    """Of one text [W, d] in each image, [B]."""
    weights = (words @ patches.transpose(1, 2) / ATTENTION).softmax(dim=-1)  # [B, W, N]
    cosines = (F.normalize(weights @ patches, dim=-1) * words).sum(dim=-1)  # [B, W]
    return WORDS * ((cosines / WORDS).logsumexp(dim=-1) - math.log(len(words)))
