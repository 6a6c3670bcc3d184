"""What the contrasted models minimise, against the sums of their papers written out item by item."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from medslip_core.contrastive.biovil import BioViL
from medslip_core.contrastive.config import ContrastiveConfig
from medslip_core.contrastive.convirt import ConVIRT
from medslip_core.contrastive.gloria import ATTENTION, GLoRIA, word_matching
from medslip_core.contrastive.gloria import WORDS as WORD_TEMPERATURE
from medslip_core.contrastive.lovt import LoVT, neighbours
from medslip_core.contrastive.mgca import MGCA, attend, sinkhorn
from medslip_core.contrastive.text_encoder import Words
from medslip_core.contrastive.towers import Towers, info_nce, local_contrast

ALL = [ConVIRT, GLoRIA, BioViL, LoVT, MGCA]
B, N, W, CHANNELS, TEXT, D = 4, 9, 6, 12, 10, 8


def unit(*shape: int) -> Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


def words(mask: Tensor) -> Words:
    """Two sentences in each text."""
    sentence = (torch.arange(mask.shape[1]) >= 2).long().expand(mask.shape)
    return Words(torch.randn(*mask.shape, TEXT) * mask[..., None], mask, sentence * mask)


@pytest.fixture(autouse=True)
def drawn_the_same() -> None:
    torch.manual_seed(0)


@pytest.fixture
def mask() -> Tensor:
    """Texts of 6, 4, 3 and 6 words."""
    return torch.arange(W) < torch.tensor([6, 4, 3, 6])[:, None]


def towers(kind: type[Towers]) -> Towers:
    return kind(CHANNELS, TEXT, ContrastiveConfig(embedding_dim=D, prototypes=5))


def test_info_nce_by_hand() -> None:
    logits = torch.randn(B, B)
    by_row = sum(math.log(sum(math.exp(x) for x in row)) - row[i] for i, row in enumerate(logits.tolist())) / B
    by_column = sum(math.log(sum(math.exp(x) for x in row)) - row[i] for i, row in enumerate(logits.T.tolist())) / B
    assert [one.item() for one in info_nce(logits)] == pytest.approx([by_row, by_column], rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_local_contrast_by_hand(mask: Tensor, weighted: bool) -> None:
    own, other = unit(B, W, D), unit(B, W, D)
    positives = torch.rand(W, W).softmax(dim=1) if weighted else torch.eye(W)
    present = torch.ones_like(mask) if weighted else mask
    expected = 0.0
    for b in range(B):
        there = present[b].nonzero().flatten().tolist()
        for asking, asked in ((own[b], other[b]), (other[b], own[b])):
            for i in there:
                exponents = {j: math.exp(float(asking[i] @ asked[j]) / 0.3) for j in there}
                told = [positives[i, j].item() * math.log(exponents[j] / sum(exponents.values())) for j in there]
                expected -= sum(told) / len(there) / B / 2
    found = local_contrast(own, other, present, 0.3, positives if weighted else None)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_words_look_for_their_place_by_hand(mask: Tensor) -> None:
    patches, text = unit(B, N, D), unit(B, W, D)
    found = word_matching(patches, text, mask)
    for b in range(B):
        for r in range(B):
            told = []
            for word in text[r][mask[r]]:
                exponents = [math.exp(float(word @ patch) / ATTENTION) for patch in patches[b]]
                seen = sum(e / sum(exponents) * patch for e, patch in zip(exponents, patches[b], strict=True))
                told.append(math.exp(float(word @ seen / seen.norm()) / WORD_TEMPERATURE))
            assert found[b, r].item() == pytest.approx(WORD_TEMPERATURE * math.log(sum(told) / len(told)), rel=1e-4)


def test_regions_beside_each_other_are_partly_the_same() -> None:
    near = neighbours(N, torch.device("cpu"))
    torch.testing.assert_close(near.sum(dim=1), torch.ones(N))
    share, diagonal = near[4] / near[4, 4], 3 * math.sqrt(2)  # the middle of 3 x 3
    corner, edge = math.exp(-math.sqrt(2) / diagonal), math.exp(-1 / diagonal)
    assert share.tolist() == pytest.approx([corner, edge, corner, edge, 1, edge, corner, edge, corner], abs=1e-6)
    assert near[0, 2] > 0 == near[0, 8], "two apart is within half of the diagonal, the corner across is not"


def test_prototypes_are_used_alike() -> None:
    codes = sinkhorn(torch.randn(64, 4).clamp(-1, 1))
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(64))
    torch.testing.assert_close(codes.mean(dim=0), torch.full((4,), 1 / 4), atol=0.05, rtol=0)
    lonely = sinkhorn(torch.tensor([[1.0, 0.0]] * 8))  # all prefer the first, and have to share
    torch.testing.assert_close(lonely.mean(dim=0), torch.tensor([0.5, 0.5]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ALL)
def test_every_part_learns_from_both_sides(kind: type[Towers], mask: Tensor) -> None:
    tower, features, text = towers(kind), torch.randn(B, N, CHANNELS, requires_grad=True), words(mask)
    text.states.requires_grad_(True)
    losses = tower.losses(tower.see(features), tower.read(text))
    assert len(losses) == len(tower.terms) == len(tower.weights) and all(one.ndim == 0 for one in losses)
    sum(losses).backward()
    assert features.grad.abs().sum(dim=(1, 2)).min() > 0
    assert text.states.grad[mask].abs().sum(dim=1).min() > 0
    untouched = [name for name, one in tower.named_parameters() if one.grad is None or not one.grad.any()]
    assert all(name.endswith(("key.bias",)) for name in untouched), "a softmax ignores what all share"


@pytest.mark.parametrize("kind", ALL)
def test_pairs_are_told_apart_after_some_steps(kind: type[Towers], mask: Tensor) -> None:
    tower, text = towers(kind), words(mask)
    features = text.mean()[:, None] @ torch.randn(TEXT, CHANNELS) + 0.1 * torch.randn(B, N, CHANNELS)
    optimizer = torch.optim.Adam(tower.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        sum(tower.losses(tower.see(features), tower.read(text))).backward()
        optimizer.step()
    with torch.no_grad():
        similar = tower.similarity(tower.see(features), tower.read(text))
    assert similar.shape == (B, B) and (similar.argmax(dim=1) == torch.arange(B)).all()


@pytest.mark.parametrize("kind", ALL)
def test_maps_are_shares_of_the_image(kind: type[Towers], mask: Tensor) -> None:
    tower = towers(kind)
    with torch.no_grad():
        seen, read = tower.see(torch.randn(B + 1, N, CHANNELS)), tower.read(words(mask))
        maps = tower.maps(seen, read)
    assert maps.shape == (B + 1, B, N) and maps.min() >= 0
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(B + 1, B))


@pytest.mark.parametrize("kind", ALL)
def test_what_is_not_there_changes_nothing(kind: type[Towers], mask: Tensor) -> None:
    """Texts padded further: same losses."""
    tower, features, text = towers(kind), torch.randn(B, N, CHANNELS), words(mask)
    pad = [F.pad(text.states, (0, 0, 0, 3)), F.pad(text.mask, (0, 3)), F.pad(text.sentence, (0, 3))]
    with torch.no_grad():
        short, long = (tower.losses(tower.see(features), tower.read(one)) for one in (text, Words(*pad)))
    torch.testing.assert_close(short, long)


def test_mgca_attends_by_likeness_by_hand(mask: Tensor) -> None:
    patches, text = unit(B, N, D), unit(B, W, D)
    found = attend(patches, text, mask)
    for b in range(B):
        there = text[b][mask[b]]
        weights = torch.tensor([[math.exp(float(patch @ word) / 0.1) for word in there] for patch in patches[b]])
        seen = (weights / weights.sum(dim=1, keepdim=True)) @ there
        torch.testing.assert_close(found[b], seen / seen.norm(dim=1, keepdim=True), rtol=1e-4, atol=1e-5)


def test_convirt_and_biovil_by_hand(mask: Tensor) -> None:
    features, text = torch.randn(B, N, CHANNELS), words(mask)
    with torch.no_grad():
        for kind, temperature, share in ((ConVIRT, 0.1, 0.75), (BioViL, 0.5, 0.5)):
            tower = towers(kind)
            image = tower.image_head(features).mean(1) if kind is BioViL else tower.image_head(features.mean(1))
            report = tower.text_head(torch.stack([s[m].mean(0) for s, m in zip(text.states, mask, strict=True)]))
            cosines = F.cosine_similarity(image[:, None], report[None], dim=-1) / temperature
            to_text, to_image = -cosines.log_softmax(1).diagonal().mean(), -cosines.log_softmax(0).diagonal().mean()
            (found,) = tower.losses(tower.see(features), tower.read(text))
            torch.testing.assert_close(found, share * to_text + (1 - share) * to_image)
