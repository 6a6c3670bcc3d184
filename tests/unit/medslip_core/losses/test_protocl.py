import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medslip_core.losses.protocl import NO_NEGATIVE, protocl_loss, sample_negatives


def naive_protocl(prototypes, matrix, book, negatives, temperature):
    """The definition, query by query, in numpy."""

    def unit(vector):
        return vector / np.linalg.norm(vector) if temperature is not None else vector  # fmt: skip

    losses = []
    for b in range(len(matrix)):
        for q in range(matrix.shape[2]):
            partners = [k for k in range(matrix.shape[1]) if matrix[b, k, q] == 1]
            if not partners:
                continue
            candidates = [unit(np.mean([unit(book[k]) for k in partners], axis=0))]
            candidates += [unit(book[k]) for k in negatives[b, q] if k != NO_NEGATIVE]
            logits = np.array([candidate @ unit(prototypes[b, q]) for candidate in candidates]) / (temperature or 1)
            losses.append(np.log(np.exp(logits - logits.max()).sum()) - (logits - logits.max())[0])
    return np.mean(losses)


@pytest.mark.parametrize("temperature", [None, 0.1])
def test_against_a_loop(temperature: float | None) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randint(-1, 2, (3, 9, 6), generator=generator, dtype=torch.int8)
    prototypes, book = torch.randn(3, 6, 8, generator=generator), torch.randn(9, 8, generator=generator)
    negatives = sample_negatives(matrix, 7, generator).pathology
    assert (negatives == NO_NEGATIVE).any(), "the case should include queries with too few candidates"
    ours = protocl_loss(prototypes, matrix, book, negatives, temperature)
    theirs = naive_protocl(prototypes.numpy(), matrix.numpy(), book.numpy(), negatives.numpy(), temperature)
    assert ours.item() == pytest.approx(theirs, rel=1e-5)


def test_by_hand() -> None:
    book = torch.tensor([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    matrix = torch.tensor([[[1], [1], [0]]])  # the query occurs with the first two: prototype (1, 1)
    prototypes = torch.tensor([[[1.0, 2.0]]])
    negatives = torch.tensor([[[2, NO_NEGATIVE]]])
    # both the true prototype and the only negative give 1 + 2 = 3, so the odds are even
    assert protocl_loss(prototypes, matrix, book, negatives).item() == pytest.approx(math.log(2))


def test_no_positive_gives_zero_with_gradient() -> None:
    prototypes = torch.randn(2, 6, 8, requires_grad=True)
    matrix = torch.zeros(2, 9, 6)
    loss = protocl_loss(prototypes, matrix, torch.randn(9, 8), sample_negatives(matrix).pathology, temperature=0.1)
    loss.backward()
    assert loss.item() == 0 and prototypes.grad.abs().sum() == 0


def test_gradient_is_finite_when_candidates_run_out() -> None:
    prototypes = torch.randn(1, 4, 8, requires_grad=True)
    matrix = torch.ones(1, 9, 4)  # every book entry is a partner, no negative is left
    loss = protocl_loss(prototypes, matrix, torch.randn(9, 8), sample_negatives(matrix).pathology)
    loss.backward()
    assert loss.item() == 0 and torch.isfinite(prototypes.grad).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), share_present=st.floats(0, 1))
def test_negatives_are_distinct_and_not_present(seed: int, share_present: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.where(torch.rand(2, 51, 75, generator=generator) < share_present, 1, -1)
    drawn = sample_negatives(matrix, 7, generator)
    for b, q in ((0, 0), (1, 74)):
        chosen = [k for k in drawn.pathology[b, q].tolist() if k != NO_NEGATIVE]
        candidates = {k for k in range(51) if matrix[b, k, q] != 1}
        assert set(chosen) <= candidates
        assert len(set(chosen)) == len(chosen) == min(7, len(candidates))
    for b, a in ((0, 0), (1, 50)):
        chosen = [k for k in drawn.anatomy[b, a].tolist() if k != NO_NEGATIVE]
        assert len(set(chosen)) == len(chosen) == min(7, int((matrix[b, a] != 1).sum()))
        assert all(matrix[b, a, k] != 1 for k in chosen)


def test_negatives_are_uniform_and_seeded() -> None:
    matrix = torch.full((400, 51, 75), -1, dtype=torch.int8)
    drawn = sample_negatives(matrix, 7, torch.Generator().manual_seed(3))
    again = sample_negatives(matrix, 7, torch.Generator().manual_seed(3))
    assert torch.equal(drawn.pathology, again.pathology) and torch.equal(drawn.anatomy, again.anatomy)
    shares = torch.bincount(drawn.pathology.flatten(), minlength=51) / drawn.pathology.numel()
    assert (shares - 1 / 51).abs().max() < 0.1 / 51
