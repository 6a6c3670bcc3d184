"""Where a finding lies: places and sides of a sentence, tied to the findings they belong to.

Places joined by "and", commas or "greater than" form one group. A group just before a finding ("left basilar
atelectasis") or its subject ("the lungs are hyperinflated") belongs to what follows; after a preposition ("opacity in
the right base") to what precedes. Findings in one list share the place of their neighbour.
"""

from dataclasses import dataclass

from .lexicon import Zone
from .words import Item

_NO_SIDE: frozenset[str] = frozenset()
_SIDES = {"left": frozenset({"left"}), "right": frozenset({"right"}), "both": frozenset({"left", "right"})}
_JOINTS = frozenset({"and", "or", "slash", "comma", "greater"})
_PASSED_OVER = frozenset({"presence", "lasting", "filler", "trap", "quality", "likely", "hedge_word", "elsewhere"})


@dataclass(frozen=True)
class Place:
    """A zone of the lexicon (None: only a side is known), the sides said, and whether the report says it at all."""

    zone: Zone | None
    sides: frozenset[str] = _NO_SIDE
    said: bool = True


@dataclass
class _Group:
    """Joined places of one sentence: items[first:last + 1]."""

    first: int
    last: int
    members: list[int]


def link_places(items: list[Item]) -> None:
    """Set `places` of every finding of one sentence."""
    groups = _groups(items)
    for group in groups:
        _resolve_sides(items, group)
    findings = [index for index, item in enumerate(items) if item.kind == "finding"]
    for group in groups:
        _attach(items, group, findings)
    for order in range(len(findings)):
        if not items[findings[order]].places:
            _share(items, findings, order)


def _groups(items: list[Item]) -> list[_Group]:
    groups: list[_Group] = []
    for index, item in enumerate(items):
        if item.kind not in ("place", "side", "level"):
            continue
        if groups:
            between = [other.kind for other in items[groups[-1].last + 1 : index]]
            if all(kind in _JOINTS or kind in _PASSED_OVER for kind in between):
                groups[-1].last = index
                groups[-1].members.append(index)
                continue
        groups.append(_Group(index, index, [index]))
    return groups


def _resolve_sides(items: list[Item], group: _Group) -> None:
    """Give every member of a group its `Place`: sides go on to the places after them, levels take the next noun."""
    side, fresh, compared = _NO_SIDE, False, False
    previous = group.first
    for index in group.members:
        item = items[index]
        between = [other.kind for other in items[previous + 1 : index]]
        compared = compared or "greater" in between
        if "comma" in between and not {"and", "or", "greater"} & set(between):
            side, fresh = _NO_SIDE, False
        previous = index
        if item.kind == "side":
            joined = fresh and bool(between) and index != group.first
            side = side | _SIDES[item.entry] if compared or joined else _SIDES[item.entry]
            fresh = True
            item.place = Place(None, side)
            continue
        zone = item.entry if item.kind == "place" else _level_zone(items, group, index)
        if zone is None:
            item.place = None
            continue
        own = _SIDES[zone.side] if zone.side else _SIDES["both"] if zone.both else _NO_SIDE
        said = side if fresh or not zone.side else own
        item.place = Place(zone, said or own)
        fresh = fresh and zone.name not in ("lung", "chest")
    _drop_bare_sides(items, group)


def _level_zone(items: list[Item], group: _Group, index: int) -> Zone | None:
    """The zone of a lone "upper", "mid" or "lower": that of the noun of the next place in the group."""
    for other in group.members:
        if other > index and items[other].kind == "place":
            noun = "lobe" if items[other].entry.name.endswith("lobe") else "lung"
            return items[index].entry.get(noun)
    return None


def _drop_bare_sides(items: list[Item], group: _Group) -> None:
    """A side whose place is named after it says nothing more by itself."""
    for order, index in enumerate(group.members):
        if items[index].kind != "side":
            continue
        for other in group.members[order + 1 :]:
            place = items[other].place
            if items[other].kind != "side" and place is not None:
                if not items[index].place.sides <= place.sides and items[index].kind == "side":
                    items[index].place = Place(place.zone, items[index].place.sides)
                else:
                    items[index].place = None
                break


def _attach(items: list[Item], group: _Group, findings: list[int]) -> None:
    places = [items[index].place for index in group.members if items[index].place is not None]
    if not places:
        return
    before = next((index for index in reversed(findings) if index < group.first), None)
    after = next((index for index in findings if index > group.last), None)
    if before is not None and any(item.kind in ("break", "semicolon") for item in items[before : group.first]):
        before = None
    if after is not None and any(item.kind in ("break", "semicolon") for item in items[group.last : after]):
        after = None
    if before is None and after is None:
        return
    owner = _owner(items, group, before, after)
    if owner == after and before is not None and len(group.members) > 1 and _after_preposition(items, group, before):
        split = [index for index in group.members[1:] if any(x.kind in ("and", "comma") for x in items[index - 1 : index])]
        if split:
            head = [items[index].place for index in group.members if index < split[-1] and items[index].place]
            items[before].places += head
            places = [place for place in places if place not in head] or places
    items[owner].places += [place for place in places if place not in items[owner].places]


def _after_preposition(items: list[Item], group: _Group, before: int) -> bool:
    kinds = [item.kind for item in items[before + 1 : group.first]]
    if "preposition" not in kinds:
        return False
    return not {"verb", "seen", "comma", "and"} & set(kinds[kinds.index("preposition") :])


def _owner(items: list[Item], group: _Group, before: int | None, after: int | None) -> int:
    if before is None or after is None:
        return after if before is None else before
    between = {item.kind for item in items[group.last + 1 : after]} - _PASSED_OVER
    led = _after_preposition(items, group, before)
    if not between or (between <= {"and", "or"} and not led):
        return before if led and items[after].entry.normal else after
    if led:
        return before
    if between & {"verb", "seen"}:
        return after
    behind = {item.kind for item in items[before + 1 : group.first]}
    if "negation_before" in between or "with" in between:
        return before
    return after if behind & {"comma", "and", "verb", "seen", "with"} and "comma" not in between else before


def _share(items: list[Item], findings: list[int], order: int) -> None:
    """Take over the places of a neighbour in the same list."""
    own = items[findings[order]]
    for neighbour in [*reversed(findings[:order]), *findings[order + 1 :]]:
        other = items[neighbour]
        low, high = sorted((findings[order], neighbour))
        if other.places and other.entry.normal == own.entry.normal:
            if not any(item.kind in ("break", "semicolon") for item in items[low:high]):
                own.places = list(other.places)
                return
