"""The reader: report -> mentions -> triplets."""

from dataclasses import dataclass, replace

from data_prep.reports.lexicon import Finding, Lexicon, load_lexicon
from data_prep.reports.places import SIDES, Place, link_places
from data_prep.reports.scope import assign_states
from data_prep.reports.words import Item, Word, match_terms, sentences
from medslip_core.report_sections import READ_SECTIONS, Section, split_sections
from medslip_core.vocabulary import ABSENT, PRESENT

_AHEAD = frozenset("break semicolon there finding verb shows comma with quality".split())
_BEHIND = frozenset("break semicolon there finding with negation_before".split())


@dataclass(frozen=True)
class Triplet:
    """`pathology` is `state` (1 present, 0 absent, -1 uncertain) at `anatomy`, as read at text[start:end]."""

    anatomy: str
    pathology: str
    state: int
    start: int
    end: int


@dataclass(frozen=True)
class Mention:
    """A finding as the report names it, before it is folded into the vocabulary; `cue` spans what decided its state."""

    finding: Finding
    state: int
    places: tuple[Place, ...]
    start: int
    end: int
    cue: tuple[int, int] | None
    cue_kind: str | None


def read_report(text: str) -> list[Triplet]:
    """Triplets of a whole report, in reading order.

    Args:
        text: any text; headings decide what is read (findings, impression and text under no heading).
    """
    return mention_triplets(read_mentions(text))


def mention_triplets(mentions: list[Mention]) -> list[Triplet]:
    """Mentions folded into the vocabulary, each statement once per span."""
    triplets: dict[Triplet, None] = {}
    for mention in mentions:
        for anatomy in mention_anatomies(mention):
            for pathology in mention.finding.pathologies:
                triplets[Triplet(anatomy, pathology, mention.state, mention.start, mention.end)] = None
    return list(triplets)


def read_mentions(text: str, whole: bool = False) -> list[Mention]:
    """Findings with their state and places, in reading order.

    Args:
        text: any text.
        whole: read all of the text, as one section; for a text that is known to be findings or impression.
    """
    lexicon = load_lexicon()
    mentions: list[Mention] = []
    for section in [Section("body", 0, len(text))] if whole else split_sections(text):
        if section.kind not in READ_SECTIONS:
            continue
        in_chest = True
        for words in sentences(text, section.start, section.end):
            vocabulary = {word for word, _, _ in words}
            in_chest = _in_chest(words, vocabulary, in_chest, lexicon.parts)
            if not in_chest:
                continue
            before = _last_places(mentions) if _goes_on(words, vocabulary, lexicon.anaphora) else ()
            mentions += read_sentence(match_terms(words, lexicon), lexicon, before)
    return mentions


def _goes_on(words: list[Word], vocabulary: set[str], anaphora: dict[str, frozenset[str]]) -> bool:
    """Whether a sentence goes on about the last finding: "The appearance suggests ...", "There is associated ..."."""
    first = words[1][0] if words[0][0] == "the" and len(words) > 1 else words[0][0]
    return first in anaphora["first"] or not vocabulary.isdisjoint(anaphora["anywhere"])


def _last_places(mentions: list[Mention]) -> tuple[Place, ...]:
    for mention in reversed(mentions):
        if not mention.finding.normal:
            places = mention.places if mention.state != ABSENT else ()
            return tuple(place if place.said else Place(None, place.sides) for place in places)
    return ()


def _in_chest(words: list[Word], vocabulary: set[str], before: bool, parts: dict[str, frozenset[str]]) -> bool:
    """Whether a sentence speaks of the chest: reports of several examinations head each with its part of the body."""
    if not before and not vocabulary.isdisjoint(parts["proof"]):
        return True
    head = []
    for word, _, _ in words:
        if word == ":":
            break
        if word not in parts["heading"]:
            return before
        head.append(word)
    if not parts["chest"].isdisjoint(head):
        return True
    return before and parts["other"].isdisjoint(head)


