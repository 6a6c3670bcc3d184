"""What a training step sees: rows, views, labels and negatives of its batch, from counters alone.

A batch belongs to the step. Every process draws the numbers of the whole batch (they are small) and reads the images of
its own part, so nothing of it depends on how many processes, accumulation steps or threads share the work.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from medslip_core.augment import Views, augment, draw_views, flip_matrix
from medslip_core.corpus import PreparedCorpus
from medslip_core.labels import label_matrix
from medslip_core.losses.protocl import Negatives, sample_negatives
from medslip_core.parameters import ParameterError
from medslip_core.pretrain_params import PretrainParams
from medslip_core.randomness import generator
from medslip_core.sampling import BatchOrder
from medslip_core.transfer import to_device


@dataclass(frozen=True)
class TrainingBatch:
    """A batch without its pixels.

    Attributes:
        rows: [B] int64 corpus rows.
        views: how each image is augmented; None: not at all.
        matrix: [B, A, P] int8, sides swapped where the view is flipped; on the device.
        negatives: of ProtoCL; on the device.
    """

    rows: np.ndarray
    views: Views | None
    matrix: Tensor
    negatives: Negatives

    def part(self, place: slice) -> TrainingBatch:
        """Some of its images."""
        negatives = Negatives(pathology=self.negatives.pathology[place], anatomy=self.negatives.anatomy[place])
        return TrainingBatch(self.rows[place], self.views and self.views[place], self.matrix[place], negatives)


class ImageSource:
    """The order of a run's images, and the images.

    Args:
        params: of the run.
        corpus: prepared images and what belongs to them.
        device: where images go.
        label_source: of what is learned; an image of which it states nothing is not trained on.

    Raises:
        ParameterError: it states nothing of any.
    """

    def __init__(
        self, params: PretrainParams, corpus: PreparedCorpus, device: torch.device | str, label_source: str
    ) -> None:
        self.params, self.corpus, self.device = params, corpus, device
        rows = corpus.stated("train", label_source)
        if len(rows) == 0:
            raise ParameterError(
                f"method {params.method!r} learns from triplets of the source {label_source!r}, and no training image "
                f"of the {corpus.header['dataset']!r} corpus has one: prepare a corpus with reports"
            )
        self.order = BatchOrder(rows, params.batch_size, params.seed)

    def views(self, step: int) -> tuple[np.ndarray, Views]:
        """Rows [B] of the whole batch of a step (from 0), and how each is augmented."""
        rows = self.order.batch(step)
        return rows, draw_views(self.params.augment, self.params.seed, self.order.epoch_of(step), rows)

    def images(self, rows: np.ndarray) -> Tensor:
        """Images [B, S, S] uint8 of corpus rows."""
        return to_device(self.corpus.take(rows), self.device)


class BatchSource(ImageSource):
    """Draws batches of a run that learns from label matrices.

    Args:
        params: of the run.
        corpus: prepared images and triplets.
        device: where labels, negatives and images go.
    """

    def __init__(self, params: PretrainParams, corpus: PreparedCorpus, device: torch.device | str) -> None:
        super().__init__(params, corpus, device, params.label_source)

    def batch(self, step: int) -> TrainingBatch:
        """The whole batch of a step (from 0)."""
        rows, views = self.views(step)
        matrix = flip_matrix(self.matrix(rows), views.flipped)
        return TrainingBatch(rows, views, matrix, self.negatives(matrix, "negatives", step))

    def matrix(self, rows: np.ndarray) -> Tensor:
        """Label matrices [B, A, P] int8 of corpus rows."""
        return label_matrix(self.params, self.corpus, rows, self.device)

    def negatives(self, matrix: Tensor, stream: str, counter: int) -> Negatives:
        """Negative prototypes for label matrices, drawn from (seed, stream, counter)."""
        return sample_negatives(
            matrix, self.params.negatives, generator(self.device, self.params.seed, stream, counter)
        )


@dataclass(frozen=True)
class TrainingViews:
    """What a training step sees.

    Attributes:
        images: [B, s, s] float32 in [0, 1], augmented; matrix: [B, A, P] int8, sides swapped where one was flipped.
    """

    images: Tensor
    matrix: Tensor


def training_views(params: PretrainParams, corpus: PreparedCorpus, step: int, image_size: int) -> TrainingViews:
    """The augmented batch of a step (from 0), exactly as `pretrain` feeds it to the model.

    Args:
        params, corpus: as for `pretrain`.
        step: optimiser step, from 0.
        image_size: side of the model's input, px.
    """
    source = BatchSource(params, corpus, "cpu")
    batch = source.batch(step)
    images = augment(source.images(batch.rows), batch.views, image_size)
    return TrainingViews(images, batch.matrix)
