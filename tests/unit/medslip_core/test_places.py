"""A pathology at an anatomy: what is asked of which image, and every way of answering."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tiny_model import MODEL, tiny_model

from medslip_core import places
from medslip_core.contrastive.config import ContrastiveConfig
from medslip_core.contrastive.model import ContrastiveModel
from medslip_core.contrastive.prompts import place_prompt
from medslip_core.places import (
    answer,
    asked_of,
    at_places,
    best_way,
    macro_auroc,
    pair_label,
    place_questions,
    place_scores,
)
from medslip_core.vocabulary import ANATOMIES, ANATOMY_INDEX, PATHOLOGIES, PATHOLOGY_INDEX


class Told:
    """A corpus of images of which each is told by its triplets: (pathology, anatomy[, state]), present by default."""

    def __init__(self, *images: list[tuple], sources: tuple = ("truth",), **more: list) -> None:
        self._matrix = np.full((len(images), len(ANATOMIES), len(PATHOLOGIES)), -2, np.int8)
        for row, triplets in enumerate(images):
            for pathology, anatomy, *state in triplets:
                self._matrix[row, ANATOMY_INDEX[anatomy], PATHOLOGY_INDEX[pathology]] = state[0] if state else 1
        pixels = np.random.default_rng(0).integers(0, 256, (len(images), 40, 40), dtype=np.uint8)
        self.take, self.triplets = pixels.__getitem__, pd.DataFrame({"source": list(sources)})
        self._splits = more.get("splits", ["test"] * len(images))
        self.manifest = pd.DataFrame({"patient_id": more.get("patients", [f"p{row}" for row in range(len(images))])})

    def __len__(self) -> int:
        return len(self.manifest)

    def stated(self, split: str, source: str) -> np.ndarray:
        return np.flatnonzero(np.array(self._splits) == split)[: None if source in set(self.triplets["source"]) else 0]

    def matrix(self, rows: np.ndarray, source: str) -> np.ndarray:
        stated = self._matrix if source == self.triplets["source"].iloc[-1] else np.full_like(self._matrix, -2)
        return stated[rows]


def questions(*images: list[tuple], swapped: bool = False, **more: object) -> dict[str, dict[int, int]]:
    """Pair -> image -> truth."""
    table = place_questions({"a": Told(*images, **more)}, "test")
    table = table[table["swap"]] if swapped else table
    return {
        label: dict(zip(one["image"], one["truth"], strict=True)) for label, one in table.groupby(pair_label(table))
    }


LEFT = ("effusion", "left_pleural")
RIGHT = ("effusion", "right_pleural")


def test_an_image_is_asked_where_the_finding_is_on_one_side() -> None:
    found = questions([LEFT], [RIGHT], [LEFT, RIGHT], [("nodule", "left_mid_lung")], [(*LEFT, 0)])
    assert found["effusion at left_pleural"] == {0: 1, 1: 0, 2: 1}  # 3 and 4 show none: where it is cannot be asked
    assert found["effusion at right_pleural"] == {0: 0, 1: 1, 2: 1}
    assert found["nodule at left_mid_lung"] == {3: 1}


@pytest.mark.parametrize(
    ("beside", "is_asked"),
    [
        (("effusion", "left_costophrenic"), False),
        (("effusion", "pleural_unspec"), False),
        (("effusion", "unspecified"), False),
        (("effusion", "left_pleural", -1), False),  # uncertain
        (("effusion", "left_costophrenic", -1), False),
        (("effusion", "left_pleural", 0), True),  # absent, and said to be
        (("nodule", "left_pleural"), True),
    ],
)
def test_what_may_lie_at_the_anatomy_is_not_asked(beside: tuple, is_asked: bool) -> None:
    found = questions([LEFT], [RIGHT, beside])["effusion at left_pleural"]
    assert found == ({0: 1, 1: 0} if is_asked else {0: 1})


@pytest.mark.parametrize("chamber", ["right_atrium", "right_ventricle"])
def test_chambers_of_the_heart_name_no_side(chamber: str) -> None:
    lead = ("lead", chamber)
    found = questions([lead], [lead, ("lead", "left_pleural")], [("lead", "left_pleural")])
    assert not any(chamber in pair for pair in found)
    assert found["lead at right_pleural"] == {2: 0}


def test_a_lobe_without_a_counterpart_has_a_side_and_is_not_asked_for() -> None:
    found = questions([("opacity", "middle_right_lobe")], [("opacity", "upper_left_lobe")])
    assert found["opacity at upper_left_lobe"] == {0: 0, 1: 1} and "opacity at middle_right_lobe" not in found


@pytest.mark.parametrize("word", ["clear", "finding", "excluded_obs"])
def test_words_of_health_and_those_that_name_nothing_are_not_asked_for(word: str) -> None:
    assert questions([(word, "left_pleural")], [(word, "right_pleural")]) == {}
    assert questions([LEFT, (word, "right_pleural")], swapped=True) == {}, "nor do they lie at the other side"


def test_in_a_swap_two_findings_have_changed_places() -> None:
    scar_right, scar_left = ("scar", "right_pleural"), ("scar", "left_pleural")
    found = questions(
        [LEFT, scar_right],
        [RIGHT, scar_left],
        [LEFT],
        [LEFT, ("scar", "right_apical_lung")],  # not at the mirror image
        [LEFT, RIGHT, scar_right],  # the finding is at both
        [LEFT, (*RIGHT, -1), scar_right],  # or may be
        [LEFT, scar_right, ("effusion", "unspecified")],
        [("effusion", "right_costophrenic"), scar_left, scar_right],  # on the other side, and not at the mirror image
        swapped=True,
    )
    assert found["effusion at left_pleural"] == {0: 1, 1: 0} and found["effusion at right_pleural"] == {0: 0, 1: 1}
    assert found["scar at right_pleural"] == {0: 1, 1: 0, 4: 1, 5: 1, 6: 1}


def test_images_of_several_corpora_are_told_apart() -> None:
    one, two = (Told([LEFT], [RIGHT], patients=["p", "q"]) for _ in range(2))
    table = place_questions(dict(a=one, b=two), "test")
    left = table[table["anatomy"] == "left_pleural"]
    assert left["image"].tolist() == [0, 1, 2, 3] and left["row"].tolist() == [0, 1, 0, 1]
    assert left["patient"].tolist() == ["a/p", "a/q", "b/p", "b/q"] and left["corpus"].tolist() == ["a", "a", "b", "b"]


def test_only_images_of_the_split_are_asked() -> None:
    corpora = {"a": Told([LEFT], [RIGHT], [LEFT], splits=["test", "validate", "validate"])}
    assert {split: set(place_questions(corpora, split)["row"]) for split in ("test", "validate", "train")} == {
        "test": {0}, "validate": {1, 2}, "train": set(),
    }  # fmt: skip


def kept(*images: list[tuple], swapped: bool = False, least: int = 1, **more: list) -> list[str]:
    table = asked_of(place_questions({"a": Told(*images, **more)}, "test"), swapped, least)
    return pair_label(table).unique().tolist()


def test_a_pair_needs_patients_of_either_truth() -> None:
    images = [LEFT], [LEFT], [RIGHT], [RIGHT]
    both = ["effusion at left_pleural", "effusion at right_pleural"]
    assert kept(*images, least=2) == both and kept(*images, least=3) == []
    assert kept(*images, least=2, patients=["p", "p", "q", "r"]) == []
    assert kept([LEFT], [LEFT]) == []  # nothing of the other truth
    swaps = [LEFT, ("scar", "right_pleural")], [RIGHT, ("scar", "left_pleural")], [LEFT], [RIGHT]
    assert kept(*swaps, swapped=True) == [*both, "scar at left_pleural", "scar at right_pleural"]
    assert kept(*swaps, swapped=True, least=2) == [] and kept(*swaps, least=2) == both


def test_two_words_for_one_thing_are_asked_for_once() -> None:
    twice = [[LEFT, ("fluid", "left_pleural")], [RIGHT, ("fluid", "right_pleural")]]
    assert kept(*twice) == ["effusion at left_pleural", "effusion at right_pleural"]
    assert len(kept(*twice, [("fluid", "left_pleural")])) == 4, "not the same once it stands alone"


def test_reports_are_asked_where_there_is_no_truth() -> None:
    assert len(questions([LEFT], [RIGHT], sources=("report",))["effusion at left_pleural"]) == 2
    both = questions([LEFT], [RIGHT], sources=("report", "truth"))
    assert both["effusion at left_pleural"] == {0: 1, 1: 0}, "truth, if there is any"
    nothing = place_questions({"a": Told([LEFT], [RIGHT], sources=())}, "test")
    assert all(asked_of(nothing, swapped).empty for swapped in (False, True))


@pytest.fixture(scope="module")
def corpora() -> dict:
    images = [LEFT, ("thicken", "right_pleural")], [RIGHT, ("scar", "left_pleural")], [LEFT], [RIGHT], [RIGHT]
    return dict(a=Told(*images), b=Told(*images[::-1]))


@pytest.mark.parametrize("temperature", [None, 0.1])
def test_scores_are_those_of_the_pair_on_the_image(temperature: float | None, corpora: dict) -> None:
    model = tiny_model()
    model.config = type(model.config)(**{**model.config.to_dict(), "protocl_temperature": temperature})
    model.eval()
    asked = place_questions(corpora, "test")
    scores = place_scores(model, corpora, asked, batch_size=3)
    assert list(scores) == ["existence", "maps", "ICL", "ProtoCL, pathology", "ProtoCL, anatomy"]
    anatomy_book, pathology_book = model.text_books()
    for i in (0, len(asked) // 2, len(asked) - 1):
        one = asked.loc[i]
        a, p = ANATOMY_INDEX[one["anatomy"]], PATHOLOGY_INDEX[one["pathology"]]
        with torch.inference_mode():
            said = model(model.pixel_values(corpora[one["corpus"]].take([one["row"]])), output_attentions=True)
        maps = said.pathology_attention.mean(dim=0)[0, p] @ said.anatomy_attention.mean(dim=0)[0, a]
        where, what = said.pathology_prototypes[0, p], said.anatomy_prototypes[0, a]
        norms = torch.ones(2)
        if temperature:
            norms = torch.stack([where.norm() * anatomy_book[a].norm(), what.norm() * pathology_book[p].norm()])
        wanted = [
            said.anatomy_prob[0, a] * said.pathology_prob[0, p], maps, said.icl_logits[0, a, p],
            where @ anatomy_book[a] / norms[0], what @ pathology_book[p] / norms[1],
        ]  # fmt: skip
        np.testing.assert_allclose(scores.loc[i], torch.stack(wanted), rtol=1e-4, atol=1e-6)


def test_contrasted_models_are_asked_in_words(corpora: dict) -> None:
    torch.manual_seed(0)
    trunk = {name: MODEL[name] for name in ("backbone", "image_size")}
    config = ContrastiveConfig(method="convirt", text_encoder="packaged-minilm", embedding_dim=8, **trunk)
    model = ContrastiveModel(config).eval()
    asked = place_questions(corpora, "test")
    scores = place_scores(model, corpora, asked)
    assert list(scores) == ["existence", "maps", "words", "words, other side"]
    one = asked[asked["anatomy"].str.contains("pleural")].iloc[0]
    with torch.inference_mode():
        pixels = model.pixel_values(corpora[one["corpus"]].take([one["row"]]))
        pair = one["anatomy"], one["pathology"]
        other_side = {"left_pleural": "right_pleural", "right_pleural": "left_pleural"}[pair[0]], pair[1]
        texts = [[place_prompt(*pair, True)], [place_prompt(*pair, False)], [place_prompt(*other_side, True)]]
        found = model(pixels.expand(3, -1, -1, -1), texts)
        cosines = (found.seen.whole * found.read.whole).sum(dim=1)
    assert scores.loc[one.name, "words"] == pytest.approx(float(cosines[0] - cosines[1]), abs=1e-6)
    assert scores.loc[one.name, "words, other side"] == pytest.approx(float(cosines[0] - cosines[2]), abs=1e-6)


def test_places_are_asked_for_as_a_report_would_name_them() -> None:
    assert place_prompt("left_lower_lung", "nodule", True) == "There is a nodule at the left lower zone."
    assert place_prompt("right_pleural", "effusion", False) == "There is no pleural effusion at the right pleura."


def test_macro_is_the_mean_over_pairs() -> None:
    random = np.random.default_rng(0)
    pairs = [("left_pleural", "effusion"), ("right_pleural", "effusion"), ("left_mid_lung", "nodule")]
    table = pd.DataFrame(
        [(*pair, truth) for pair, truth, _ in product(pairs, (0, 1), range(5))],
        columns=["anatomy", "pathology", "truth"],
    )
    score = pd.Series(random.random(len(table)))
    values = [
        roc_auc_score(table["truth"][i], score[i]) for i in table.groupby(["anatomy", "pathology"]).groups.values()
    ]
    assert macro_auroc(table, score) == pytest.approx(np.mean(values))


def test_each_question_is_asked_in_the_way_that_does_best_on_validation(monkeypatch) -> None:
    images = [LEFT, ("scar", "right_pleural")], [RIGHT, ("thicken", "left_pleural")], *([LEFT], [RIGHT]) * 3
    rare = [("mass", "left_pleural")], [("mass", "right_pleural")]  # of validation only, and answered by "ICL"
    splits = ["test"] * 80 + ["validate"] * 10
    corpora = {"a": Told(*images * 10, *images, *rare, splits=splits)}

    def told(model: None, corpora: dict, some: pd.DataFrame, batch_size: int) -> pd.DataFrame:
        right, wrong = some["truth"], 1 - some["truth"]
        validation, swap, mass = some["row"] >= 80, some["swap"], some["pathology"] == "mass"
        return pd.DataFrame({
            "ICL": right.where(mass | ~validation | swap, wrong),
            "maps": right.where(validation & ~swap & ~mass, wrong),
        })  # fmt: skip

    monkeypatch.setattr(places, "place_scores", told)
    said = answer(None, corpora)
    assert {question: one.best for question, one in said.items()} == {"side": "maps", "side, swapped": "ICL"}
    assert set(said["side"].questions["row"]) == set(range(80)) and set(said["side, swapped"].questions["row"]) == {
        row for row in range(80) if row % 8 < 2
    }
    assert all(one.scores.index.equals(one.questions.index) for one in said.values())
    assert list(answer(None, {"a": Told(*images * 10, *images[2:], splits=splits[:86])})) == ["side"]
    assert answer(None, {"a": Told(*images * 10)}) == {}, "nothing to choose a way by"


def test_of_ways_the_one_with_the_highest_macro_is_best(corpora: dict) -> None:
    some = asked_of(place_questions(corpora, "test"), swapped=False, least=1)
    scores = pd.DataFrame({"existence": 0.5, "ICL": 1 - some["truth"], "maps": some["truth"] / 2})
    assert best_way(some, scores) == "maps" and best_way(some, scores[["existence", "ICL"]]) == "existence"


def test_scores_of_some_askedkeep_their_index(corpora: dict) -> None:
    model, asked = tiny_model().eval(), place_questions(corpora, "test")
    some = asked[asked["corpus"] == "b"][::-2]
    every = place_scores(model, corpora, asked)
    pd.testing.assert_frame_equal(place_scores(model, corpora, some), every.loc[some.index])


def test_nothing_to_ask_is_told(corpora: dict) -> None:
    with pytest.raises(ValueError, match="nothing to ask"):
        place_scores(tiny_model(), corpora, place_questions({}, "test"))


def test_unknown_names_are_told() -> None:
    with pytest.raises(ValueError, match="left_pleura'.*left_pleural"):
        at_places(tiny_model().eval(), torch.zeros(1, 3, 32, 32), [("left_pleura", "effusion")])