def read_sentence(items: list[Item], lexicon: Lexicon, before: tuple[Place, ...] = ()) -> list[Mention]:
    """Mentions of one sentence.

    Args:
        items: the sentence's matched terms.
        lexicon: that they were matched with.
        before: where the last finding lies, if the sentence goes on about that ("this may represent ...").
    """
    if not any(item.kind in ("finding", "quality") for item in items):
        return []
    assign_states(items)
    _settle_qualities(items, lexicon)
    link_places(items)
    mentions = []
    sides: frozenset[str] = frozenset()  # of the last finding in the same statement, for those that name none
    for item in items:
        if item.kind in ("break", "there", "semicolon"):
            sides = frozenset()
        if item.kind != "finding":
            continue
        finding = turned(item.entry, item.places, lexicon)
        there = item.places or (list(before) if finding.zone in ("somewhere_in_lung", "pleura") else [])
        places = fit_places(finding, there, lexicon, plural=item.state == PRESENT)
        if not finding.normal and item.state != ABSENT:
            said = frozenset(side for place in places for side in place.sides)
            if sides and not said and all(place.zone is None or place.zone.sided for place in places):
                places = tuple(Place(place.zone, sides, place.said) for place in places)
            sides = said or sides
        cue = (item.cue.start, item.cue.end) if item.cue else None
        cue_kind = item.cue.kind if item.cue else None
        mentions.append(Mention(finding, item.state, places, item.start, item.end, cue, cue_kind))
    return mentions


def _settle_qualities(items: list[Item], lexicon: Lexicon) -> None:
    """Turn a quality into the finding that it makes of the next place, or of its subject ("low" at lung volumes)."""
    for index, item in enumerate(items):
        if item.kind != "quality":
            continue
        for step, stops in ((1, _AHEAD), (-1, _BEHIND)):
            at = index + step
            while 0 <= at < len(items) and items[at].kind not in stops:
                if items[at].kind == "place" and items[at].entry.name in item.entry.becomes:
                    item.kind, item.entry = "finding", lexicon.findings[item.entry.becomes[items[at].entry.name]]
                    break
                at += step
            if item.kind == "finding":
                break


def turned(finding: Finding, places: list[Place], lexicon: Lexicon) -> Finding:
    """What a finding becomes at these places ("enlarged" at the heart: cardiomegaly), or itself."""
    for place in places:
        if place.zone is not None and place.zone.name in finding.becomes:
            return lexicon.findings[finding.becomes[place.zone.name]]
    return finding


def fit_places(finding: Finding, places: list[Place], lexicon: Lexicon, plural: bool = False) -> tuple[Place, ...]:
    """The places of those said that this finding can lie in; from one where it cannot lie, the side is kept.

    Args:
        finding: with its zones.
        places: said of it.
        lexicon: for the finding's own zone, taken when no place fits.
        plural: whether a plural that names no side ("pleural effusions") means both.
    """
    fitted: dict[Place, None] = {}
    sides: frozenset[str] = frozenset()
    for place in places:
        if place.zone is None:
            sides |= place.sides
        elif finding.zones is None or place.zone.name in finding.zones:
            fitted[place] = None
        elif place.zone.sided:
            sides |= place.sides
    if finding.names_place and fitted and all(place.zone.name != finding.zone for place in fitted):
        fitted[Place(lexicon.zones[finding.zone])] = None
    if not fitted:
        if plural and not sides:
            sides = SIDES.get(finding.side, sides)
        zone = lexicon.zones.get(finding.zone)
        return (Place(zone, sides if zone is None or zone.sided else frozenset(), said=finding.names_place),)
    said = {place.sides for place in fitted if place.sides} or {sides}
    if len(said) == 1:  # "in the upper lobe of the right lung"
        (only,) = said
        fitted = {replace(place, sides=place.sides or only): None for place in fitted}
    return tuple(fitted)


def mention_anatomies(mention: Mention) -> list[str]:
    """Entries of the vocabulary that a mention's places stand for."""
    return list(dict.fromkeys(anatomy for place in mention.places for anatomy in place_anatomies(place)))


def place_anatomies(place: Place) -> list[str]:
    """Entries of the vocabulary that one place stands for."""
    if place.zone is None:
        return ["unspecified"]
    rows = place.zone.anatomies
    return [anatomy for side in sorted(place.sides) or ["none"] for anatomy in rows.get(side, rows["none"])]
