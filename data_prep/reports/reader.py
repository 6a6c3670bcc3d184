"""The reader: report -> mentions -> triplets."""

from dataclasses import dataclass

from medslip_core.vocabulary import PRESENT

from .lexicon import Finding, Lexicon, Zone, load_lexicon
from .places import _SIDED_ZONES, GROUPS, NO_SIDE, Place, link_places, resolve_places
from .scope import assign_states
from .sections import READ_SECTIONS, split_sections
from .words import Item, lower, match_terms, sentences


@dataclass(frozen=True)
class Triplet:
    """One statement: `pathology` is `state` (1 present, 0 absent, -1 uncertain) at `anatomy`, read at text[start:end]."""

    anatomy: str
    pathology: str
    state: int
    start: int
    end: int


@dataclass(frozen=True)
class Mention:
    """A finding as the report names it, before it is folded into the vocabulary."""

    finding: Finding
    state: int
    places: tuple[Place, ...]
    start: int
    end: int


def read_report(text: str, lexicon: Lexicon | None = None) -> list[Triplet]:
    """Triplets of a whole report, in reading order.

    Args:
        text: any text; headings decide what is read (findings, impression and text under no heading).
        lexicon: another lexicon than the package's.
    """
    lexicon = lexicon or load_lexicon()
    triplets: dict[Triplet, None] = {}
    for mention in read_mentions(text, lexicon):
        for anatomy in mention_anatomies(mention, lexicon):
            for pathology in mention.finding.pathologies:
                triplets[Triplet(anatomy, pathology, mention.state, mention.start, mention.end)] = None
    return list(triplets)


def read_mentions(text: str, lexicon: Lexicon | None = None) -> list[Mention]:
    """Findings with their state and places, in reading order."""
    lexicon = lexicon or load_lexicon()
    lowered = lower(text)
    mentions: list[Mention] = []
    for section in split_sections(text):
        if section.kind in READ_SECTIONS:
            for words in sentences(lowered, section.start, section.end):
                mentions += read_sentence(match_terms(words, lexicon), lexicon)
    return mentions


def read_sentence(items: list[Item], lexicon: Lexicon) -> list[Mention]:
    """Mentions of one sentence."""
    if not any(item.kind == "finding" for item in items):
        return []
    assign_states(items)
    resolve_places(items)
    link_places(items, lexicon)
    mentions = []
    for index, item in enumerate(items):
        if item.kind == "finding":
            if item.entry.quality:
                mention = _quality_mention(items, index, lexicon)
                if mention is not None:
                    mentions.append(mention)
                continue
            finding, places = item.entry, [place for _, place in item.places]
            for place in places:
                if place.zone is not None and place.zone.name in finding.becomes:
                    finding = lexicon.findings[finding.becomes[place.zone.name]]
                    break
            mentions.append(Mention(finding, item.state, fit_places(finding, places, lexicon), item.start, item.end))
    return mentions


def _quality_mention(items: list[Item], index: int, lexicon: Lexicon) -> Mention | None:
    """A quality says something only of a place it fits, next to it or as its predicate."""
    quality: Finding = items[index].entry
    for step in (1, -1):
        at = index + step
        while 0 <= at < len(items) and items[at].kind not in ("break", "semicolon", "negation_before", "with"):
            item = items[at]
            if step == 1 and item.kind in ("verb", "comma", "preposition") and not (item.kind == "preposition"):
                break
            if item.kind == "place" and item.entry.name in quality.becomes:
                finding = lexicon.findings[quality.becomes[item.entry.name]]
                places = fit_places(finding, item.places, lexicon)
                return Mention(finding, items[index].state, places, items[index].start, items[index].end)
            if item.kind == "finding" and not item.entry.quality:
                break
            at += step
    return None


def fit_places(finding: Finding, places: list[Place], lexicon: Lexicon) -> tuple[Place, ...]:
    """The said places that this finding can lie in; a place it cannot lie in still gives its side."""
    allowed = GROUPS[finding.group]
    default = lexicon.zones.get(finding.zone)
    fitted: dict[Place, None] = {}
    sides = NO_SIDE
    for place in places:
        if place.zone is not None and (allowed is None or place.zone.name in allowed) and not finding.fixed:
            fitted[place] = None
        elif place.zone is None or place.zone.name in _SIDED_ZONES or place.zone.name == finding.zone:
            sides |= place.sides
    if fitted and sides and not any(place.sides for place in fitted):
        fitted = {Place(place.zone, sides): None for place in fitted}
    return tuple(fitted) or (Place(default, sides),)


def mention_anatomies(mention: Mention, lexicon: Lexicon) -> list[str]:
    """Entries of the vocabulary that a mention's places stand for."""
    names: dict[str, None] = {}
    for place in mention.places:
        zone: Zone | None = place.zone
        if zone is None:
            names["unspecified"] = None
            continue
        rows = zone.anatomies
        for side in sorted(place.sides) or ["none"]:
            for anatomy in rows.get(side, rows["none"]):
                names[anatomy] = None
    return list(names)


STATE_NAMES = {PRESENT: "present", 0: "absent", -1: "uncertain"}
