"""A report as a piece of a page: what was read, coloured by state, with the anatomy it lies at.

Works in light and dark pages and in print: the state is also a sign, and colours are transparent over any ground.
"""

import html
import re

from data_prep.reports.reader import Mention, mention_anatomies
from medslip_core.vocabulary import ABSENT, PRESENT, UNCERTAIN

_LOOK = {  # state -> sign, word, colour
    PRESENT: ("+", "present", "214, 39, 40"),
    ABSENT: ("−", "absent", "31, 119, 180"),
    UNCERTAIN: ("?", "uncertain", "255, 160, 0"),
}

_WRAP = re.compile(r"(?<=\S)\n(?=[^\S\n]*(?![A-Z][A-Z ]*:)\S)")
"""Where a line was wrapped inside a paragraph: the next one is neither empty nor a heading."""


def report_html(text: str, mentions: list[Mention]) -> str:
    """The report with every mention marked: its words on the colour of its state, its anatomies after it in small.

    Where the words are not those of the vocabulary, an arrow leads to what they mean: "cystic fibrosis → disease".

    Args:
        text: the report.
        mentions: as read from this very text; what decided the state of any of them is underlined.
    """
    text = _WRAP.sub(" ", text)  # as long as before; with the marks, lines end elsewhere
    marks = {(mention.start, mention.end): mention for mention in mentions}
    cues = {mention.cue for mention in mentions if mention.cue}
    pieces, position = [], 0
    for start, end in sorted({*marks, *cues}):
        if start < position:
            continue
        pieces.append(html.escape(text[position:start]))
        words = html.escape(text[start:end])
        pieces.append(_marked(words, marks[start, end]) if (start, end) in marks else f"<u>{words}</u>")
        position = end
    pieces.append(html.escape(text[position:]))
    legend = " ".join(_chip(state, word) for state, (_, word, _) in _LOOK.items())
    return (
        f'<p style="margin:0.3rem 0">{legend} <u>what decided it</u></p>'
        f'<div style="white-space:pre-wrap;line-height:1.9;overflow-wrap:anywhere">{"".join(pieces)}</div>'
    )


def _marked(words: str, mention: Mention) -> str:
    where = ", ".join(anatomy.replace("_", " ") for anatomy in mention_anatomies(mention))
    meant = [pathology.replace("_", " ") for pathology in mention.finding.pathologies]
    unsaid = not all(pathology in words.lower() for pathology in meant)
    arrow = f"<small> → {html.escape(', '.join(meant))}</small>" if unsaid else ""
    return f'{_chip(mention.state, words, arrow)}<small style="opacity:0.75"> {html.escape(where)}</small>'


def _chip(state: int, words: str, meaning: str = "") -> str:
    sign, word, colour = _LOOK[state]
    style = f"background:rgba({colour},0.22);border-bottom:2px solid rgb({colour});padding:0 0.15em;border-radius:2px"
    return f'<span style="{style}" aria-label="{word}">{words}{meaning}<sup>{sign}</sup></span>'
