"""Writes the free-text report of a phantom study, and keeps count of what the text states.

Written from the truth, without telling all of it: faint findings are sometimes doubted or missed, healthy organs
sometimes passed over. What is said of health is always true.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_prep.phantom.catalogue import CATALOGUE
from data_prep.phantom.finding import Finding
from data_prep.phantom.phrases import DEGREES, PLACES, SIZES, Place, Triplet, parse_claims
from data_prep.phantom.population import POPULATIONS
from data_prep.phantom.render import PhantomStudy
from data_prep.phantom.sentences import (
    COMPARED,
    DISTRACTORS,
    FINDINGS,
    HEALTH,
    HEALTHY_SIDE,
    INDICATIONS,
    NOTES,
    NOTHING_FOUND,
    Wording,
)
from medslip_core.vocabulary import ABSENT, PRESENT, UNCERTAIN

ORGANS = ("devices", "lungs", "pleura", "heart", "mediastinum", "bones", "abdomen")
HEALTH_PROB = {"lungs": 0.9, "pleura": 0.9, "heart": 0.85, "mediastinum": 0.65, "bones": 0.6, "abdomen": 0.2}
"""Chance that a healthy organ is spoken of."""

MISS_PROB, DOUBT_PROB = 0.2, 0.3
"""Chances that a barely visible finding is passed over, or only suspected; an obvious one never is."""
DISTRACTOR_PROB = 0.3
NOTE_PROB = 0.1
COMPARED_PROB = 0.35

LINE_WIDTH = 78
_WEIGHT = {ABSENT: 0, UNCERTAIN: 1, PRESENT: 2}


@dataclass(frozen=True)
class Report:
    """A report, and every (anatomy, pathology, state) that its text states; stated twice, the surer one counts."""

    text: str
    said: tuple[Triplet, ...]


def write_report(study: PhantomStudy, study_number: int = 0) -> Report:
    """Write the report of a study; the same study always gets the same one.

    Args:
        study: with its findings; masks are not needed.
        study_number: 0 for the patient's first study; later ones are compared with the one before.
    """
    patient = study.patient
    number = POPULATIONS[patient.population].number
    rng = np.random.default_rng([19, number, patient.seed, patient.number, study_number])
    findings = _Speaker(rng, first=study_number == 0)
    impression = _Speaker(rng, first=study_number == 0, measured=findings.measured)
    told = _chosen(study.findings, rng)
    for organ in ORGANS:
        for one in told:
            if one.wording.organ == organ:
                findings.name(
                    one.finding,
                    one.wording.hedged if one.doubted else one.wording.plain,
                    compared=bool(one.wording.short),
                )
        _say_healthy(findings, organ, study.findings)
    if rng.random() < DISTRACTOR_PROB:
        findings.say(findings.one_of(DISTRACTORS))
    _conclude(impression, told, study.findings)
    style = rng.random()
    if style < 0.07:  # one section holds all
        sections = {"IMPRESSION": findings}
    elif style < 0.14:
        sections = {"FINDINGS": findings}
    else:
        sections = {"FINDINGS": findings, "IMPRESSION": impression}
    said = [triplet for speaker in sections.values() for triplet in speaker.said]
    return Report(_laid_out(study, study_number, sections, rng), surest(said))


@dataclass(frozen=True)
class _Told:
    """A finding that the report speaks of."""

    finding: Finding
    doubted: bool

    @property
    def wording(self) -> Wording:
        return FINDINGS[self.finding.kind]


class _Speaker:
    """Collects the sentences of one section and what they state.

    Attributes:
        measured: kind of finding -> how large or severe it was called, which another section has to repeat.
    """

    def __init__(
        self, rng: np.random.Generator, first: bool, measured: dict[str, dict[str, str]] | None = None
    ) -> None:
        self.rng, self.first, self.measured = rng, first, {} if measured is None else measured
        self.text: list[str] = []
        self.said: list[Triplet] = []

    def one_of(self, choices: Sequence):
        return choices[int(self.rng.integers(len(choices)))]

    def say(self, phrase: str, at: tuple[str, ...] = ()) -> None:
        plain, said = parse_claims(phrase, at)
        self.text.append(plain)
        self.said += said

    def name(self, finding: Finding, wordings: Sequence[str], compared: bool = False) -> None:
        """Say one of the wordings of a finding, its slots filled; "again" and comparisons need a study before."""
        wordings = [wording for wording in wordings if not self.first or not {"again", "prior"} & set(wording.split())]
        place, third, side = place_of(finding, self.rng), min(2, int(3 * finding.severity)), finding.attributes["side"]
        measured = {
            "size": self.one_of(SIZES[third]),
            "degree": self.one_of(DEGREES[third]),
            "carina": f"{self.rng.uniform(2, 6):.1f}",
        }
        slots = self.measured.setdefault(finding.kind, measured) | {
            "at": place.before,
            "in": place.within,
            "side": "bilateral" if side == "both" else side,
            "angles": "+".join(f"{one}_costophrenic" for one in sorted(finding.sides)),
            "mm": f"{finding.attributes.get('size_mm', 0):.0f}",
        }
        slots |= {slot.capitalize(): words.capitalize() for slot, words in slots.items()}
        phrase = self.one_of(wordings).format(**slots)
        if compared and not self.first and "again" not in phrase and self.rng.random() < COMPARED_PROB:
            phrase = phrase.removesuffix(".") + self.one_of(COMPARED[CATALOGUE[finding.kind].chronic])
        self.say(phrase, place.states)


def _chosen(findings: Sequence[Finding], rng: np.random.Generator) -> list[_Told]:
    """What the report speaks of: the fainter a finding, the more likely it is passed over or only suspected."""
    told = []
    for finding in _merged(findings):
        missed, doubted = rng.random(2) < np.array([MISS_PROB, DOUBT_PROB]) * (1 - finding.severity)
        if not missed:
            told.append(_Told(finding, bool(doubted) and bool(FINDINGS[finding.kind].hedged)))
    return told


def place_of(finding: Finding, rng: np.random.Generator) -> Place:
    """One of the names of the place where a finding lies; both sides together when it lies on both."""
    names = [place for place in PLACES if place.needs <= set(finding.anatomies)]
    if any(len(place.needs) == 2 for place in names):
        names = [place for place in names if len(place.needs) == 2]
    if not names:
        return Place("", "", frozenset(), finding.anatomies)
    return names[int(rng.integers(len(names)))]


def _merged(findings: Sequence[Finding]) -> list[Finding]:
    """Every kind once: a second finding of a kind adds its places and its side to the first."""
    merged: dict[str, Finding] = {}
    for finding in findings:
        before = merged.get(finding.kind)
        if before:
            side = before.attributes["side"]
            side = side if side == finding.attributes["side"] else "both"
            anatomies = tuple(dict.fromkeys(before.anatomies + finding.anatomies))
            finding = replace(before, anatomies=anatomies, attributes=before.attributes | {"side": side})
        merged[finding.kind] = finding
    return list(merged.values())


def _say_healthy(speaker: _Speaker, organ: str, findings: Sequence[Finding]) -> None:
    """Speak of what is healthy in an organ, as far as that is true of all findings, told or not."""
    troubled = {finding.kind for finding in findings} | {FINDINGS[finding.kind].organ for finding in findings}
    spoken: set[tuple[str, str]] = set()
    for health in HEALTH:
        if health.organ != organ or troubled & set(health.unless) or speaker.rng.random() > HEALTH_PROB[organ]:
            continue
        sentence = speaker.one_of(health.sentences)
        pairs = {(anatomy, pathology) for anatomy, pathology, _ in parse_claims(sentence, ())[1]}
        if not pairs & spoken:
            speaker.say(sentence)
            spoken |= pairs
    for key, sentences in HEALTHY_SIDE.items():
        sides = {f.attributes["side"] for f in findings if key in (f.kind, FINDINGS[f.kind].organ)}
        ill_elsewhere = key == "lungs" and any(FINDINGS[f.kind].organ == "pleura" for f in findings)
        here = organ == (key if key == "lungs" else "pleura")
        if here and len(sides) == 1 and not ill_elsewhere and speaker.rng.random() < 0.4:
            other = {"left": "right", "right": "left"}.get(sides.pop())
            if other:
                speaker.say(speaker.one_of(sentences).replace("{other}", other))


def _conclude(speaker: _Speaker, told: list[_Told], findings: Sequence[Finding]) -> None:
    """The impression: the most obvious findings in short, or that there is nothing."""
    worth = sorted((one for one in told if one.wording.short), key=lambda one: -one.finding.severity)
    for one in worth[: speaker.one_of((2, 3, 4))]:
        speaker.name(one.finding, one.wording.hedged if one.doubted else one.wording.short)
    if not any(FINDINGS[finding.kind].short for finding in findings):
        speaker.say(speaker.one_of(NOTHING_FOUND))
    elif not worth:
        speaker.say("No significant interval change.")
    if speaker.rng.random() < NOTE_PROB:
        speaker.say(speaker.one_of(NOTES))


def surest(said: Sequence[Triplet]) -> tuple[Triplet, ...]:
    """Every (anatomy, pathology) once: present before uncertain before absent."""
    states: dict[tuple[str, str], int] = {}
    for anatomy, pathology, state in said:
        before = states.get((anatomy, pathology), ABSENT)
        states[anatomy, pathology] = max(before, state, key=_WEIGHT.__getitem__)
    return tuple((anatomy, pathology, state) for (anatomy, pathology), state in states.items())


def _laid_out(study: PhantomStudy, study_number: int, sections: dict[str, _Speaker], rng: np.random.Generator) -> str:
    """The report's text in the form of MIMIC-CXR: anonymised, indented by a blank, lines wrapped."""
    sex = {"F": "woman", "M": "man"}[study.sex]
    indication = INDICATIONS[int(rng.integers(len(INDICATIONS)))].format(age="___ year old", sex=sex)
    parts = {
        "EXAMINATION": "CHEST (PA AND LAT)" if study.view == "PA" else "CHEST (PORTABLE AP)",
        "INDICATION": indication,
        "TECHNIQUE": "Chest PA and lateral" if study.view == "PA" else "Portable AP chest",
        "COMPARISON": "Chest radiograph ___." if study_number else "None.",
    }
    blocks = [textwrap.fill(f"{name}:  {text}", LINE_WIDTH, subsequent_indent=" ") for name, text in parts.items()]
    for name, speaker in sections.items():
        numbered = name == "IMPRESSION" and len(sections) > 1 and len(speaker.text) > 1
        lines = [f"{n}. {text}" for n, text in enumerate(speaker.text, 1)] if numbered else [" ".join(speaker.text)]
        body = "\n \n ".join(textwrap.fill(line, LINE_WIDTH, subsequent_indent=" ") for line in lines)
        blocks.append(f"{name}:\n \n {body}")
    return f"{'FINAL REPORT':>{LINE_WIDTH // 2 + 6}}\n " + "\n \n ".join(blocks) + "\n"
