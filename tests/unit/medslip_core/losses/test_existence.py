import math

import pytest
import torch

from medslip_core.losses.existence import existence_loss, stream_labels
from medslip_core.vocabulary import PATHOLOGY_INDEX


def test_labels_prefer_present_then_absent() -> None:
    matrix = torch.tensor([[[1, 0, -1], [0, -1, -1]]])  # two anatomies, three pathologies
    pathology, anatomy = stream_labels(matrix)
    assert pathology.tolist() == [[1, 0, -1]]
    assert anatomy.tolist() == [[1, 0]]


def test_health_can_count_as_absence() -> None:
    matrix = torch.full((1, 5, 75), -1)
    normal, effusion = PATHOLOGY_INDEX["normal"], PATHOLOGY_INDEX["effusion"]
    matrix[0, 0, normal] = 1  # only healthy
    matrix[0, 1, [normal, effusion]] = 1  # healthy but for an effusion
    matrix[0, 2, effusion] = 0  # without effusion
    matrix[0, 3, normal] = 0  # not normal, and nothing more said
    assert stream_labels(matrix)[1].tolist() == [[1, 1, 0, 0, -1]]
    assert stream_labels(matrix, healthy_is_absent=True)[1].tolist() == [[0, 1, 0, 0, -1]]
    assert stream_labels(matrix, healthy_is_absent=True)[0][0, normal] == 1


def test_what_is_mentioned_nowhere_can_count_as_absent() -> None:
    """Not what is uncertain; and a finding that is present somewhere is not contradicted elsewhere."""
    matrix = torch.tensor([[[1, -2, -2, -2], [-2, -1, -2, -2], [-2, -2, -2, -2], [0, -1, -2, -2]]])
    pathology, anatomy = stream_labels(matrix)
    assert pathology.tolist() == [[1, -1, -1, -1]] and anatomy.tolist() == [[1, -1, -1, 0]]
    pathology, anatomy = stream_labels(matrix, unmentioned_is_absent=True)
    assert pathology.tolist() == [[1, -1, 0, 0]] and anatomy.tolist() == [[1, -1, 0, 0]]


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


def test_one_label_alone() -> None:
    loss = existence_loss(torch.tensor([[[0.0, math.log(3)], [0.0, 9.0]]]), torch.tensor([[1, -1]]))
    assert loss.item() == pytest.approx(-math.log(0.75))
