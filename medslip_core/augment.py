"""Augmentation of whole batches on the training device, from the grey images of the prepared corpus.

Every draw comes from (seed, epoch, row), so a sample's view does not depend on the batch it sits in. Crop, rotation
and flip are one affine map and one interpolation. A flip turns the patient's left into right: it swaps the rows of
every left/right pair of the label matrix (`flip_matrix`).

Source: published setting RandomResizedCrop(224, scale 0.2-1), horizontal flip 0.5, RandAugment(2, 7). The class
defaults take its crop and flip, and from RandAugment the ranges (rotation 30 degrees x 0.7, enhancement 0.1 + 1.8 x 0.7
= 1.36). RandAugment draws two of ten operations for a view, does each with probability 0.5 and then at full strength:
three views in ten have none, one in ten is rotated. Here every view has a little of each, between none and that
strength. Left out are equalising, automatic contrast and shearing; translation is the crop's; contrast, which the
published list lacks, is in; brightness is added, where theirs is a factor. Images of twice the view's side or more are
averaged down before the crop, not after: keep corpora below that, or small crops lose detail. Published flips leave the
labels unswapped (dataset.py); here they are swapped on purpose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medslip_core.parameters import Parameters, parameter
from medslip_core.randomness import generator, uniform
from medslip_core.transfer import to_device
from medslip_core.vocabulary import ANATOMY_INDEX, MIRRORED_ANATOMY_INDEX, UNCERTAIN

ONE_SIDED = ANATOMY_INDEX["middle_right_lobe"]
"""The one anatomy of a side without a twin on the other: what a flip shows there has no name."""

_DRAWS = 13  # uniform numbers per view
_CPU_PART = 4  # images at a time: what stays in a core's cache takes a third of the time


@dataclass(frozen=True)
class AugmentParams(Parameters):
    """How far a view may differ from its image; 0 leaves a step out."""

    crop_scale: tuple[float, float] = parameter((0.2, 1.0), "share of the image's area in the crop", low=0.01, high=1)
    crop_ratio: tuple[float, float] = parameter((0.75, 4 / 3), "width / height of the crop", low=0.2, high=5)
    rotation_deg: float = parameter(21.0, "largest rotation either way, degrees", low=0, high=180)
    flip_prob: float = parameter(0.5, "probability of a horizontal flip (labels swap sides)", low=0, high=1)
    sharpness: float = parameter(0.36, "largest sharpening (x + s (x - blurred x)) or blurring", low=0, high=1)
    gamma: float = parameter(0.0, "exponent from 1 / (1 + gamma) to 1 + gamma", low=0, high=3)
    contrast: float = parameter(0.36, "factor about mid-grey from 1 / (1 + contrast) to 1 + contrast", low=0, high=3)
    brightness: float = parameter(0.1, "largest shift either way, share of the grey range", low=0, high=1)
    noise: float = parameter(0.0, "largest standard deviation of noise, share of the grey range", low=0, high=1)


@dataclass(frozen=True)
class Views:
    """Drawn parameters of a batch of views, one entry per sample, on the CPU."""

    affine: Tensor  # [B, 2, 3] float32: output coordinates (-1..1) to input coordinates
    flipped: Tensor  # [B] bool
    sharpness: Tensor  # [B] float32, positive sharpens
    gamma: Tensor  # [B] float32 exponent
    contrast: Tensor  # [B] float32 factor
    brightness: Tensor  # [B] float32 shift
    noise: Tensor  # [B] float32 standard deviation
    noise_place: Tensor  # [B, 2] float32 in [0, 1): where in the noise field

    def __getitem__(self, part: slice) -> Views:
        return Views(**{name: value[part] for name, value in vars(self).items()})


def draw_views(params: AugmentParams, seed: int, epoch: int, rows: np.ndarray) -> Views:
    """Draw one view per sample.

    Args:
        params: ranges.
        seed: of the run.
        epoch: from 0.
        rows: [B] int64 corpus rows (the samples' identities).
    """
    draws = uniform(seed, "augment", epoch, np.asarray(rows)[:, None], np.arange(_DRAWS)).T  # [draws, B]
    both_ways = 2 * draws - 1
    area = params.crop_scale[0] + draws[0] * (params.crop_scale[1] - params.crop_scale[0])
    log_ratio = [math.log(ratio) for ratio in params.crop_ratio]
    ratio = np.exp(log_ratio[0] + draws[1] * (log_ratio[1] - log_ratio[0]))
    width, height = np.minimum(np.sqrt(area * ratio), 1), np.minimum(np.sqrt(area / ratio), 1)  # image = 1 x 1
    centre_x, centre_y = (1 - width) * both_ways[2], (1 - height) * both_ways[3]  # in -1..1 coordinates
    angle = np.deg2rad(params.rotation_deg) * both_ways[4]
    flipped = draws[5] < params.flip_prob
    mirror = np.where(flipped, -1, 1)
    affine = np.stack(
        [
            np.stack([np.cos(angle) * width * mirror, -np.sin(angle) * height, centre_x], axis=-1),
            np.stack([np.sin(angle) * width * mirror, np.cos(angle) * height, centre_y], axis=-1),
        ],
        axis=1,
    )  # [B, 2, 3]
    return Views(
        affine=_float(affine),
        flipped=torch.from_numpy(flipped),
        sharpness=_float(params.sharpness * both_ways[6]),
        gamma=_float((1 + params.gamma) ** both_ways[7]),
        contrast=_float((1 + params.contrast) ** both_ways[8]),
        brightness=_float(params.brightness * both_ways[9]),
        noise=_float(params.noise * draws[10]),
        noise_place=_float(draws[11:13].T),
    )


def augment(images: Tensor, views: Views, image_size: int) -> Tensor:
    """Turn corpus images into their views.

    Args:
        images: [B, S, S] uint8, on the training device.
        views: one per image.
        image_size: side of the result, pixels.

    Returns:
        [B, image_size, image_size] float32 in [0, 1], for `MedslipModel.pixel_values`; black outside the image.
    """
    if images.device.type == "cpu" and len(images) > _CPU_PART:
        parts = [slice(start, start + _CPU_PART) for start in range(0, len(images), _CPU_PART)]
        return torch.cat([augment(images[part], views[part], image_size) for part in parts])
    device = images.device
    grey = images[:, None].float() / 255
    shrink = images.shape[-1] // image_size
    if shrink > 1:  # interpolation alone would skip pixels
        grey = F.adaptive_avg_pool2d(grey, images.shape[-1] // shrink)  # to the very edge, as masks and boxes go
    grid = _grid(to_device(views.affine, device), image_size)
    grey = F.grid_sample(grey, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    def per_image(value: Tensor) -> Tensor:
        return to_device(value, device)[:, None, None, None]

    if views.sharpness.any():
        grey = grey.add_(per_image(views.sharpness) * (grey - _blurred(grey))).clamp_(0, 1)
    if (views.gamma != 1).any():
        grey = grey ** per_image(views.gamma)
    # mid-grey as the pivot, not the image's mean: no reduction whose order could depend on the batch
    grey = grey.sub_(0.5).mul_(per_image(views.contrast)).add_(0.5 + per_image(views.brightness))
    if views.noise.any():
        grey = grey + per_image(views.noise) * _noise(to_device(views.noise_place, device), image_size)
    return grey.clamp_(0, 1).squeeze(1)


def augment_masks(masks: Tensor, views: Views, mask_size: int) -> Tensor:
    """Masks moved as `augment` moves their images.

    Args:
        masks: [B, S, S] bool, on the training device.
        views: one per mask.
        mask_size: side of the result, pixels.

    Returns:
        [B, mask_size, mask_size] bool; nothing outside the image.
    """
    grid = _grid(to_device(views.affine, masks.device), mask_size)
    return F.grid_sample(masks[:, None].float(), grid, align_corners=False).squeeze(1) >= 0.5


def flip_matrix(matrix: Tensor, flipped: Tensor) -> Tensor:
    """Swap the rows of every left/right pair of anatomies in the matrices whose image was flipped.

    The middle lobe, which only the right lung has, becomes unknown there.

    Args:
        matrix: [B, A=51, P=75] int8, 1 / 0 / -1 / -2.
        flipped: [B] bool.

    Returns:
        a new matrix; the argument stays as it is.
    """
    mirrored = matrix[:, _mirrored_rows(matrix.device)]
    mirrored[:, ONE_SIDED] = UNCERTAIN
    return torch.where(to_device(flipped, matrix.device)[:, None, None], mirrored, matrix)


@cache  # sent to a GPU once: sending it every step would make the host wait
def _mirrored_rows(device: torch.device) -> Tensor:
    return torch.tensor(MIRRORED_ANATOMY_INDEX, device=device)


def _grid(affine: Tensor, size: int) -> Tensor:
    """Where each output pixel lies in the input, [B, size, size, 2]: `F.affine_grid` in a tenth of its time."""
    steps = (2 * torch.arange(size, device=affine.device) + 1) / size - 1  # pixel centres in -1..1
    grid = affine.new_empty(len(affine), size, size, 2)
    for axis in range(2):  # x, y
        along, down, offset = affine[:, axis, :, None].unbind(1)  # [B, 1] each
        torch.add((along * steps)[:, None, :], (down * steps + offset)[:, :, None], out=grid[..., axis])
    return grid


def _blurred(grey: Tensor) -> Tensor:
    """Images [B, 1, S, S] under the kernel (1, 2, 1) / 4 in both directions, edges repeated."""
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., :-2] + padded[..., 2:]).add_(padded[..., 1:-1], alpha=2)
    return (across[..., :-2, :] + across[..., 2:, :]).add_(across[..., 1:-1, :], alpha=2).mul_(1 / 16)


def _noise(place: Tensor, size: int) -> Tensor:
    """Normal noise [B, 1, size, size]: windows, at drawn places, of one field that is the same in every run."""
    field = _noise_field(size, place.device)
    corner = (place * size).long()  # [B, 2]
    steps = torch.arange(size, device=place.device)
    rows, columns = corner[:, 0, None, None] + steps[:, None], corner[:, 1, None, None] + steps
    return field[rows, columns][:, None]


@cache
def _noise_field(size: int, device: torch.device) -> Tensor:
    return torch.randn(2 * size, 2 * size, generator=generator("cpu", 0, "noise field")).to(device)


def _float(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
