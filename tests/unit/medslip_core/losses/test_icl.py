import math

import pytest
import torch

from medslip_core.losses.icl import icl_loss


def test_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 5, generator=generator) * 3
    matrix = torch.randint(-1, 2, (3, 4, 5), generator=generator, dtype=torch.int8)
    losses = []
    for logit, state in zip(logits.flatten().tolist(), matrix.flatten().tolist(), strict=True):
        if state >= 0:
            probability = 1 / (1 + math.exp(-logit))
            losses.append(-math.log(probability if state == 1 else 1 - probability))
    assert icl_loss(logits, matrix).item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_nothing_stated_gives_zero_with_gradient() -> None:
    logits = torch.randn(2, 4, 5, requires_grad=True)
    loss = icl_loss(logits, torch.full((2, 4, 5), -1))
    loss.backward()
    assert loss.item() == 0 and logits.grad.abs().sum() == 0


def test_one_pair_alone() -> None:
    matrix = torch.full((1, 2, 2), -1)
    matrix[0, 1, 0] = 1
    assert icl_loss(torch.tensor([[[5.0, 5.0], [math.log(3), 5.0]]]), matrix).item() == pytest.approx(-math.log(0.75))
