"""From text to matched terms: words, sentences, and the longest lexicon term at every word."""

import re
from collections.abc import Iterator

from data_prep.reports.lexicon import Lexicon, Term
from medslip_core.vocabulary import PRESENT

_WORD = re.compile(
    r"[a-z]+|\(?\b\d{1,2}\)|[.,;:?!()/<>&]|\d+(?:\.\d+)*|_{2,}|\n|(?<=\s)[-\u2013\u2014]+(?=\s)|\u2014",
    re.ASCII,
)
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_SPECIAL = frozenset(".?!\n_x")
_NEXT_LINE = re.compile(r"[^\S\n]*(\S)")  # fails on a blank line
_BULLETS = frozenset("-*\u2022")
_ABBREVIATIONS = frozenset({"vs", "approx", "dr", "rt", "lt", "poss", "prob", "incl"})
WRAPPED_LINE_CHARACTERS = 45
"""A line shorter than this was not broken by wrapping."""
Word = tuple[str, int, int]
"""A lower-case word and its characters [start, end) in the report."""

LONGEST_SENTENCE = 200
"""Words after which a sentence is cut: without full stops the rules on a sentence would take quadratic time."""
_PUNCTUATION = {
    ",": Term("comma", None), ";": Term("semicolon", None), ":": Term("verb", None), "/": Term("slash", None),
    "&": Term("and", None), "(": Term("comma", None), ")": Term("comma", None), "-": Term("semicolon", None),
    "--": Term("semicolon", None), "\u2013": Term("semicolon", None), "\u2014": Term("semicolon", None),
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
    """Words of each sentence in text[start:end]; anonymiser tokens are written `xxxx`.

    A sentence ends at its full stop, before a numbered or dashed item, at a blank line, and at a line end that no
    wrapping explains: after a short line, before a capital letter.
    """
    current: list[Word] = []
    line_start = start
    for match in _WORD.finditer(lower(text[start:end])):
        word, word_start, word_end = match.group(), start + match.start(), start + match.end()
        first = word[0]
        if first in _SPECIAL or word[-1] == ")" and len(word) > 1:
            if first == "\n":
                ends = _ends_sentence(text, line_start, word_start, end)
                line_start = word_end
            elif word == "?" and (not current or text[word_end : word_end + 1].isalpha()):  # "?pneumonia"
                word, ends = "question", False
            elif word == ".":
                before = current[-1][0] if current else ""
                ends = before not in _ABBREVIATIONS and not (len(before) == 1 and before.isalpha())
            elif first == "_" or word.startswith("xxx") and not word.strip("x"):
                word, ends = "xxxx", False
            else:
                ends = first != "x"
            if ends and current:
                yield current
                current = []
            if ends or word in ".\n":
                continue
        current.append((word, word_start, word_end))
        if len(current) == LONGEST_SENTENCE:
            yield current
            current = []
    if current:
        yield current


def _ends_sentence(text: str, line_start: int, line_end: int, end: int) -> bool:
    following = _NEXT_LINE.match(text, line_end + 1, end)
    if following is None or following.group(1) in _BULLETS:
        return True
    return line_end - line_start < WRAPPED_LINE_CHARACTERS and not following.group(1).islower()


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
