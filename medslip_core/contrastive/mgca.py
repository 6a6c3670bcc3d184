"""MGCA: three grains of alignment: image and report, patches and words, clusters of patients.

Source: Wang et al., "Multi-granularity cross-modal alignment for generalized medical visual representation learning",
NeurIPS 2022.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medslip_core.contrastive.config import ContrastiveConfig
from medslip_core.contrastive.text_encoder import Words
from medslip_core.contrastive.towers import Head, Read, Seen, Towers, info_nce, local_contrast

TEMPERATURE, TOKEN_TEMPERATURE, PROTOTYPE_TEMPERATURE = 0.1, 0.1, 0.2
SINKHORN_EPSILON, SINKHORN_ROUNDS = 0.05, 3


class MGCA(Towers):
    """InfoNCE between whole images and reports, between tokens, and swapped assignment to prototypes."""

    terms = ("contrast", "local", "prototypes")
    weights = (1.0, 1.0, 1.0)

    def __init__(self, channels: int, text_dim: int, config: ContrastiveConfig) -> None:
        super().__init__(channels, text_dim, config)
        dim = config.embedding_dim
        self.patch_head = Head(channels, dim)
        self.word_head = Head(text_dim, dim)
        self.patches_ask, self.words_ask = (nn.MultiheadAttention(dim, 1, batch_first=True) for _ in range(2))
        self.prototypes = nn.Linear(dim, config.prototypes, bias=False)

    def see(self, features: Tensor) -> Seen:
        return Seen(super().see(features).whole, F.normalize(self.patch_head(features), dim=-1))

    def read(self, words: Words) -> Read:
        return Read(super().read(words).whole, F.normalize(self.word_head(words.states), dim=-1), words.mask)

    def losses(self, seen: Seen, read: Read) -> tuple[Tensor, Tensor, Tensor]:
        whole = sum(info_nce(seen.whole @ read.whole.T / TEMPERATURE)) / 2
        patches, words, mask = seen.patches, read.units, read.mask
        words_seen, _ = self.words_ask(words, patches, patches, need_weights=False)
        patches_read, _ = self.patches_ask(patches, words, words, key_padding_mask=~mask, need_weights=False)
        every = torch.ones_like(patches[..., 0], dtype=torch.bool)
        of_words = local_contrast(words, F.normalize(words_seen, dim=-1), mask, TOKEN_TEMPERATURE)
        of_patches = local_contrast(patches, F.normalize(patches_read, dim=-1), every, TOKEN_TEMPERATURE)
        return whole, (of_words + of_patches) / 2, self._swapped(seen.whole, read.whole)

    def maps(self, seen: Seen, read: Read) -> Tensor:
        """What the words of a text attend to, on average."""
        return torch.stack([self._attended(seen.patches, *text) for text in zip(read.units, read.mask, strict=True)], 1)

    def _attended(self, patches: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        words = words[mask].expand(len(patches), -1, -1)  # [W, d] -> [B, W, d]
        return self.words_ask(words, patches, patches)[1].mean(dim=1)  # [B, W, N] -> [B, N]

    def _swapped(self, image: Tensor, text: Tensor) -> Tensor:
        """Each side's cluster, predicted from the other side."""
        directions = F.normalize(self.prototypes.weight, dim=1)  # [K, d]
        scores = image @ directions.T, text @ directions.T  # [B, K] cosines
        codes = [sinkhorn(score.detach()) for score in scores]
        logs = [(score / PROTOTYPE_TEMPERATURE).log_softmax(dim=1) for score in scores]
        return -((codes[1] * logs[0]).sum(dim=1) + (codes[0] * logs[1]).sum(dim=1)).mean() / 2


@torch.no_grad()
def sinkhorn(scores: Tensor) -> Tensor:
    """Assignment [B, K] of images to prototypes, rows of sum 1, that uses all prototypes alike.

    Source: Cuturi, "Sinkhorn distances", 2013; Caron et al., SwAV, 2020.
    """
    weights = ((scores - scores.max()) / SINKHORN_EPSILON).exp()
    for _ in range(SINKHORN_ROUNDS):
        weights = weights / weights.sum(dim=0, keepdim=True).clamp(min=1e-12)
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)
    return weights
