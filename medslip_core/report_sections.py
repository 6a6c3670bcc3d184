"""Sections of a report: which stretch of text is findings or impression, and which only says why the image was taken.

Headings are known by name, with a colon, with a dash and a blank, or alone on their line, in any case; in capitals also
inside a line, as lines are often joined where reports were put into a table. What stands under no heading is body text
and is read; so is a new paragraph after a section that is not read, since many reports give their findings no heading.
`data_prep.reports` reads triplets in these sections, the contrasted models the sentences that state them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

READ_SECTIONS = frozenset({"findings", "impression", "body"})

_VIEW = (
    "(?:frontal|lateral|portable|upright|supine|ap|pa|single|one|two|views?|radiographs?|x-?rays?|films?|and|of|the)"
)
_HEADINGS = {
    "findings": "findings?|report|description|radiographic findings|observations?|addendum"
    rf"|(?:{_VIEW}[ ,]+){{0,8}}chest(?:[ ,]+{_VIEW}){{0,8}}",
    "impression": "impressions?|conclusions?|summary|opinion|interpretation|diagnosis|assessment|wet read",
    "indication": "(?:indications?|reason)(?: for (?:the |this )?(?:exam|examination|study|test))?"
    "|clinical (?:indications?|history|information|data|details|statement)|(?:patient |past medical )?history"
    "|(?:signs and )?symptoms?|(?:underlying )?medical condition|(?:admitting|preoperative) diagnosis",
    "comparison": "comparisons?|compared to|prior"
    "|(?:comparison|reference|prior) (?:exams?|examinations?|films?|study|studies)",
    "technique": "techniques?|(?:type of )?(?:exams?|examinations?)|study|procedures?|views?|exposure|contrast",
    "other": r"recommendation(?:s|\(s\))?|notifications?|attestation|dictated by|(?:electronically )?signed(?: by)?"
    "|date|mrn|patient(?: name| id)?|name|accession(?: number)?|referring physician|final report|preliminary report",
}
_KINDS = "|".join(f"(?P<{kind}>{names})" for kind, names in _HEADINGS.items())
_NAME = rf"(?:final )?(?:{_KINDS})(?:(?: and | ?[/&] ?)[a-z]{{4,20}})?"
_BEFORE_COLON = re.compile(rf"(?:^[ \t*#]*|[.;:]\s|\s\s)({_NAME})[ \t*]{{0,4}}$", re.IGNORECASE)
_AFTER_BLANK = re.compile(rf"(?:^|\s)({_NAME})[ \t*]{{0,4}}$", re.IGNORECASE)
_ALONE = re.compile(rf"[ \t*#]*({_NAME})[ \t*\r]*", re.IGNORECASE)
_END_OF_HEADING = re.compile(r":|[-–—](?=[ \t])|\n|$")
_LONGEST_HEADING = 72
_PARAGRAPH = re.compile(r"\S[^\S\n]*\n[^\S\n]*\n")


@dataclass(frozen=True)
class Section:
    """`kind` is one of findings, impression, body, indication, comparison, technique, other."""

    kind: str
    start: int
    end: int


def split_sections(text: str) -> list[Section]:
    """Cut a report at its headings. Sections come in order and cover all text but the headings."""
    sections: list[Section] = []
    kind, start = "body", 0
    for heading in [*_headings(text), Section("", len(text), len(text))]:
        paragraph = None if kind in READ_SECTIONS else _PARAGRAPH.search(text, start, heading.start)
        if paragraph:
            sections.append(Section(kind, start, paragraph.end()))
            kind, start = "body", paragraph.end()
        sections.append(Section(kind, start, heading.start))
        kind, start = heading.kind, heading.end
    return [section for section in sections if section.end > section.start]


def says_nothing(text: str) -> bool:
    """Whether a report has no word of what was seen: it is empty, or tells only why the image was taken."""
    return not any(text[one.start : one.end].strip() for one in split_sections(text) if one.kind in READ_SECTIONS)


def _headings(text: str) -> Iterator[Section]:
    """Headings as sections of their own. Only what stands before a mark or a line end is compared with the names."""
    line_start, capitals_tell = 0, not text.isupper()
    for mark in _END_OF_HEADING.finditer(text):
        end = mark.start()
        start = max(line_start, end - _LONGEST_HEADING)
        if mark.group() not in ("\n", ""):
            found = _BEFORE_COLON.search(text[start:end])
            if not found and (inside := capitals_tell and _AFTER_BLANK.search(text[start:end])):
                found = inside if inside.group(1).isupper() else None
        else:
            found = _ALONE.fullmatch(text[start:end]) if start == line_start else None
            line_start = mark.end()
        if found:
            kind = next(name for name, words in found.groupdict().items() if words)
            yield Section(kind, start + found.start(1), mark.end())
