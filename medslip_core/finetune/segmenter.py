"""Segmentation: a U-Net over the feature stages of the pre-trained trunk; cross entropy and Dice.

The decoder is written here because our trunk ends at stride 16, which ready-made U-Nets over timm do not take.
Source: Ronneberger et al., "U-Net", 2015; Milletari et al., "V-Net", 2016 (Dice loss).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medslip_core.grounding.truth import truth_from_boxes, truth_from_masks
from medslip_core.trunk_model import TrunkModel
from medslip_core.vocabulary import DATASET_CLASSES

WIDTHS = (256, 128, 64, 32, 16)
"""Channels of the decoder's blocks, deepest first; a shallower trunk takes the last ones."""


class Segmenter(nn.Module):
    """Pixels [B, 3, S, S] to logits [B, S, S]; what was pre-trained is called `trunk`."""

    def __init__(self, model: TrunkModel) -> None:
        super().__init__()
        self.trunk = model.trunk
        skips = model.trunk.stage_channels()  # shallow to deep
        widths = WIDTHS[-len(skips) :]
        self.blocks = nn.ModuleList()
        channels = skips[-1]
        for skip, width in zip([*reversed(skips[:-1]), 0], widths, strict=True):
            self.blocks.append(_block(channels + skip, width))
            channels = width
        self.head = nn.Conv2d(channels, 1, 3, padding=1)
        nn.init.constant_(self.head.bias, -2.0)  # few pixels are inside: a short training need not learn that first

    def forward(self, pixel_values: Tensor) -> Tensor:
        *skips, deep = self.trunk.stages(pixel_values)
        for skip, block in zip([*reversed(skips), None], self.blocks, strict=True):
            size = pixel_values.shape[-2:] if skip is None else skip.shape[-2:]
            deep = F.interpolate(deep, size)
            deep = block(deep if skip is None else torch.cat([deep, skip], dim=1))
        return self.head(deep).squeeze(1)  # [B, 1, S, S] -> [B, S, S]


def _block(inner: int, outer: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inner, outer):
        layers += [nn.Conv2d(channels, outer, 3, padding=1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def mask_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross entropy per pixel plus one minus the Dice of the whole batch.

    Args:
        logits, masks: [B, S, S]; masks bool.

    Raises:
        ValueError: masks of another size than the logits.
    """
    if logits.shape != masks.shape:
        raise ValueError(
            f"masks are {tuple(masks.shape)}, predictions {tuple(logits.shape)}: prepare images and masks together, "
            "as one corpus"
        )
    logits, masks = logits.float(), masks.float()
    prob = logits.sigmoid()
    dice = (2 * (prob * masks).sum() + 1) / (prob.sum() + masks.sum() + 1)
    return F.binary_cross_entropy_with_logits(logits, masks) + 1 - dice


class Masks:
    """The truth of a segmentation: which rows have one, and what it is.

    Rows count that show the label and where, or whose label says absent; a row that shows it nobody knows where is
    left out.

    Args:
        corpus: `PreparedCorpus`.
        truth: "masks" or "boxes".
        label: a pathology of the vocabulary (masks), or a class of the dataset (boxes).

    Attributes:
        rows: [n] int64, sorted; positive: [N] bool for every row of the corpus.

    Raises:
        ValueError: the corpus has no such mask or box.
    """

    def __init__(self, corpus, truth: str, label: str) -> None:
        every = np.arange(len(corpus.manifest))
        if truth == "boxes":
            found = truth_from_boxes(corpus, every, [label])[label]
        else:
            found = truth_from_masks(corpus, every, "pathology", [label])[label]
        if len(found.rows) == 0:
            raise ValueError(f"{corpus.folder}: no {truth} of {label!r}; see its {truth}.parquet for what there is")
        self._packed = dict(zip(found.rows.tolist(), np.packbits(found.masks, axis=-1), strict=True))
        self.size_px = corpus.image_size_px
        self.positive = np.zeros(len(every), bool)
        self.positive[found.rows] = True
        absent = self._labels(corpus, truth, label) == 0
        self.rows = np.flatnonzero(self.positive | absent)

    @staticmethod
    def _labels(corpus, truth: str, label: str) -> np.ndarray:
        """What the dataset says of each row [N]; NaN where it says nothing."""
        names = DATASET_CLASSES.get(corpus.header["dataset"], {})
        of_label = label if truth == "boxes" else next((name for name, one in names.items() if one == label), label)
        return corpus.labels([of_label])[:, 0]

    def __getitem__(self, rows: Sequence[int]) -> np.ndarray:
        """Masks [n, S, S] bool of some rows."""
        empty = np.zeros((self.size_px, -(-self.size_px // 8)), np.uint8)
        packed = np.stack([self._packed.get(int(row), empty) for row in rows])
        return np.unpackbits(packed, axis=-1, count=self.size_px).astype(bool)
