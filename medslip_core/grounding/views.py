"""Images moved so that a map's cells lie where the trunk sees, and in between; and the maps of them put together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
import torch.nn.functional as F


def views(pixels: torch.Tensor, stride_px: int, offset_px: tuple[int, int], looks: int = 1) -> Iterator[torch.Tensor]:
    """The images, moved so that the trunk's cells see the middle of the cells of a grid `looks` times finer.

    Args:
        pixels: [B, 3, S, S]; their edges are replicated.
        stride_px: of the trunk.
        offset_px: (down, right) of what its cells see, `Trunk.cell_offset`.
        looks: along each side.

    Yields:
        looks^2 tensors [B, 3, S, S], row by row.
    """
    moves = [((look + 0.5) / looks - 0.5) * stride_px for look in range(looks)]
    edge, side = stride_px + max(map(abs, offset_px)), pixels.shape[-1]
    padded = F.pad(pixels, (edge,) * 4, mode="replicate")
    for down, right in product(moves, repeat=2):
        top, left = edge + round(down) - offset_px[0], edge + round(right) - offset_px[1]
        view = padded[..., top : top + side, left : left + side]
        yield view.contiguous(memory_format=torch.channels_last)


def interleaved(maps: torch.Tensor, looks: int) -> torch.Tensor:
    """Maps [looks^2, B, Q, h, w] of `views` as [B, Q, h * looks, w * looks], which sum to the mean of theirs."""
    apart = maps.unflatten(0, (looks, looks)).permute(2, 3, 4, 0, 5, 1)  # [B, Q, h, looks, w, looks]
    return apart.flatten(4, 5).flatten(2, 3) / looks**2
