"""BioViL: the image is the mean of its projected patches, so that a text can be compared with each of them.

Source: Boecking et al., "Making the most of text semantics to improve biomedical vision-language processing",
ECCV 2022. Its text encoder's own objectives (masked words, radiology section matching) belong to that encoder, and are
left out.
"""

import torch.nn.functional as F
from torch import Tensor

from medslip_core.contrastive.towers import Read, Seen, Towers, info_nce

TEMPERATURE = 0.5


class BioViL(Towers):
    """InfoNCE between images and reports whose sentences are shuffled."""

    terms = ("contrast",)
    weights = (1.0,)
    text_view = "shuffled"

    def see(self, features: Tensor) -> Seen:
        patches = self.image_head(features)  # [B, N, d]
        return Seen(F.normalize(patches.mean(dim=1), dim=-1), F.normalize(patches, dim=-1))

    def losses(self, seen: Seen, read: Read) -> tuple[Tensor]:
        to_text, to_image = info_nce(seen.whole @ read.whole.T / TEMPERATURE)
        return ((to_text + to_image) / 2,)
