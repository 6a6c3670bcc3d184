"""How full and how busy the GPU is, for the history of a run."""

from __future__ import annotations

import logging

import torch

logger = logging.getLogger(__name__)


class GpuUse:
    """Figures of one GPU; none on another device.

    Args:
        device: of this process.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._utilisation = device.type == "cuda"
        if self._utilisation:
            torch.cuda.reset_peak_memory_stats(device)  # the process may have done other work before

    def figures(self) -> dict[str, float]:
        """`gpu_memory_gib` (most held by tensors since this was made) and `gpu_utilisation_percent` (at this moment).

        Neither waits for the device. Utilisation needs the package nvidia-ml-py, and is left out without it.
        """
        if self._device.type != "cuda":
            return {}
        figures = {"gpu_memory_gib": torch.cuda.max_memory_allocated(self._device) / 2**30}
        if self._utilisation:
            try:
                figures["gpu_utilisation_percent"] = float(torch.cuda.utilization(self._device))
            except Exception as error:  # whatever NVML says (a shared GPU, no driver access): no reason to stop a run
                self._utilisation = False
                logger.warning("no GPU utilisation in the history (%s); pip install nvidia-ml-py may help", error)
        return figures
