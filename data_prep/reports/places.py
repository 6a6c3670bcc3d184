"""Where a finding lies: places and sides of a sentence, tied to the findings they belong to.

Places joined by "and", commas or "greater than" form one group. A group just before a finding ("left basilar
atelectasis") or its subject ("the lungs are hyperinflated") belongs to what follows; after a preposition ("opacity in
the right base") to what precedes. Findings in one list share the place of their neighbour.
"""

from dataclasses import dataclass

from data_prep.reports.lexicon import Zone
from data_prep.reports.words import Item
from medslip_core.vocabulary import ABSENT

NO_SIDE: frozenset[str] = frozenset()
_NOUNS = {
    "upper_lobe": "lobe", "middle_lobe": "lobe", "lower_lobe": "lobe",
    "upper_lung": "lung", "mid_lung": "lung", "base": "lung", "lung": "lung",
}  # fmt: skip
SIDES = {"left": frozenset({"left"}), "right": frozenset({"right"}), "both": frozenset({"left", "right"})}
_JOINTS = frozenset({"and", "or", "slash", "comma", "greater"})
_SEPARATE = frozenset({"break", "semicolon", "there", "negation_before"})
_NEARBY = frozenset({"or", "slash", "versus", "finding", "side", "place", "level", "preposition"})
_PASSED_OVER = frozenset({"presence", "lasting", "filler", "trap", "quality", "likely", "hedge_word", "elsewhere"})


@dataclass(frozen=True)
class Place:
    """A zone of the lexicon (None: only a side is known), the sides said, and whether the report says it at all."""

    zone: Zone | None
    sides: frozenset[str] = NO_SIDE
    said: bool = True


@dataclass
class Group:
    """Joined places of one sentence: items[first:last + 1]."""

    first: int
    last: int
    members: list[int]


def link_places(items: list[Item]) -> None:
    """Set `places` of every finding of one sentence."""
    groups = resolve_groups(items)
    findings = [index for index, item in enumerate(items) if item.kind == "finding"]
    for group in groups:
        _attach(items, group, findings)
    for order in range(len(findings)):
        if not items[findings[order]].places:
            _share(items, findings, order)


def resolve_groups(items: list[Item]) -> list[Group]:
    """Join the places of one sentence into groups, and give every member its `place`."""
    groups: list[Group] = []
    for index, item in enumerate(items):
        if item.kind not in ("place", "side", "level"):
            continue
        if groups and _joined(items, groups[-1], index):
            groups[-1].last = index
            groups[-1].members.append(index)
        else:
            groups.append(Group(index, index, [index]))
    for group in groups:
        _resolve_sides(items, group)
        places = [items[index].place for index in group.members if items[index].place is not None]
        for index in group.members:
            items[index].group = places
    return groups


def _joined(items: list[Item], group: Group, index: int) -> bool:
    """Whether the place at an index goes on with a group; a comma joins only in a list or before a comparison."""
    between = {other.kind for other in items[group.last + 1 : index]} - _PASSED_OVER
    if not between <= _JOINTS:
        return False
    if "comma" not in between:
        return True
    if any(other.kind in ("and", "or", "greater") for other in items[group.first : group.last]):
        return False
    if between & {"and", "or"}:
        return True
    for ahead in range(index + 1, len(items)):
        kind = items[ahead].kind
        if kind in ("and", "or", "greater"):
            return True
        if kind not in _PASSED_OVER and kind not in ("side", "place", "level", "comma"):
            return False
    return False


def _resolve_sides(items: list[Item], group: Group) -> None:
    """Give every member of a group its `Place`.

    A side belongs to the place after it and goes on to those joined to that; a lone side before "and" takes the place
    of its neighbour ("right and left lower lobes"); a comparison counts as both sides.
    """
    side, compared, previous = NO_SIDE, False, group.first
    waiting: list[int] = []  # sides that have no place yet
    for index in group.members:
        item = items[index]
        joints = _JOINTS.intersection(other.kind for other in items[previous + 1 : index])
        compared = compared or "greater" in joints
        if item.kind == "side":
            side = side | SIDES[item.entry] if compared else SIDES[item.entry]
            item.place = Place(None, side)
            waiting.append(index)
        else:
            zone = item.entry if item.kind == "place" else _level_zone(items, group, index)
            if zone is None:
                continue
            if items[previous].kind == "side" and not joints:
                sides = side
            elif zone.side:
                sides = SIDES[zone.side]
            else:
                sides = side or (SIDES["both"] if zone.both else NO_SIDE)
            item.place = Place(zone, sides)
            for other in waiting:
                sides = items[other].place.sides
                items[other].place = None if sides <= item.place.sides else Place(zone, sides)
            waiting.clear()
        previous = index


