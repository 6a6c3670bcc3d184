"""Sections of a report: which stretch of text is findings or impression, and which only says why the image was taken.

Headings are known by name, with a colon or alone on their line, in any case. What stands under no heading is body
text and is read; so is a new paragraph after a section that is not read, since many reports give their findings no
heading.
"""

import re
from dataclasses import dataclass

READ_SECTIONS = frozenset({"findings", "impression", "body"})

_HEADINGS = {
    "findings": "findings?|report|description|chest|radiographic findings|observations?|addendum",
    "impression": "impressions?|conclusions?|summary|opinion|interpretation|diagnosis|assessment|wet read",
    "indication": "indications?|clinical (?:indications?|history|information|data|details)|history|symptoms?"
    "|reason for (?:exam|examination|study|test|this examination)|medical condition|clinical statement",
    "comparison": "comparisons?|compared to|comparison studies|prior studies|prior",
    "technique": "techniques?|exams?|examinations?|study|procedures?|views?|exposure|contrast",
    "other": "recommendations?|notifications?|attestation|dictated by|(?:electronically )?signed(?: by)?|date|mrn"
    "|patient(?: name| id)?|name|accession(?: number)?|referring physician|final report|preliminary report",
}
_NAMES = "|".join(f"(?P<{kind}>{names})" for kind, names in _HEADINGS.items())
_HEADING = re.compile(
    rf"(?:(?<=\n)|(?<=^)|(?<=[.;:]\s)|(?<=\s\s))[ \t*#]{{0,8}}(?:final )?(?:{_NAMES})"
    r"(?:(?: and | ?[/&] ?)[a-z]{4,20})?[ \t*]{0,4}(?::|(?=\r?\n|$))",
    re.IGNORECASE,
)
_PARAGRAPH = re.compile(r"\S[^\S\n]*\n[^\S\n]*\n")


@dataclass(frozen=True)
class Section:
    """`kind` is one of findings, impression, body, indication, comparison, technique, other."""

    kind: str
    start: int
    end: int


def split_sections(text: str) -> list[Section]:
    """Cut a report at its headings. Sections come in order and cover all text but the headings."""
    found = [found for found in _HEADING.finditer(text) if found.group().endswith(":") or _own_line(text, found)]
    sections = [Section("body", 0, found[0].start() if found else len(text))]
    for heading, following in zip(found, [*found[1:], None], strict=False):
        end = following.start() if following else len(text)
        kind = heading.lastgroup or "other"
        paragraph = None if kind in READ_SECTIONS else _PARAGRAPH.search(text, heading.end(), end)
        if paragraph:
            sections.append(Section(kind, heading.end(), paragraph.end()))
            sections.append(Section("body", paragraph.end(), end))
        else:
            sections.append(Section(kind, heading.end(), end))
    return [section for section in sections if section.end > section.start]


def _own_line(text: str, heading: re.Match[str]) -> bool:
    return heading.start() == 0 or text[heading.start() - 1] == "\n"
