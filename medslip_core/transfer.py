"""From the host to the device that computes, without waiting for it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_device(values: np.ndarray | Tensor, device: torch.device | str) -> Tensor:
    """Values on the device; the host goes on at once.

    A GPU fetches them itself from memory that cannot be paged out. From ordinary memory the host would hand them over
    piece by piece, after all that the GPU still has to do.

    Args:
        values: on the host (or there already), any shape and dtype; an array must be writable or a copy, as torch asks.
        device: to compute on.
    """
    tensor = torch.as_tensor(values)
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
