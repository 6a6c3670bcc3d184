"""Gradient maps of a pathology's logit on the image trunk: the usual explanations, beside the model's own attention.

Grad-CAM weighs each channel by its gradient *averaged over the image*. A query that looks at one place has gradients
there alone, which the average washes out; HiResCAM multiplies place by place instead.

Source: Selvaraju et al., "Grad-CAM", 2017; Draelos and Carin, "Use HiResCAM instead of Grad-CAM", 2020; both through
the package grad-cam. Its context manager swallows IndexError (version 1.5.7), so the hooks are released here by hand,
and every map is checked.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from medslip_core.evaluating import evaluating
from medslip_core.grounding.views import views
from medslip_core.inference import batches, without_trunk
from medslip_core.vocabulary import PATHOLOGY_INDEX, position, require_vocabulary

CAM_METHODS = ("Grad-CAM", "HiResCAM")


class _AfterTrunk(nn.Module):
    """All of the model behind its trunk, as grad-cam expects it: features [B, C, h, w] -> logits of presence [B, P]."""

    def __init__(self, model):
        super().__init__()
        self.rest = without_trunk(model)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.rest(features).pathology_logits[..., 1]


def gradcam_maps(model, corpus, rows: np.ndarray, pathology: str, batch_size: int = 16) -> dict[str, np.ndarray]:
    """Grad-CAM and HiResCAM maps of one pathology for rows of a corpus, on the last stage of the trunk.

    Args:
        model: `MedslipModel` with its books set; its gradients are cleared.
        rows: [n] rows of the corpus, perhaps none.
        pathology: one of the 75.

    Returns:
        "Grad-CAM" and "HiResCAM" -> [n, h, w] float32 in [0, 1] on the trunk's grid, each map scaled by itself, zeros
        where nothing speaks for it.

    Raises:
        ValueError: no such pathology, or the model has other names than the vocabulary, or in another order.
        RuntimeError: if grad-cam returned something else than one finite map per image.
    """
    from pytorch_grad_cam import GradCAM, HiResCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    require_vocabulary(model.config)
    target = ClassifierOutputTarget(position(pathology, PATHOLOGY_INDEX))
    if len(rows) == 0:
        return dict.fromkeys(CAM_METHODS, np.zeros((0, 1, 1), np.float32))
    after, offset_px = _AfterTrunk(model), model.trunk.cell_offset(model.config.image_size)
    cams = [kind(model=after, target_layers=[after.rest.trunk]) for kind in (GradCAM, HiResCAM)]
    maps: dict[str, list[np.ndarray]] = {method: [] for method in CAM_METHODS}
    try:
        with evaluating(model), evaluating(after), torch.inference_mode(False), torch.enable_grad():
            for pixels in batches(model, corpus, rows, batch_size, f"Grad-CAM {pathology}"):
                (moved,) = views(pixels, model.trunk.stride, offset_px)
                with torch.no_grad():
                    features = model.trunk(moved)  # [B, C, h, w]
                expected = (len(pixels), *features.shape[-2:])
                for method, cam in zip(CAM_METHODS, cams, strict=True):
                    found = cam(input_tensor=features.detach().requires_grad_(), targets=[target] * len(pixels))
                    if found.shape != expected or not np.isfinite(found).all():
                        raise RuntimeError(f"{method} gave {found.shape} for {pathology!r}, not finite maps {expected}")
                    maps[method].append(found.astype(np.float32))
    finally:
        for cam in cams:
            cam.activations_and_grads.release()
        model.zero_grad(set_to_none=True)
    return {method: np.concatenate(found) for method, found in maps.items()}
