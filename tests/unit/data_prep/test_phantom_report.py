"""Reports of the phantom: every kind can be written, what is said is true, and the reader reads what is said."""

import re

import numpy as np
import pytest

from data_prep.phantom import CATALOGUE, POPULATIONS, Finding, PhantomStudy, draw_patient
from data_prep.phantom.pathology import draw_findings
from data_prep.phantom.phrases import DEGREES, PLACES, parse_claims
from data_prep.phantom.report import ORGANS, _Speaker, place_of, surest, write_report
from data_prep.phantom.sentences import (
    DISTRACTORS,
    FINDINGS,
    HEALTH,
    HEALTHY_SIDE,
    INDICATIONS,
    NOTES,
    NOTHING_FOUND,
)
from data_prep.phantom.triplets import study_triplets
from data_prep.reports import read_report
from medslip_core.vocabulary import ABSENT, PRESENT, UNCERTAIN

NONE = np.zeros((0, 0), np.uint8)


def unrendered(number: int, population: str = "mimic") -> PhantomStudy:
    """A study as the report writer sees it: no pixels."""
    patient = draw_patient(POPULATIONS[population], 5, number)
    view = "AP" if number % 2 else "PA"
    findings = draw_findings(POPULATIONS[population], patient, view, np.random.default_rng(number))
    return PhantomStudy(
        NONE, findings, view, patient.age_years, patient.sex, patient, 1.0, study_triplets(findings), {}, [], {}
    )


@pytest.fixture(scope="module")
def written() -> list:
    studies = [unrendered(number) for number in range(300)]
    return [(study, write_report(study, number % 3)) for number, study in enumerate(studies)]


def sides_of(anatomy: str) -> set[str]:
    return {"left", "right"} & set(anatomy.split("_")) or {"left", "right"}


def test_claims_are_cut_out_of_a_phrase():
    text, said = parse_claims(
        "A [mass], no [PTX|!pneumothorax@left_pleural+right_pleural], [mets|?lesion].", ("spine",)
    )
    assert text == "A mass, no PTX, mets."
    assert said == [
        ("spine", "mass", PRESENT),
        ("left_pleural", "pneumothorax", ABSENT),
        ("right_pleural", "pneumothorax", ABSENT),
        ("spine", "lesion", UNCERTAIN),
    ]


@pytest.mark.parametrize("phrase", ["A [griffin].", "A [mass|mass@tail].", "A [mass]."])
def test_a_claim_outside_the_vocabulary_is_an_error(phrase):
    with pytest.raises(ValueError, match="not in the vocabulary"):
        parse_claims(phrase, ())


def test_every_kind_has_wordings_that_can_be_said():
    drawn: dict[str, Finding] = {}
    for number in range(800):
        drawn |= {finding.kind: finding for finding in unrendered(number).findings}
    assert set(drawn) == set(CATALOGUE) == set(FINDINGS)
    speaker = _Speaker(np.random.default_rng(0), first=False)
    for kind, wording in FINDINGS.items():
        assert wording.organ in ORGANS and wording.plain
        for wordings in (wording.plain, wording.hedged, wording.short):
            for one in wordings:
                before = len(speaker.said)
                speaker.name(drawn[kind], [one])
                states = {state for *_, state in speaker.said[before:]}
                assert (UNCERTAIN in states) == (wordings is wording.hedged), one
    assert not any(set("{}[]|") & set(text) for text in speaker.text)


def test_sentences_about_health_are_within_the_vocabulary():
    for sentence in [s for health in HEALTH for s in health.sentences] + list(NOTHING_FOUND):
        assert parse_claims(sentence, ())[1] or sentence == "Trachea is midline.", sentence
    for sentences in HEALTHY_SIDE.values():
        assert all(parse_claims(sentence.replace("{other}", "left"), ())[1] for sentence in sentences)
    for sentence in (*DISTRACTORS, *NOTES, *INDICATIONS):
        assert all(pathology in ("degenerative", "clip") for _, pathology, _ in parse_claims(sentence, ())[1])


