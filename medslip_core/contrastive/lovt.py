"""LoVT: regions of the image and sentences of the report are each aligned with what they attend to on the other side.

Source: Müller et al., "Joint learning of localized representations from medical images and reports", ECCV 2022, and
its published configuration. Differences on purpose: images and reports are plain means where the paper pools them by
attention, so regions and sentences count alike in the local losses; no batch norm.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medslip_core.contrastive.config import ContrastiveConfig
from medslip_core.contrastive.text_encoder import Words
from medslip_core.contrastive.towers import Head, Read, Seen, Towers, hide, info_nce, local_contrast

TEMPERATURE, LOCAL_TEMPERATURE = 0.1, 0.3
IMAGE_TO_TEXT = 0.75
REACH = 0.5
"""Distance, in diagonals of the image, within which another region counts as partly the same."""


class LoVT(Towers):
    """InfoNCE between whole images and reports, between regions of one image, and between sentences of one report."""

    terms = ("contrast", "local_image", "local_text")
    weights = (1.0, 0.75, 0.75)

    def __init__(self, channels: int, text_dim: int, config: ContrastiveConfig) -> None:
        super().__init__(channels, text_dim, config)
        dim = config.embedding_dim
        self.patch_head = Head(channels, dim)
        self.sentence_head = Head(text_dim, dim)
        self.key, self.value, self.attended = (nn.Linear(dim, dim) for _ in range(3))

    def see(self, features: Tensor) -> Seen:
        return Seen(super().see(features).whole, F.normalize(self.patch_head(features), dim=-1))

    def read(self, words: Words) -> Read:
        sentences, mask = words.sentence_means()
        return Read(super().read(words).whole, F.normalize(self.sentence_head(sentences), dim=-1), mask)

    def losses(self, seen: Seen, read: Read) -> tuple[Tensor, Tensor, Tensor]:
        to_text, to_image = info_nce(seen.whole @ read.whole.T / TEMPERATURE)
        patches, sentences, mask = seen.patches, read.units, read.mask
        regions_read = self._attend(patches, sentences, mask)  # [B, N, d]
        sentences_seen = self._attend(sentences, patches)  # [B, M, d]
        every = torch.ones_like(patches[..., 0], dtype=torch.bool)
        near = neighbours(patches.shape[1], patches.device)
        return (
            IMAGE_TO_TEXT * to_text + (1 - IMAGE_TO_TEXT) * to_image,
            local_contrast(patches, regions_read, every, LOCAL_TEMPERATURE, near),
            local_contrast(sentences, sentences_seen, mask, LOCAL_TEMPERATURE),
        )

    def maps(self, seen: Seen, read: Read) -> Tensor:
        """What a text as one sentence attends to."""
        asking = read.mean_unit().expand(len(seen.patches), -1, -1)  # [R, d] -> [B, R, d]
        return self._weights(asking, seen.patches)

    def _attend(self, asking: Tensor, asked: Tensor, mask: Tensor | None = None) -> Tensor:
        """What each of `asking` [B, n, d] finds among `asked` [B, m, d], of norm 1."""
        return F.normalize(self.attended(self._weights(asking, asked, mask) @ self.value(asked)), dim=-1)

    def _weights(self, asking: Tensor, asked: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attention [B, n, m], rows of sum 1; none where `mask` [B, m] is False."""
        logits = self.key(asking) @ self.key(asked).transpose(1, 2) * asking.shape[-1] ** 0.5  # rows have norm 1
        return (logits if mask is None else hide(logits, ~mask[:, None])).softmax(dim=-1)


def neighbours(count: int, device: torch.device) -> Tensor:
    """How much patch j is patch i on a square grid: falls exponentially with distance up to `REACH`; [N, N]."""
    side = round(count**0.5)
    place = torch.arange(count, device=device)
    points = torch.stack([place // side, place % side], dim=1).float()  # [N, 2]
    distance = torch.cdist(points, points) / (side * 2**0.5)  # [N, N]
    near = (-distance).exp() * (distance <= REACH)
    return near / near.sum(dim=1, keepdim=True)
