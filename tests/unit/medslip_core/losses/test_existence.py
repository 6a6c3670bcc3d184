import math

import pytest
import torch

from medslip_core.losses.existence import existence_loss, stream_labels


def test_labels_prefer_present_then_absent() -> None:
    matrix = torch.tensor([[[1, 0, -1], [0, -1, -1]]])  # two anatomies, three pathologies
    pathology, anatomy = stream_labels(matrix)
    assert pathology.tolist() == [[1, 0, -1]]
    assert anatomy.tolist() == [[1, 0]]


def test_by_hand() -> None:
    logits = torch.tensor([[[0.0, math.log(3)], [0.0, 0.0], [5.0, -5.0]]])
    labels = torch.tensor([[1, 0, -1]])
    # softmax gives 3/4 for the first and 1/2 for the second; the third has no label
    assert existence_loss(logits, labels).item() == pytest.approx((-math.log(0.75) - math.log(0.5)) / 2)


def test_no_label_gives_zero_with_gradient() -> None:
    logits = torch.randn(2, 3, 2, requires_grad=True)
    loss = existence_loss(logits, torch.full((2, 3), -1, dtype=torch.int8))
    loss.backward()
    assert loss.item() == 0 and torch.equal(logits.grad, torch.zeros_like(logits))
