"""MGCA: three grains of alignment: image and report, patches and words, clusters of patients.

Source: Wang et al., "Multi-granularity cross-modal alignment for generalized medical visual representation learning",
NeurIPS 2022; temperatures, weights of the terms, and attention that is not learned, as in its published code.
Differences on purpose: words count alike in the local loss, and prototypes learn from the first step.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medslip_core.contrastive.config import ContrastiveConfig
from medslip_core.contrastive.towers import Read, Seen, WordTowers, hide, info_nce, local_contrast

TEMPERATURE, TOKEN_TEMPERATURE, PROTOTYPE_TEMPERATURE = 0.07, 0.1, 0.2
SINKHORN_EPSILON, SINKHORN_ROUNDS = 0.05, 3


class MGCA(WordTowers):
    """InfoNCE between whole images and reports, between tokens, and swapped assignment to prototypes."""

    terms = ("contrast", "local", "prototypes")
    weights = (1.0, 0.7, 0.5)

    def __init__(self, channels: int, text_dim: int, config: ContrastiveConfig) -> None:
        super().__init__(channels, text_dim, config)
        self.prototypes = nn.Linear(config.embedding_dim, config.prototypes, bias=False)

    def losses(self, seen: Seen, read: Read) -> tuple[Tensor, Tensor, Tensor]:
        whole = sum(info_nce(seen.whole @ read.whole.T / TEMPERATURE))
        patches, words, mask = seen.patches, read.units, read.mask
        every = torch.ones_like(patches[..., 0], dtype=torch.bool)
        of_words = local_contrast(words, attend(words, patches, every), mask, TOKEN_TEMPERATURE)
        of_patches = local_contrast(patches, attend(patches, words, mask), every, TOKEN_TEMPERATURE)
        return whole, of_words + of_patches, self._swapped(seen.whole, read.whole)

    def _swapped(self, image: Tensor, text: Tensor) -> Tensor:
        """Each side's cluster, predicted from the other side."""
        directions = F.normalize(self.prototypes.weight, dim=1)  # [K, d]
        scores = image @ directions.T, text @ directions.T  # [B, K] cosines
        codes = [sinkhorn(score.detach()) for score in scores]
        logs = [(score / PROTOTYPE_TEMPERATURE).log_softmax(dim=1) for score in scores]
        return -((codes[1] * logs[0]).sum(dim=1) + (codes[0] * logs[1]).sum(dim=1)).mean() / 2


def attend(asking: Tensor, asked: Tensor, mask: Tensor) -> Tensor:
    """What each of `asking` [B, n, d] is most like among `asked` [B, m, d], where `mask` [B, m]; of norm 1."""
    cosines = hide(asking @ asked.transpose(1, 2) / TOKEN_TEMPERATURE, ~mask[:, None])  # [B, n, m]
    return F.normalize(cosines.softmax(dim=-1) @ asked, dim=-1)


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
