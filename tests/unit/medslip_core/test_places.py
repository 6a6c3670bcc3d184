"""A pathology at an anatomy: what is asked of which image, and every way of answering."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tiny_model import MODEL, tiny_model

from medslip_core.contrastive.config import ContrastiveConfig
from medslip_core.contrastive.model import ContrastiveModel
from medslip_core.contrastive.prompts import place_prompt
from medslip_core.places import (
    at_places,
    best_way,
    macro_auroc,
    often_enough,
    pair_label,
    place_questions,
    place_scores,
)
from medslip_core.vocabulary import ANATOMIES, ANATOMY_INDEX, PATHOLOGIES, PATHOLOGY_INDEX


class Told:
    """A corpus of images of which each is told by what is present: (pathology, anatomy)."""

    def __init__(self, *images: list[tuple[str, str]], source: str = "truth", patients: list | None = None) -> None:
        self._matrix = np.full((len(images), len(ANATOMIES), len(PATHOLOGIES)), -2, np.int8)
        for row, present in enumerate(images):
            for pathology, anatomy in present:
                self._matrix[row, ANATOMY_INDEX[anatomy], PATHOLOGY_INDEX[pathology]] = 1
        pixels = np.random.default_rng(0).integers(0, 256, (len(images), 40, 40), dtype=np.uint8)
        self.take, self._source = pixels.__getitem__, source
        self.manifest = pd.DataFrame({"patient_id": patients or [f"p{row}" for row in range(len(images))]})

    def __len__(self) -> int:
        return len(self.manifest)

    def stated(self, split: str, source: str) -> np.ndarray:
        return np.arange(len(self) if source == self._source else 0)

    def matrix(self, rows: np.ndarray, source: str) -> np.ndarray:
        return self._matrix[rows]


def asked(corpora: dict, decoys: bool = False) -> dict[str, dict[int, int]]:
    """Pair -> image -> truth."""
    table = place_questions(corpora, "test")
    table = table[table["decoy"]] if decoys else table
    return {
        label: dict(zip(one["image"], one["truth"], strict=True)) for label, one in table.groupby(pair_label(table))
    }


LEFT = ("effusion", "left_pleural")
RIGHT = ("effusion", "right_pleural")


def test_an_image_is_asked_where_the_finding_is_on_one_side() -> None:
    found = asked(dict(a=Told([LEFT], [RIGHT], [LEFT, RIGHT], [("nodule", "left_mid_lung")])))
    assert found["effusion at left_pleural"] == {0: 1, 1: 0, 2: 1}  # 3 shows none: where it is cannot be asked
    assert found["effusion at right_pleural"] == {0: 0, 1: 1, 2: 1}
    assert found["nodule at left_mid_lung"] == {3: 1}


def test_what_may_lie_at_the_anatomy_is_not_asked() -> None:
    elsewhere = [RIGHT, ("effusion", "left_costophrenic")], [RIGHT, ("effusion", "pleural_unspec")]
    found = asked(dict(a=Told([LEFT], *elsewhere, [RIGHT, ("effusion", "unspecified")])))
    assert found["effusion at left_pleural"] == {0: 1, 3: 0}  # "unspecified" names no place


@pytest.mark.parametrize("chamber", ["right_atrium", "right_ventricle"])
def test_chambers_of_the_heart_name_no_side(chamber: str) -> None:
    lead = ("lead", chamber)
    found = asked(dict(a=Told([lead], [lead, ("lead", "left_pleural")], [("lead", "left_pleural")])))
    assert not any(chamber in pair for pair in found)
    assert found["lead at right_pleural"] == {2: 0}


def test_a_lobe_without_a_counterpart_has_a_side() -> None:
    found = asked(dict(a=Told([("opacity", "middle_right_lobe")], [("opacity", "upper_left_lobe")])))
    assert found["opacity at middle_right_lobe"] == {0: 1, 1: 0}


def test_words_of_health_are_not_asked_for() -> None:
    assert asked(dict(a=Told([("clear", "left_lung_unspec")], [("clear", "right_lung_unspec")]))) == {}


def test_a_decoy_lies_where_the_finding_does_not() -> None:
    found = asked(
        dict(
            a=Told(
                [LEFT, ("scar", "right_apical_lung")],  # something on the other side, and no effusion
                [LEFT],
                [LEFT, RIGHT, ("scar", "right_apical_lung")],
                [RIGHT, ("thicken", "left_pleural")],  # something at the very anatomy
                [RIGHT, ("scar", "left_apical_lung")],
                [RIGHT, ("sharp", "left_pleural")],  # which is no abnormality
            )
        ),
        decoys=True,
    )
    assert found["effusion at left_pleural"] == {0: 1, 3: 0}


def test_images_of_several_corpora_are_told_apart() -> None:
    one, two = Told([LEFT], [RIGHT], patients=["p", "q"]), Told([LEFT], [RIGHT], patients=["p", "q"])
    table = place_questions(dict(a=one, b=two), "test")
    left = table[table["anatomy"] == "left_pleural"]
    assert left["image"].tolist() == [0, 1, 2, 3] and left["row"].tolist() == [0, 1, 0, 1]
    assert left["patient"].tolist() == ["a/p", "a/q", "b/p", "b/q"] and left["corpus"].tolist() == ["a", "a", "b", "b"]


def enough(told: Told, decoys: bool, least: int) -> list[str]:
    return pair_label(often_enough(place_questions({"a": told}, "test"), decoys, least)).unique().tolist()


def test_a_pair_needs_patients_of_either_truth() -> None:
    images = [LEFT], [LEFT], [RIGHT], [RIGHT]
    both = ["effusion at left_pleural", "effusion at right_pleural"]
    assert enough(Told(*images), False, 2) == both and enough(Told(*images), False, 3) == []
    assert enough(Told(*images, patients=["p", "p", "q", "r"]), False, 2) == []
    assert enough(Told([LEFT], [LEFT]), False, 1) == []  # nothing of the other truth
    decoys = Told([LEFT, ("scar", "right_pleural")], [RIGHT, ("scar", "left_pleural")], [LEFT], [RIGHT])
    assert enough(decoys, True, 1) == [*both, "scar at left_pleural", "scar at right_pleural"]
    assert enough(decoys, True, 2) == [] and enough(decoys, False, 2) == both


def test_reports_are_asked_where_there_is_no_truth() -> None:
    assert len(enough(Told([LEFT], [RIGHT], source="report"), False, 1)) == 2
    nothing = place_questions(dict(a=Told([LEFT], [RIGHT], source="none")), "test")
    assert nothing.empty and often_enough(nothing, decoys=True).empty and often_enough(nothing, decoys=False).empty


@pytest.fixture(scope="module")
def corpora() -> dict:
    images = [LEFT, ("thicken", "right_pleural")], [RIGHT, ("scar", "left_pleural")], [LEFT], [RIGHT], [RIGHT]
    return dict(a=Told(*images), b=Told(*images[::-1]))


@pytest.mark.parametrize("temperature", [None, 0.1])
def test_scores_are_those_of_the_pair_on_the_image(temperature: float | None, corpora: dict) -> None:
    model = tiny_model()
    model.config = type(model.config)(**{**model.config.to_dict(), "protocl_temperature": temperature})
    model.eval()
    questions = place_questions(corpora, "test")
    scores = place_scores(model, corpora, questions, batch_size=3)
    assert list(scores) == ["existence", "maps", "ICL", "ProtoCL, pathology", "ProtoCL, anatomy"]
    anatomy_book, pathology_book = model.text_books()
    for i in (0, len(questions) // 2, len(questions) - 1):
        one = questions.loc[i]
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
    questions = place_questions(corpora, "test")
    scores = place_scores(model, corpora, questions)
    assert list(scores) == ["existence", "maps", "words"]
    one = questions.loc[0]
    with torch.inference_mode():
        pixels = model.pixel_values(corpora[one["corpus"]].take([one["row"]]))
        pair = one["anatomy"], one["pathology"]
        texts = [[place_prompt(*pair, present)] for present in (True, False)]
        found = model(pixels.expand(2, -1, -1, -1), texts)
        cosines = (found.seen.whole * found.read.whole).sum(dim=1)
    assert scores.loc[0, "words"] == pytest.approx(float(cosines[0] - cosines[1]), abs=1e-6)


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


def test_the_best_way_is_that_with_the_highest_macro(corpora: dict) -> None:
    questions = often_enough(place_questions(corpora, "validate"), decoys=False, least=1)
    truth = questions["truth"].where(~questions["decoy"], 1 - questions["truth"])
    scores = pd.DataFrame({"ICL": 1.0 - truth, "maps": truth / 2, "existence": 0.5})
    assert 0 < questions["decoy"].mean() < 0.5
    assert best_way(questions, scores, decoys=False) == "maps" and best_way(questions, scores, decoys=True) == "ICL"
    with pytest.raises(ValueError, match="nothing to choose"):
        best_way(questions[questions["truth"] == 1], scores, decoys=False)


def test_scores_of_some_questions_keep_their_index(corpora: dict) -> None:
    model, questions = tiny_model().eval(), place_questions(corpora, "test")
    some = questions[questions["corpus"] == "b"][::-2]
    every = place_scores(model, corpora, questions)
    pd.testing.assert_frame_equal(place_scores(model, corpora, some), every.loc[some.index])


def test_nothing_to_ask_is_told(corpora: dict) -> None:
    with pytest.raises(ValueError, match="nothing to ask"):
        place_scores(tiny_model(), corpora, place_questions({}, "test"))


def test_unknown_names_are_told() -> None:
    with pytest.raises(ValueError, match="left_pleura'.*left_pleural"):
        at_places(tiny_model().eval(), torch.zeros(1, 3, 32, 32), [("left_pleura", "effusion")])