def _level_zone(items: list[Item], group: Group, index: int) -> Zone | None:
    """The zone of a lone "upper", "mid" or "lower": that of the noun of the next place in the group."""
    joined = index + 1 < len(items) and items[index + 1].kind in _JOINTS
    for other in group.members:
        if other > index and items[other].kind == "place":
            name = items[other].entry.name
            return items[index].entry.get(_NOUNS.get(name)) if joined or name == "lung" else None
    return None


def _attach(items: list[Item], group: Group, findings: list[int]) -> None:
    places = items[group.first].group
    if not places:
        return
    before = next((index for index in reversed(findings) if index < group.first), None)
    after = next((index for index in findings if index > group.last), None)
    if before is not None and any(item.kind in ("break", "semicolon") for item in items[before : group.first]):
        before = None
    if before is not None and any(item.kind == "there" for item in items[before : group.first]):
        before = None
    if after is not None:
        stops = ("break", "semicolon") if before is None else ("break", "semicolon", "there")
        if any(item.kind in stops for item in items[group.last : after]):
            after = None
    if before is None and after is None:
        return
    owner = _owner(items, group, before, after)
    if owner == before and items[owner].places and items[group.first - 1].kind == "near":
        return
    items[owner].places += [place for place in places if place not in items[owner].places]


def _after_preposition(items: list[Item], group: Group, before: int) -> bool:
    kinds = [item.kind for item in items[before + 1 : group.first]]
    leads = [position for position, kind in enumerate(kinds) if kind in ("preposition", "near")]
    return bool(leads) and not {"verb", "shows", "seen", "comma", "and"} & set(kinds[leads[0] :])


def _owner(items: list[Item], group: Group, before: int | None, after: int | None) -> int:
    if before is None or after is None:
        return after if before is None else before
    between = {item.kind for item in items[group.last + 1 : after]} - (_PASSED_OVER - {"likely"})
    led = _after_preposition(items, group, before)
    if led and "likely" in between:
        return before
    between.discard("likely")
    if not between or (between <= {"and", "or"} and not led):
        return before if led and items[after].entry.normal else after
    if led:
        return before
    if between & {"verb", "shows", "seen"}:
        return after
    behind = {item.kind for item in items[before + 1 : group.first]}
    if "negation_before" in between or "with" in between:
        return before
    return after if behind & {"comma", "and", "verb", "shows", "seen", "with"} and "comma" not in between else before


def _share(items: list[Item], findings: list[int], order: int) -> None:
    """Take over the places of a neighbour in the same list: the nearer one, the one before when both are as near."""
    own = findings[order]
    best: tuple[int, list[Place]] | None = None
    for neighbour in [*reversed(findings[:order]), *findings[order + 1 :]]:
        other = items[neighbour]
        if (other.state == ABSENT) != (items[own].state == ABSENT):
            continue
        if not other.places or (other.entry.normal != items[own].entry.normal and other.entry.name != "stable"):
            continue
        low, high = sorted((own, neighbour))
        kinds = [item.kind for item in items[low + 1 : high]]
        if _SEPARATE.intersection(kinds):
            continue
        distance = sum(_distance(kind) for kind in kinds) + 3 * (other.entry.name == "stable")
        if best is None or distance < best[0]:
            best = distance, other.places
    if best is not None:
        items[own].places = list(best[1])


def _distance(kind: str) -> int:
    """How far apart a term of this kind sets two findings of a list; a word of presence begins something new."""
    return 0 if kind in _NEARBY else 2 if kind == "presence" else 1
