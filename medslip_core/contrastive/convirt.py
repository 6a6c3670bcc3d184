"""ConVIRT: an image beside one sentence of its report.

Source: Zhang et al., "Contrastive learning of medical visual representations from paired images and text", MLHC 2022.
"""

from torch import Tensor

from medslip_core.contrastive.towers import Read, Seen, Towers, info_nce

TEMPERATURE = 0.1
IMAGE_TO_TEXT = 0.75


class ConVIRT(Towers):
    """InfoNCE between whole images and sentences, weighted towards finding the text."""

    terms = ("contrast",)
    weights = (1.0,)
    text_view = "one sentence"

    def losses(self, seen: Seen, read: Read) -> tuple[Tensor]:
        to_text, to_image = info_nce(seen.whole @ read.whole.T / TEMPERATURE)
        return (IMAGE_TO_TEXT * to_text + (1 - IMAGE_TO_TEXT) * to_image,)
