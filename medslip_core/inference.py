"""Images of a prepared corpus, or others, through a model: whole, without augmentation, in the order asked for."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from medslip_core.transfer import to_device

BATCH_LOG_SECONDS = 5  # between lines where the bar cannot redraw itself


class Images:
    """Images that are no corpus's, for what takes a corpus and rows of it: `classify(model, Images(two), [0, 1])`.

    Args:
        images: n of [H, H] uint8, grey, air black, square and all of one size (`data_prep.geometry` makes them so).

    Raises:
        ValueError: other sizes or types.
    """

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        kinds = {(np.shape(image), getattr(image, "dtype", None)) for image in images}
        if len(kinds) > 1:
            raise ValueError(f"images of several sizes or types: {sorted(map(str, kinds))}; make them one square size")
        self._images = np.asarray(images)
        if self._images.ndim != 3 or self._images.dtype != np.uint8:
            raise ValueError(f"images are {self._images.dtype} {self._images.shape[1:]}, not uint8 [H, H] each")

    def take(self, rows: np.ndarray) -> np.ndarray:
        """[n, H, H] uint8, in the order asked for."""
        return self._images[rows]


def batches(model, corpus, rows: np.ndarray, batch_size: int, description: str) -> Iterator[torch.Tensor]:
    """The model's input, batch by batch, on its device, with a progress bar over images.

    Args:
        model: `MedslipModel`.
        corpus: `PreparedCorpus`, `Images`, or what `Images` takes.
        rows: [n] rows of the corpus, at least one.
        description: shown beside the progress bar.

    Yields:
        [B, 3, image_size, image_size] float32, normalised.

    Raises:
        ValueError: if there are no rows, or images that are not as `Images` says.
    """
    if isinstance(corpus, list | tuple | np.ndarray | torch.Tensor):
        corpus = Images(corpus)
    rows = np.asarray(rows)
    if len(rows) == 0:
        raise ValueError(f"{description}: no rows to look at; is the split empty?")
    interval = 0.1 if sys.stderr.isatty() else BATCH_LOG_SECONDS
    with tqdm(total=len(rows), desc=description, unit="image", mininterval=interval) as progress:
        for start in range(0, len(rows), batch_size):
            chunk = rows[start : start + batch_size]
            images = to_device(corpus.take(chunk), model.device)  # [B, S, S] uint8
            yield model.pixel_values(images)
            progress.update(len(chunk))


def without_trunk(model):
    """The same model, sharing its weights, that takes the trunk's feature map [B, C, h, w] in place of pixels."""
    rest = copy.copy(model)
    rest._modules = {**model._modules, "trunk": nn.Identity()}
    return rest
