"""What contrasted models read of a report."""

import pytest
from tiny_reports import TinyReports

from medslip_core.contrastive.prompts import PROMPTS, anatomy_words, pathology_words
from medslip_core.contrastive.reports import ReportSentences, one_sentence, shuffled, with_sides_swapped
from medslip_core.vocabulary import ANATOMIES, ANATOMY_INDEX, PATHOLOGIES, PATHOLOGY_INDEX

SENTENCES = ["There is a left pleural effusion.", "The heart is normal in size.", "No acute process."]


def test_sentences_are_those_that_state_something() -> None:
    read = ReportSentences(TinyReports())
    assert [read.of(row) for row in range(3)] == [
        ["There is a left pleural effusion.", "The heart is normal in size."],
        ["No pneumothorax.", "Right basilar opacity measures 1.5 cm."],
        ["There is no consolidation.", "Mild edema."],
    ]
    assert read.of(7) == read.of(15) == [], "a report of which nothing was read, and no report"
    assert read.rows("train").tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9]


@pytest.mark.parametrize("said, mirrored", [
    ("Left pleural effusion.", "Right pleural effusion."),
    ("The right lung is clear, the left is not.", "The left lung is clear, the right is not."),
    ("Tip in the right atrium.", "Tip in the right atrium."),
    ("Left ventricular enlargement, RIGHT base.", "Left ventricular enlargement, Left base."),
    ("Leftward shift of a bright area.", "Leftward shift of a bright area."),
])  # fmt: skip
def test_the_mirror_image_has_its_sides_swapped(said: str, mirrored: str) -> None:
    assert with_sides_swapped(said) == mirrored


def test_sentences_are_drawn_from_counters() -> None:
    drawn = [one_sentence(SENTENCES, 0, epoch, 5) for epoch in range(40)]
    assert drawn == [one_sentence(SENTENCES, 0, epoch, 5) for epoch in range(40)]
    assert {one for (one,) in drawn} == set(SENTENCES) and one_sentence([], 0, 1, 5) == []
    orders = [shuffled(SENTENCES, 0, epoch, 5) for epoch in range(40)]
    assert all(sorted(order) == sorted(SENTENCES) for order in orders) and len(set(map(tuple, orders))) == 6
    assert shuffled([], 0, 0) == []


def test_every_name_of_the_vocabulary_is_asked_for_in_its_order() -> None:
    assert {name: len(texts) for name, texts in PROMPTS.items()} == {
        f"{stream} {what}": len(names)
        for stream, names in (("pathology", PATHOLOGIES), ("anatomy", ANATOMIES))
        for what in ("present", "absent", "place")
    }
    assert pathology_words()[PATHOLOGY_INDEX["effusion"]] == "pleural effusion"
    assert PROMPTS["pathology absent"][PATHOLOGY_INDEX["pneumothorax"]] == "There is no pneumothorax."
    assert anatomy_words()[ANATOMY_INDEX["left_hilar"]] == "the left hilum"
    assert PROMPTS["anatomy place"][ANATOMY_INDEX["aorta"]] == "The aorta."
    distinct = {name: len(set(texts)) for name, texts in PROMPTS.items()}
    assert distinct == {name: len(texts) for name, texts in PROMPTS.items()}, "no two are asked for alike"
