"""What is trained, seen by the training loop: a network, the loss of a batch of rows, a score on validation rows.

Predictions are always of whole images, without augmentation.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from medslip_core.augment import augment, augment_masks, draw_views
from medslip_core.finetune.classifier import Classifier, LinearHead, known_label_loss
from medslip_core.finetune.params import FinetuneParams
from medslip_core.finetune.segmenter import Masks, Segmenter, mask_loss
from medslip_core.optimisation import training_mode
from medslip_core.transfer import to_device
from medslip_core.trunk_model import TrunkModel
from medslip_core.validation import macro_auroc

EVALUATION_BATCH = 64


class Learner:
    """Base: whole images in, batch by batch.

    Args:
        corpus: `PreparedCorpus`.
        model: to start from.
        network: what learns; its pre-trained part is called `trunk`.
        frozen: whether that part stays as it is.
        params: of the run.
        seed: of views.
        validation: [n] rows to judge by.
        device: to compute on.
    """

    def __init__(
        self, corpus, model: TrunkModel, network: nn.Module, frozen: bool, params: FinetuneParams, seed: int,
        validation: np.ndarray, device: torch.device,
    ) -> None:  # fmt: skip
        self.corpus, self.model, self.params, self.seed = corpus, model, params, seed
        self.validation, self.device, self.frozen = validation, device, frozen
        self.network = network.to(device, memory_format=torch.channels_last)
        if frozen:
            self.network.trunk.requires_grad_(False)

    def training_mode(self) -> None:
        """Everything that learns in training mode, the rest in evaluation mode."""
        self.network.train()
        if self.frozen:
            self.network.trunk.eval()
        elif self.params.frozen_batch_norm:
            training_mode(self.network.trunk, [], frozen_batch_norm=True)

    def loss(self, rows: np.ndarray, epoch: int) -> Tensor:
        """Of a batch of augmented images."""
        raise NotImplementedError

    def score(self) -> float:
        """On the validation rows; higher is better."""
        raise NotImplementedError

    def autocast(self) -> torch.autocast:
        """bf16 on a GPU that has it, unless the parameters say otherwise."""
        able = self.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.autocast(
            self.device.type,
            torch.bfloat16,
            enabled=self.params.precision == "bf16" or able and self.params.precision == "auto",
        )

    def images(self, rows: np.ndarray) -> Tensor:
        return to_device(self.corpus.take(rows), self.device)

    def outputs(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Rows [b] and logits of whole images, batch by batch."""
        self.network.eval()
        for start in range(0, len(rows), EVALUATION_BATCH):
            some = rows[start : start + EVALUATION_BATCH]
            with torch.inference_mode(), self.autocast():
                logits = self.network(self.model.pixel_values(self.images(some))).float()
            yield some, logits


class ImageClassifier(Learner):
    """All weights learn, from augmented images. `labels`: [N, C] float32 for every row of the corpus."""

    def __init__(self, corpus, model, labels: np.ndarray, features: str, *rest) -> None:
        super().__init__(corpus, model, Classifier(model, labels.shape[1], features), False, *rest)
        self.labels = labels

    def loss(self, rows: np.ndarray, epoch: int) -> Tensor:
        views = draw_views(self.params.augment, self.seed, epoch, rows)
        images = augment(self.images(rows), views, self.model.config.image_size)
        with self.autocast():
            logits = self.network(self.model.pixel_values(images))
        return known_label_loss(logits, to_device(self.labels[rows], self.device))

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """[n, C] float32 in [0, 1]."""
        return np.concatenate([logits.sigmoid().cpu().numpy() for _, logits in self.outputs(rows)])

    def score(self) -> float:
        """Macro AUROC; minus the loss where validation data hold no class with both labels."""
        labels, prob = self.labels[self.validation], self.probabilities(self.validation)
        known = np.where(np.isnan(labels), -1, labels).astype(np.int8)
        area = macro_auroc(known, prob, min_count=1)
        if np.isfinite(area):
            return area
        logits = torch.from_numpy(prob).clamp(1e-6, 1 - 1e-6).logit()
        return -float(known_label_loss(logits, torch.from_numpy(labels)))


class FeatureClassifier(ImageClassifier):
    """The head alone learns, from features [N, F] of whole images that were computed once."""

    def __init__(
        self, features: np.ndarray, labels: np.ndarray, params: FinetuneParams, validation: np.ndarray,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.table, self.labels, self.params = features, labels, params
        self.validation, self.device = validation, device
        self.network = LinearHead(features.shape[1], labels.shape[1]).to(device)

    def training_mode(self) -> None:
        self.network.train()

    def inputs(self, rows: np.ndarray) -> Tensor:
        return to_device(np.ascontiguousarray(self.table[rows]), self.device)

    def loss(self, rows: np.ndarray, epoch: int) -> Tensor:
        return known_label_loss(self.network(self.inputs(rows)), to_device(self.labels[rows], self.device))

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        self.network.eval()
        with torch.inference_mode():
            return self.network(self.inputs(rows)).sigmoid().cpu().numpy()


class ImageSegmenter(Learner):
    """A U-Net learns, with its encoder or without. `masks`: the truth."""

    def __init__(self, corpus, model, masks: Masks, frozen: bool, *rest) -> None:
        super().__init__(corpus, model, Segmenter(model), frozen, *rest)
        self.masks = masks

    def loss(self, rows: np.ndarray, epoch: int) -> Tensor:
        size = self.model.config.image_size
        views = draw_views(self.params.augment, self.seed, epoch, rows)
        images = augment(self.images(rows), views, size)
        masks = augment_masks(to_device(self.masks[rows], self.device), views, size)
        with self.autocast():
            logits = self.network(self.model.pixel_values(images))
        return mask_loss(logits, masks)

    def predictions(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Rows [b], probability [b, S, S] float32 in corpus pixels and truth [b, S, S] bool, batch by batch."""
        for some, logits in self.outputs(rows):
            if logits.shape[-1] != self.masks.size_px:
                size = (self.masks.size_px, self.masks.size_px)
                logits = nn.functional.interpolate(logits[:, None], size, mode="bilinear", antialias=True).squeeze(1)
            yield some, logits.sigmoid().cpu().numpy(), self.masks[some]

    def score(self) -> float:
        """Minus the loss, mean over batches weighted by their images."""
        losses = [
            (len(prob), float(mask_loss(torch.from_numpy(prob).clamp(1e-6, 1 - 1e-6).logit(), torch.from_numpy(truth))))
            for _, prob, truth in self.predictions(self.validation)
        ]
        return -sum(count * loss for count, loss in losses) / sum(count for count, _ in losses)
