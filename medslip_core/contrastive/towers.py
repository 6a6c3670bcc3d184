"""What every contrasted model has: heads that bring image and report into one space, and a loss between the two."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medslip_core.contrastive.config import ContrastiveConfig
from medslip_core.contrastive.text_encoder import Words

PROMPT_TEMPERATURE = 0.1
"""Divides cosines before a softmax, over two prompts (no AUROC depends on it) or over patches."""


@dataclass(frozen=True)
class Seen:
    """B images: `whole` [B, d] and `patches` [B, N, d], rows of norm 1."""

    whole: Tensor
    patches: Tensor


@dataclass(frozen=True)
class Read:
    """R texts: `whole` [R, d] and `units` [R, U, d] (words or sentences), rows of norm 1; `mask` [R, U] bool, where
    there is a unit."""

    whole: Tensor
    units: Tensor
    mask: Tensor

    def mean_unit(self) -> Tensor:
        """[R, d], of norm 1."""
        return F.normalize((self.units * self.mask[..., None]).sum(dim=1), dim=-1)


class Head(nn.Sequential):
    """Linear, ReLU, Linear: from the last dimension's width to d."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__(nn.Linear(width, dim), nn.ReLU(), nn.Linear(dim, dim))


class Towers(nn.Module):
    """Base of the objectives; with its own `losses`, each of them is one of the compared models.

    Args:
        channels: width C of the trunk's features.
        text_dim: width T of the text encoder's states.
        config: of the model.

    Attributes:
        terms: names of what `losses` gives.
        weights: of these terms, from the paper.
        text_view: how a report is read in training: "whole", "shuffled" or "one sentence".
    """

    terms: tuple[str, ...]
    weights: tuple[float, ...]
    text_view = "whole"

    def __init__(self, channels: int, text_dim: int, config: ContrastiveConfig) -> None:
        super().__init__()
        self.image_head = Head(channels, config.embedding_dim)
        self.text_head = Head(text_dim, config.embedding_dim)

    def see(self, features: Tensor) -> Seen:
        """The trunk's features [B, N, C] in the common space."""
        whole = F.normalize(self.image_head(features.mean(dim=1)), dim=-1)
        return Seen(whole, F.normalize(self.image_head(features), dim=-1))

    def read(self, words: Words) -> Read:
        """Texts in the common space."""
        whole = F.normalize(self.text_head(words.mean()), dim=-1)
        return Read(whole, whole[:, None], torch.ones_like(words.mask[:, :1]))

    def losses(self, seen: Seen, read: Read) -> tuple[Tensor, ...]:
        """`terms` of image b beside text b, scalars."""
        raise NotImplementedError

    def similarity(self, seen: Seen, read: Read) -> Tensor:
        """How much each image is like each text, [B, R] cosines."""
        return seen.whole @ read.whole.T

    def maps(self, seen: Seen, read: Read) -> Tensor:
        """Where in each image that is, [B, R, N], rows of sum 1: a softmax of cosines with the patches."""
        cosines = torch.einsum("bnd,rd->brn", seen.patches, read.mean_unit())
        return (cosines / PROMPT_TEMPERATURE).softmax(dim=-1)


class WordTowers(Towers):
    """Base of objectives that compare patches with words, through heads of their own."""

    def __init__(self, channels: int, text_dim: int, config: ContrastiveConfig) -> None:
        super().__init__(channels, text_dim, config)
        self.patch_head = Head(channels, config.embedding_dim)
        self.word_head = Head(text_dim, config.embedding_dim)

    def see(self, features: Tensor) -> Seen:
        return Seen(super().see(features).whole, F.normalize(self.patch_head(features), dim=-1))

    def read(self, words: Words) -> Read:
        return Read(super().read(words).whole, F.normalize(self.word_head(words.states), dim=-1), words.mask)


def info_nce(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy of finding the other half of a pair, by rows and by columns, scalars.

    Args:
        logits: [B, B]; the pairs lie on the diagonal.

    Source: van den Oord et al., "Representation learning with contrastive predictive coding", 2018.
    """
    pair = torch.arange(len(logits), device=logits.device)
    return F.cross_entropy(logits, pair), F.cross_entropy(logits.T, pair)


def local_contrast(
    own: Tensor, other: Tensor, mask: Tensor, temperature: float, positives: Tensor | None = None
) -> Tensor:
    """Each patch, word or sentence against those of its own image or report on the other side, both ways; a scalar.

    Args:
        own, other: [B, n, d] of norm 1; item i of one belongs to item i of the other.
        mask: [B, n] bool, the items that there are.
        temperature: of the contrast.
        positives: [n, n], how much item j is item i, rows of sum 1; None: only itself.
    """
    logits = own @ other.transpose(1, 2) / temperature  # [B, n, n]
    means = []
    for one_way in (logits, logits.transpose(1, 2)):
        log_prob = hide(one_way, ~mask[:, None]).log_softmax(dim=-1)
        found = log_prob.diagonal(dim1=1, dim2=2) if positives is None else (positives * log_prob).sum(dim=-1)  # [B, n]
        means.append((-found.where(mask, 0).sum(dim=-1) / mask.sum(dim=-1).clamp(min=1)).mean())
    return (means[0] + means[1]) / 2


def hide(logits: Tensor, hidden: Tensor) -> Tensor:
    """Logits that a softmax gives no weight where `hidden`; finite, so that a row of nothing else has a gradient."""
    return logits.masked_fill(hidden, -1e4)
