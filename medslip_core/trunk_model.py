"""A saved model that begins with an image trunk."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medslip_core.backbone import Trunk
from medslip_core.model_config import TrunkConfig
from medslip_core.saved_model import SavedModel


class TrunkModel(SavedModel):
    """Base of models that see images through a `trunk`."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__(config)
        self.trunk = Trunk(config.backbone, config.backbone_stage, config.image_size, config.detail_stage)

    def pixel_values(self, images: Tensor | np.ndarray) -> Tensor:
        """Network input [B, 3, S, S] float32, normalised and resized to the config's image size.

        Channels come last in memory: convolutions on a CPU take half the time so.

        Args:
            images: [B, H, H], a tensor or array, uint8 in 0..255 or float in 0..1; square, as the corpora are.

        Raises:
            ValueError: another shape or type, or (looked at on the host only) values outside that range.
        """
        if isinstance(images, np.ndarray):
            images = torch.from_numpy(images.copy())
        if not isinstance(images, Tensor):
            raise ValueError(
                f"images are a {type(images).__name__}, not an array or tensor: np.stack makes several one"
            )
        if images.ndim != 3 or images.shape[1] != images.shape[2]:
            raise ValueError(
                f"images have shape {list(images.shape)}, not [B, H, H]: grey and square (data_prep.geometry pads)"
            )
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise ValueError(
                f"images are {images.dtype}: give uint8 in 0..255 or floats in 0..1 (data_prep.image reads)"
            )
        if images.device.type == "cpu" and images.dtype != torch.uint8 and len(images):
            low, high = (float(end) for end in images.aminmax())
            if not -1e-3 <= low <= high <= 1 + 1e-3:
                raise ValueError(f"images lie in {low:g}..{high:g}: floats must lie in 0..1, air black")
        images = images.to(self.device)
        images = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        size = (self.config.image_size, self.config.image_size)
        if images.shape[-2:] != size:
            images = F.interpolate(images.unsqueeze(1), size, mode="bilinear", antialias=True).squeeze(1)  # [B, S, S]
        pixels = images.new_empty(*images.shape, 3)
        for channel, (mean, std) in enumerate(zip(self.config.image_mean, self.config.image_std, strict=True)):
            torch.div(images - mean, std, out=pixels[..., channel])  # in its place: stacking them takes twice the time
        return pixels.permute(0, 3, 1, 2)
