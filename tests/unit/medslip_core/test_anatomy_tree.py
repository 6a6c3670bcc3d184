import torch

from medslip_core.anatomy_tree import PARTS, with_wholes
from medslip_core.vocabulary import ANATOMIES, ANATOMY_INDEX, MIRRORED_ANATOMY_INDEX, PATHOLOGY_INDEX


def matrix_of(*cells: tuple[str, str, int]) -> torch.Tensor:
    matrix = torch.full((1, 51, 75), -1, dtype=torch.int8)
    for anatomy, pathology, state in cells:
        matrix[0, ANATOMY_INDEX[anatomy], PATHOLOGY_INDEX[pathology]] = state
    return matrix


def present_at(matrix: torch.Tensor, pathology: str) -> set[str]:
    return {ANATOMIES[i] for i in (matrix[0, :, PATHOLOGY_INDEX[pathology]] == 1).nonzero().flatten()}


def test_what_is_present_at_a_part_is_present_at_every_whole_around_it():
    found = with_wholes(matrix_of(("left_apical_lung", "scar", 1)))
    assert present_at(found, "scar") == {
        "left_apical_lung", "left_upper_lung", "left_lung_unspec", "lung_apices", "parenchymal", "pulmonary",
        "cardiopulmonary",
    }  # fmt: skip


def test_nothing_goes_from_a_whole_to_its_parts_or_to_the_other_side():
    found = with_wholes(matrix_of(("left_lung_unspec", "opacity", 1), ("right_hilar", "enlarge", 1)))
    assert present_at(found, "opacity") == {"left_lung_unspec", "parenchymal", "pulmonary", "cardiopulmonary"}
    assert present_at(found, "enlarge") == {"right_hilar", "hilar_unspec"}


def test_health_absence_and_doubt_stay_where_they_were_said():
    said = ("left_lung_unspec", "clear", 1), ("left_pleural", "effusion", 0), ("left_pleural", "thicken", -1)
    before = matrix_of(*said)
    copy = before.clone()
    assert torch.equal(with_wholes(before), before) and torch.equal(before, copy)


def test_presence_at_a_part_outweighs_absence_at_the_whole():
    found = with_wholes(matrix_of(("left_pleural", "effusion", 1), ("pleural_unspec", "effusion", 0)))
    assert present_at(found, "effusion") == {"left_pleural", "pleural_unspec"}


def test_the_tree_is_the_same_in_the_mirror():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randint(-1, 2, (3, 51, 75), generator=generator)
    mirror = list(MIRRORED_ANATOMY_INDEX)
    matrix[:, ANATOMY_INDEX["middle_right_lobe"]] = -1  # the left lung has two lobes
    assert torch.equal(with_wholes(matrix[:, mirror]), with_wholes(matrix)[:, mirror])
    assert set(PARTS) <= set(ANATOMIES)