def test_both_sides_are_named_together():
    finding = Finding("infiltrate", "infiltrate", ("left_lower_lung", "right_lower_lung"), 0.5, {"side": "both"})
    assert set(place_of(finding, np.random.default_rng(0)).states) == {"left_lower_lung", "right_lower_lung"}
    assert all(place.states for place in PLACES)


def test_what_is_said_is_true(written):
    """No finding is made up or put on the other side, no present finding is denied where it is."""
    unseen = {
        "degenerative",
        "clip",
        "intact",
        "expand",
        "tip",
    }  # distractors, and more detail than the truth has words for
    for study, report in written:
        true = {(side, p) for a, p, state in study.triplets if state == PRESENT for side in sides_of(a)}
        kinds = {pathology for _, pathology in true}
        for anatomy, pathology, state in report.said:
            healthy = pathology in ("normal", "unremarkable", "clear", "sharp")
            if state == PRESENT and not healthy:
                assert pathology in kinds | unseen, (pathology, report.text)
            if state != ABSENT and pathology in kinds and not healthy:
                assert sides_of(anatomy) & {side for side, p in true if p == pathology}, (anatomy, pathology)
            if state == ABSENT and len(sides_of(anatomy)) == 1 and not anatomy.endswith("_lung_unspec"):
                assert (*sides_of(anatomy), pathology) not in true, (anatomy, pathology, report.text)
            if state == ABSENT and len(sides_of(anatomy)) == 2:
                assert pathology not in kinds, (anatomy, pathology, report.text)


def test_most_of_what_matters_is_said(written):
    findings = [(f, report) for study, report in written for f in study.findings if f.kind in FINDINGS]
    named = [f.pathology in {p for _, p, state in r.said if state == PRESENT} for f, r in findings if f.severity > 0.6]
    assert np.mean(named) > 0.85
    faint = [f.pathology in {p for _, p, state in r.said if state == PRESENT} for f, r in findings if f.severity < 0.3]
    assert np.mean(faint) < np.mean(named)
    assert np.mean([len(report.said) for _, report in written]) > 8
    assert np.mean([any(state == ABSENT for *_, state in report.said) for _, report in written]) > 0.8


def test_reports_look_like_those_of_the_real_dataset(written):
    texts = [report.text for _, report in written]
    for heading in ("FINAL REPORT", "EXAMINATION:", "INDICATION:", "TECHNIQUE:", "COMPARISON:"):
        assert all(heading in text for text in texts)
    assert np.mean(["FINDINGS:" in text and "IMPRESSION:" in text for text in texts]) > 0.75
    assert all(len(line) <= 80 for text in texts for line in text.splitlines())
    assert len(set(texts)) > 0.99 * len(texts)


def test_a_first_study_is_compared_with_nothing():
    first = " ".join(write_report(unrendered(number), 0).text for number in range(150))
    later = " ".join(write_report(unrendered(number), 1).text for number in range(150))
    assert "again" not in first and "COMPARISON:  None." in first
    assert "again" in later and "COMPARISON:  Chest radiograph ___." in later


def test_the_same_study_gets_the_same_report():
    assert write_report(unrendered(3), 1) == write_report(unrendered(3), 1)
    assert write_report(unrendered(3), 1).text != write_report(unrendered(3), 2).text


def test_the_reader_reads_what_is_said(written):
    both = said = read = 0
    for _, report in written:
        stated = set(report.said)
        triplets = set(surest([(t.anatomy, t.pathology, t.state) for t in read_report(report.text)]))
        both, said, read = both + len(stated & triplets), said + len(stated), read + len(triplets)
    assert both / read >= 0.99
    assert both / said >= 0.98


def test_the_sections_of_a_report_agree_on_how_severe_a_finding_is(written: list) -> None:
    degrees = "|".join(degree for third in DEGREES for degree in third)
    repeated = 0
    for _, report in written:
        for noun in ("edema", "atelectasis", "elevation", "cardiomegaly", "consolidation"):
            called = re.findall(rf"\b({degrees})\s+(?:\w+\s+){{0,3}}{noun}", report.text, flags=re.IGNORECASE)
            assert len({degree.lower() for degree in called}) < 2, report.text
            repeated += len(called) > 1
    assert repeated > 5
