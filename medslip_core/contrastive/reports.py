"""Sentences of reports, as the contrasted models read them."""

from __future__ import annotations

import re

import numpy as np

from medslip_core.corpus import PreparedCorpus
from medslip_core.randomness import random_bits
from medslip_core.report_sections import split_sections

_SENTENCE = re.compile(r"(?:[^.!?\n]|[.!?](?!\s|$)|\n(?!\s*\n))+")
_SIDE = re.compile(
    r"\b(?:(left|right)(?![ -](?:atri|ventric))|([lr])t\b|([LR])(?=[UL]L\b|-sided\b|/[LR]\b)|([LR])(?![\w/-]))",
    re.IGNORECASE,
)
_OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}
_ONE_SIDED = re.compile(r"\b(?:middle lobe|RML|lingular?)\b", re.IGNORECASE)


class ReportSentences:
    """The sentences of a corpus's reports from which a triplet was read.

    So names and why the image was taken are left out, and all models learn from the same statements. Headings are left
    out where the reader of the triplets knows them too (`report_sections`).

    Args:
        corpus: with reports and triplets of the source "report".
    """

    def __init__(self, corpus: PreparedCorpus) -> None:
        triplets = corpus.triplets[corpus.triplets["source"] == "report"]
        self.corpus = corpus
        self._spans = triplets[["start", "end"]].to_numpy(np.int64)  # [T, 2]
        self._first = np.searchsorted(triplets["row"].to_numpy(), np.arange(len(corpus) + 1))

    def of(self, row: int) -> list[str]:
        """The sentences of a row, in order; empty if it has none."""
        start, end = self._spans[self._first[row] : self._first[row + 1]].T
        report = self.corpus.report(row) or ""
        found = []
        for section in split_sections(report):
            for match in _SENTENCE.finditer(report, section.start, section.end):
                text = " ".join(match.group().split())
                if text and ((start < match.end()) & (end > match.start())).any():
                    found.append(f"{text}.")
        return found


def with_sides_swapped(sentence: str) -> str:
    """What the sentence says of the mirror image: left and right swapped, but in the names of chambers of the heart."""

    def other(match: re.Match) -> str:
        said = next(filter(None, match.groups()))
        swapped = _OTHER[said.lower()]
        return match.group().replace(said, swapped.capitalize() if said[0].isupper() else swapped)

    return _SIDE.sub(other, sentence)


def mirrored(sentences: list[str]) -> list[str]:
    """What is said of the mirror image; nothing of the middle lobe and the lingula, which have no counterpart."""
    return [with_sides_swapped(sentence) for sentence in sentences if not _ONE_SIDED.search(sentence)]


def one_sentence(sentences: list[str], seed: int, *counters: int) -> list[str]:
    """One of them, drawn from (seed, counters)."""
    if not sentences:
        return []
    return [sentences[int(random_bits(seed, "sentence", *counters) % np.uint64(len(sentences)))]]


def shuffled(sentences: list[str], seed: int, *counters: int) -> list[str]:
    """All of them, in an order drawn from (seed, counters)."""
    keys = random_bits(seed, "sentence", *counters, np.arange(len(sentences)))
    return [sentences[number] for number in np.argsort(keys, kind="stable")]
