import dataclasses

import pytest
import torch

from medslip_core.losses.existence import existence_loss, stream_labels
from medslip_core.losses.icl import icl_loss
from medslip_core.losses.objective import TERMS, LossTerms, medslip_objective
from medslip_core.losses.protocl import Negatives, protocl_loss, sample_negatives
from medslip_core.model import MedslipOutput

BATCH, ANATOMIES, PATHOLOGIES, WIDTH, TEXT = 4, 51, 75, 8, 12


def tensors(output: MedslipOutput) -> dict[str, torch.Tensor]:
    return {name: value for name, value in vars(output).items() if torch.is_tensor(value)}


def case(seed: int = 0) -> tuple[MedslipOutput, torch.Tensor, torch.Tensor, torch.Tensor, Negatives]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).requires_grad_()

    pathology, anatomy = draw(BATCH, PATHOLOGIES, WIDTH), draw(BATCH, ANATOMIES, WIDTH)
    output = MedslipOutput(
        pathology_logits=draw(BATCH, PATHOLOGIES, 2),
        anatomy_logits=draw(BATCH, ANATOMIES, 2),
        pathology_features=pathology,
        anatomy_features=anatomy,
        pathology_prototypes=draw(BATCH, PATHOLOGIES, TEXT),
        anatomy_prototypes=draw(BATCH, ANATOMIES, TEXT),
        icl_logits=anatomy @ pathology.transpose(1, 2),
    )
    matrix = torch.randint(-1, 2, (BATCH, ANATOMIES, PATHOLOGIES), generator=generator, dtype=torch.int8)
    books = torch.randn(ANATOMIES, TEXT, generator=generator), torch.randn(PATHOLOGIES, TEXT, generator=generator)
    return output, matrix, *books, sample_negatives(matrix, 7, generator)


def test_total_is_the_sum() -> None:
    terms = medslip_objective(*case())
    expected = (
        terms.existence_pathology
        + terms.existence_anatomy
        + terms.protocl_pathology
        + terms.protocl_anatomy
        + terms.icl
    )
    assert terms.total.item() == pytest.approx(expected.item())
    assert [getattr(terms, name) for name in TERMS[1:]] == list(terms.stacked())
    assert all(getattr(terms, field.name).dtype == torch.float32 for field in dataclasses.fields(LossTerms))


def test_gradients_reach_both_streams() -> None:
    output, *rest = case()
    medslip_objective(output, *rest).total.backward()
    for name in ("logits", "features", "prototypes"):
        for stream in ("pathology", "anatomy"):
            assert getattr(output, f"{stream}_{name}").grad.abs().sum() > 0, (stream, name)


def test_inputs_are_not_mutated() -> None:
    output, matrix, *rest = case()
    before = {name: tensor.clone() for name, tensor in tensors(output).items()}
    matrix_before, first = matrix.clone(), medslip_objective(output, matrix, *rest).total
    assert torch.equal(matrix, matrix_before)
    assert all(torch.equal(getattr(output, name), tensor) for name, tensor in before.items())
    assert torch.equal(medslip_objective(output, matrix, *rest).total, first)


def test_batch_order_does_not_matter() -> None:
    output, matrix, anatomy_book, pathology_book, negatives = case()
    order = torch.tensor([2, 0, 3, 1])
    shuffled = medslip_objective(
        MedslipOutput(**{name: tensor[order] for name, tensor in tensors(output).items()}),
        matrix[order],
        anatomy_book,
        pathology_book,
        Negatives(negatives.pathology[order], negatives.anatomy[order]),
    )
    original = medslip_objective(output, matrix, anatomy_book, pathology_book, negatives)
    for field in dataclasses.fields(LossTerms):
        assert getattr(shuffled, field.name).item() == pytest.approx(getattr(original, field.name).item(), rel=1e-5)


@pytest.mark.parametrize("state", [0, -1])
def test_batch_without_positives_is_finite(state: int) -> None:
    output, matrix, *books, _ = case()
    matrix = torch.full_like(matrix, state)
    terms = medslip_objective(output, matrix, *books, sample_negatives(matrix), temperature=0.1)
    terms.total.backward()
    assert terms.protocl_pathology.item() == terms.protocl_anatomy.item() == 0
    assert (terms.total.item() == 0) == (state == -1)
    assert all(torch.isfinite(getattr(output, name).grad).all() for name in ("pathology_prototypes", "anatomy_logits"))


def test_sides_swap_with_the_streams() -> None:
    """Handing over the mirror image of everything swaps the two streams' terms."""
    output, matrix, anatomy_book, pathology_book, negatives = case()
    mirrored = MedslipOutput(
        pathology_logits=output.anatomy_logits,
        anatomy_logits=output.pathology_logits,
        pathology_prototypes=output.anatomy_prototypes,
        anatomy_prototypes=output.pathology_prototypes,
        icl_logits=output.icl_logits.transpose(1, 2),
    )
    ours = medslip_objective(output, matrix, anatomy_book, pathology_book, negatives)
    theirs = medslip_objective(
        mirrored,
        matrix.transpose(1, 2),
        pathology_book,
        anatomy_book,
        Negatives(negatives.anatomy, negatives.pathology),
    )
    assert ours.protocl_pathology.item() == pytest.approx(theirs.protocl_anatomy.item(), rel=1e-6)
    assert ours.existence_anatomy.item() == pytest.approx(theirs.existence_pathology.item(), rel=1e-6)
    assert ours.icl.item() == pytest.approx(theirs.icl.item(), rel=1e-6)


def test_no_value_is_read_by_the_host() -> None:
    """On the meta device tensors have no values: anything that waits for one (.item(), boolean indexing) fails."""
    output, matrix, anatomy_book, _, negatives = case()
    output = MedslipOutput(**{name: tensor.to("meta") for name, tensor in tensors(output).items()})
    matrix, book, drawn = matrix.to("meta"), anatomy_book.to("meta"), negatives.pathology.to("meta")
    with pytest.raises((RuntimeError, NotImplementedError)):
        matrix[matrix == 1]  # what the test is there to catch
    assert protocl_loss(output.pathology_prototypes, matrix, book, drawn, temperature=0.1).shape == ()
    assert existence_loss(output.pathology_logits, stream_labels(matrix)[0]).shape == ()
    assert icl_loss(output.icl_logits, matrix).shape == ()
