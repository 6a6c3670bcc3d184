"""From text to matched terms: words, sentences, and the longest lexicon term at every word."""

import re
from collections.abc import Iterator

from medslip_core.vocabulary import PRESENT

from .lexicon import Lexicon, Term

_WORD = re.compile(
    r"[a-z]+|[.,;:?!()/<>&]|\d+(?:\.\d+)*|_{2,}"
    r"|\n[^\S\n]*\n|\n[^\S\n]*[-*\u2022]|(?<=\s)-+(?=\s)",  # blank line, bullet, dash
    re.ASCII,
)
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_ENDS = frozenset(".?!\n")
_SPECIAL = _ENDS | {"_", "x"}
Word = tuple[str, int, int]
"""A lower-case word and its characters [start, end) in the report."""

LONGEST_SENTENCE = 200
"""Words after which a sentence is cut: without full stops the rules on a sentence would take quadratic time."""
_PUNCTUATION = {
    ",": Term("comma", None), ";": Term("semicolon", None), ":": Term("verb", None), "/": Term("slash", None),
    "&": Term("and", None), "(": Term("comma", None), ")": Term("comma", None), "-": Term("semicolon", None),
    "--": Term("semicolon", None),
}  # fmt: skip


class Item:
    """One matched term in its sentence, with its characters [start, end) in the report."""

    __slots__ = ("cue", "end", "entry", "group", "kind", "place", "places", "start", "state")

    def __init__(self, term: Term, start: int, end: int) -> None:
        self.kind, self.entry = term.kind, term.entry
        self.start, self.end = start, end
        self.state = PRESENT
        self.cue: Item | None = None
        self.place = None  # of a place, side or level: what it names
        self.group: list = []  # places named together with it
        self.places: list = []  # of a finding: where it lies


def sentences(text: str, start: int, end: int) -> Iterator[list[Word]]:
    """Words of each sentence as (lower-case word, start, end); anonymiser tokens are written `xxxx`."""
    current: list[Word] = []
    for match in _WORD.finditer(text, start, end):
        word = match.group()
        first = word[0]
        if first in _SPECIAL:
            if word == "?" and text[match.end() : match.end() + 1].isalpha():  # "?pneumonia"
                word = "question"
            elif first in _ENDS:
                initial = word == "." and current and len(current[-1][0]) == 1 and current[-1][0].isalpha()
                if current and not initial:
                    yield current
                    current = []
                continue
            elif first == "_" or word.startswith("xxx") and not word.strip("x"):
                word = "xxxx"
        current.append((word, *match.span()))
        if len(current) == LONGEST_SENTENCE:
            yield current
            current = []
    if current:
        yield current


def lower(text: str) -> str:
    """Lower case that keeps every character's position (str.lower may lengthen a text)."""
    return text.translate(_LOWER)


def match_terms(words: list[Word], lexicon: Lexicon) -> list[Item]:
    """The longest term at each word, left to right; words that belong to none are dropped."""
    items: list[Item] = []
    tree, skipped, count = lexicon.tree, lexicon.skipped, len(words)
    position = 0
    while position < count:
        node = tree.get(words[position][0])
        if node is None:
            term = _PUNCTUATION.get(words[position][0])
            if term is not None:
                items.append(Item(term, words[position][1], words[position][2]))
            position += 1
            continue
        term, last, ahead = node.get(""), position, position + 1
        while ahead < count:
            word = words[ahead][0]
            following = node.get(word)
            if following is None:
                if word not in skipped:
                    break
            else:
                node = following
                if "" in node:
                    term, last = node[""], ahead
            ahead += 1
        if term is not None:
            items.append(Item(term, words[position][1], words[last][2]))
        position = last + 1
    return items
