"""Classification: pooled features of the pre-trained model and a linear head.

The head normalises each feature by the batch's mean and deviation before the linear layer, so that a linear probe does
not depend on the scale of the features. Source: He et al., "Masked autoencoders are scalable vision learners", 2022
(batch norm without affine weights for linear probing). The published code trains a whole ResNet-50 instead, its last
stage from random weights, and a linear layer on that; here the pre-trained stages are pooled as they are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medslip_core.trunk_model import TrunkModel


class PooledFeatures(nn.Module):
    """Mean features of images.

    Args:
        model: whose weights to use.
        features: "trunk" [C], or "streams": both streams' memories side by side [2 d].

    Raises:
        ValueError: other features, or streams of a model that has none.
    """

    def __init__(self, model: TrunkModel, features: str) -> None:
        super().__init__()
        if features not in ("trunk", "streams"):
            raise ValueError(f"features {features!r}: choose 'trunk' or 'streams'")
        if features == "streams" and not hasattr(model, "memories"):
            raise ValueError(f"features: a {type(model).__name__} has no streams; take those of its trunk")
        self.features = features
        self.source = model.trunk if features == "trunk" else model
        self.channels = model.trunk.channels if features == "trunk" else 2 * model.config.hidden_dim

    def forward(self, pixel_values: Tensor) -> Tensor:
        if self.features == "trunk":
            return self.source(pixel_values).mean(dim=(2, 3))  # [B, C, h, w] -> [B, C]
        pathology, anatomy, _ = self.source.memories(pixel_values)  # [B, N, d] twice
        return torch.cat([pathology.mean(dim=1), anatomy.mean(dim=1)], dim=1)


class LinearHead(nn.Module):
    """From pooled features [B, F] to logits [B, C]."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels, affine=False)
        self.linear = nn.Linear(channels, classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def start_from(self, labels: Tensor) -> None:
        """Let every answer begin at its class's frequency among training labels, not at a probability of 0.5.

        A short training hardly moves the bias, and judged by AUROC it need not; the probabilities would all be too
        high. A half is added to the counts of either label, so that a class without one keeps a finite logit.

        Args:
            labels: [n, C] float, 1, 0 or NaN (unknown).
        """
        positives, negatives = ((labels == label).sum(dim=0) + 0.5 for label in (1, 0))
        with torch.no_grad():
            self.linear.bias.copy_((positives / negatives).log())

    def forward(self, features: Tensor) -> Tensor:
        from_batch = self.training and len(features) > 1  # a batch of one has no deviation
        norm = self.norm
        return self.linear(F.batch_norm(features, norm.running_mean, norm.running_var, training=from_batch))


class Classifier(nn.Module):
    """Pixels [B, 3, S, S] to logits [B, C]; what was pre-trained is called `trunk`."""

    def __init__(self, model: TrunkModel, classes: int, features: str = "trunk") -> None:
        super().__init__()
        self.trunk = PooledFeatures(model, features)
        self.head = LinearHead(self.trunk.channels, classes)

    def start_from(self, labels: Tensor) -> None:
        """See `LinearHead`."""
        self.head.start_from(labels)

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.head(self.trunk(pixel_values))


def known_label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy, mean over the known labels; 0 if there are none.

    Args:
        logits: [B, C]; labels: [B, C] float, 1, 0 or NaN (unknown).
    """
    known = ~labels.isnan()
    losses = F.binary_cross_entropy_with_logits(logits.float(), labels.nan_to_num(), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)
