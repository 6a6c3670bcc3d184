"""Grad-CAM of a pathology's logit on the image trunk: the usual explanation, beside the model's own attention.

Source: Selvaraju et al., "Grad-CAM", 2017, through the package grad-cam. Its context manager swallows IndexError
(version 1.5.7), so the hooks are released here by hand, and every map is checked.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from medslip_core.inference import batches
from medslip_core.vocabulary import PATHOLOGY_INDEX


class _PresenceLogits(nn.Module):
    """The model as grad-cam expects it: pixels [B, 3, S, S] -> logits of presence [B, P]."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model(pixels).pathology_logits[..., 1]


def gradcam_maps(model, corpus, rows: np.ndarray, pathology: str, batch_size: int = 16) -> np.ndarray:
    """Grad-CAM maps of one pathology for rows of a corpus, on the last stage of the trunk.

    Args:
        model: `MedslipModel` with its books set; its gradients are cleared.
        rows: [n] rows of the corpus.
        pathology: one of the 75.

    Returns:
        [n, image_size, image_size] float32 in [0, 1], each map scaled by itself, zeros where nothing speaks for it.

    Raises:
        RuntimeError: if grad-cam returned something else than one finite map per image.
    """
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    target = ClassifierOutputTarget(PATHOLOGY_INDEX[pathology])
    cam = GradCAM(model=_PresenceLogits(model), target_layers=[model.trunk])  # also puts the model in eval mode
    maps = [np.zeros((0, model.config.image_size, model.config.image_size), np.float32)]
    try:
        for pixels in batches(model, corpus, rows, batch_size, f"Grad-CAM {pathology}"):
            # A frozen trunk passes gradients on only if its input asks for them.
            found = cam(input_tensor=pixels.requires_grad_(), targets=[target] * len(pixels))
            expected = (len(pixels), *pixels.shape[-2:])
            if found.shape != expected or not np.isfinite(found).all():
                raise RuntimeError(f"grad-cam returned {found.shape} for {pathology!r}, not finite maps {expected}")
            maps.append(found.astype(np.float32))
    finally:
        cam.activations_and_grads.release()
        model.zero_grad(set_to_none=True)
    return np.concatenate(maps)
