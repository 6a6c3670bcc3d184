"""What contrasted models read of a report."""

import pandas as pd
import pytest
from tiny_reports import TinyReports

from medslip_core.contrastive.prompts import PROMPTS, anatomy_words, pathology_words
from medslip_core.contrastive.reports import ReportSentences, mirrored, one_sentence, shuffled, with_sides_swapped
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


@pytest.mark.parametrize("said, mirrored", [
    ("Left pleural effusion.", "Right pleural effusion."),
    ("The right lung is clear, the left is not.", "The left lung is clear, the right is not."),
    ("Tip in the right atrium.", "Tip in the right atrium."),
    ("Left ventricular enlargement, RIGHT base.", "Left ventricular enlargement, Left base."),
    ("Leftward shift of a bright area.", "Rightward shift of a bright area."),
    ("RLL and LUL opacities, rt effusion, Lt base.", "LLL and RUL opacities, lt effusion, Rt base."),
    ("R-sided PICC, L/R effusions, left-ventricular lead.", "L-sided PICC, R/L effusions, left-ventricular lead."),
    ("R effusion, r/o PE, L-spine, L1, LV lead.", "L effusion, r/o PE, L-spine, L1, LV lead."),
])  # fmt: skip
def test_the_mirror_image_has_its_sides_swapped(said: str, mirrored: str) -> None:
    assert with_sides_swapped(said) == mirrored


def test_what_has_no_counterpart_is_not_said_of_the_mirror_image() -> None:
    said = [
        "Right middle lobe opacity.",
        "Right lower lobe opacity.",
        "Lingular scar.",
        "RML is clear.",
        "Normal heart.",
    ]
    assert mirrored(said) == ["Left lower lobe opacity.", "Normal heart."]


class Headed(TinyReports):
    """One report, all of which states something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def report(self, row: int) -> str:
        return self.text

    @property
    def triplets(self) -> pd.DataFrame:
        return pd.DataFrame([(0, "report", 0, 99)], columns=["row", "source", "start", "end"])


@pytest.mark.parametrize("text, sentences", [
    ("FINAL REPORT: FINDINGS: HEART: Normal. Lungs: Clear.\n\nImpression: No change.",
     ["HEART: Normal.", "Lungs: Clear.", "No change."]),
    ("FINDINGS AND IMPRESSION: No effusion. FINAL IMPRESSION: No change.", ["No effusion.", "No change."]),
    ("Findings\nNo effusion\nIMPRESSION - No change", ["No effusion.", "No change."]),
])  # fmt: skip
def test_headings_of_sections_are_left_out_and_no_others(text: str, sentences: list[str]) -> None:
    assert ReportSentences(Headed(text)).of(0) == sentences


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
        for what in ("present", "absent")
    } | {"anatomy place": len(ANATOMIES)}
    assert pathology_words()[PATHOLOGY_INDEX["effusion"]] == "pleural effusion"
    for name, present, absent in (
        ("pneumothorax", "There is pneumothorax.", "There is no pneumothorax."),
        ("hernia", "There is a hiatal hernia.", "There is no hiatal hernia."),
        ("opacity", "There is an opacity.", "There is no opacity."),
        ("enlarge", "It is enlarged.", "It is not enlarged."),
        ("marking", "There are markings.", "There are no markings."),
        ("tail_abnorm_obs", "There is another abnormality.", "There is no other abnormality."),
    ):
        told = [PROMPTS[f"pathology {what}"][PATHOLOGY_INDEX[name]] for what in ("present", "absent")]
        assert told == [present, absent]
    assert anatomy_words()[ANATOMY_INDEX["left_hilar"]] == "the left hilum"
    assert PROMPTS["anatomy place"][ANATOMY_INDEX["aorta"]] == "The aorta."
    distinct = {name: len(set(texts)) for name, texts in PROMPTS.items()}
    assert distinct == {name: len(texts) for name, texts in PROMPTS.items()}, "no two are asked for alike"
