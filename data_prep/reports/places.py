"""Where a finding lies: places and sides of a sentence, tied to the findings they belong to.

A place just before a finding ("left basilar atelectasis") or its subject ("the lungs are hyperinflated") is its own;
after a preposition it belongs to the finding before ("opacity in the right base"); findings joined in a list share.
"""

from dataclasses import dataclass

from .lexicon import Lexicon, Zone
from .words import Item

BOTH = frozenset({"left", "right"})
NO_SIDE: frozenset[str] = frozenset()

# Zones that a group of findings can lie in; a place outside gives its side only, or nothing.
LUNG_ZONES = frozenset(
    "lung pulmonary cardiopulmonary parenchyma interstitium base bases lower_lobe upper_lobe middle_lobe lingula "
    "mid_lung upper_lung apex apices hilum retrocardiac".split()
)
GROUPS: dict[str, frozenset[str] | None] = {
    "any": None,
    "lung": LUNG_ZONES | {"pleura", "mediastinum", "costophrenic", "markings", "lung_volumes", "cardiophrenic", "diaphragm"},
    "pleura": frozenset({"pleura", "costophrenic", "apex", "apices", "base", "bases", "interstitium"}),
    "costophrenic": frozenset({"costophrenic"}),
    "heart": frozenset({"heart", "heart_border", "cardiomediastinum"}),
    "mediastinum": frozenset({"mediastinum"}),
    "diaphragm": frozenset({"diaphragm"}),
    "vessel": frozenset({"aorta", "vessel", "svc"}),
    "abdomen": frozenset({"abdomen", "stomach", "diaphragm", "mediastinum", "retrocardiac"}),
    "bone": frozenset({"bone", "rib", "spine", "clavicle"}),
    "spine": frozenset({"spine"}),
    "soft": frozenset({"soft_tissue"}),
}
_SIDED_ZONES = LUNG_ZONES | {"pleura", "costophrenic", "diaphragm", "abdomen", "soft_tissue", "bone", "clavicle", "rib"}


@dataclass(frozen=True)
class Place:
    """A zone of the lexicon (None: only a side is known) and the sides that are said."""

    zone: Zone | None
    sides: frozenset[str]


_SIDES = {"left": frozenset({"left"}), "right": frozenset({"right"}), "both": BOTH}


def resolve_places(items: list[Item]) -> None:
    """Join each side with its place, so that `places[0]` of every place and side item is a `Place`."""
    sides, pending = NO_SIDE, None
    greater = False
    for item in items:
        if item.kind == "side":
            sides = _SIDES[item.entry]
            if pending is not None and greater:
                sides = sides | pending.places[0].sides
                pending.places = [Place(None, sides)]
            item.places, pending, greater = [Place(None, sides)], item, False
        elif item.kind == "place":
            zone: Zone = item.entry
            own = _SIDES[zone.side] if zone.side else BOTH if zone.both else NO_SIDE
            if pending is not None and not (zone.side and zone.name != "middle_lobe" and False):
                item.places = [Place(zone, pending.places[0].sides or own)]
                if pending.places[0].zone is None:
                    pending.places = [Place(zone, pending.places[0].sides)]
            else:
                item.places = [Place(zone, own)]
            # "right middle and lower lobes": the side carries over "and"
            pending = None
        elif item.kind == "greater":
            greater = True
        elif item.kind not in ("and", "or", "slash", "filler", "presence", "comma"):
            pending, greater = None, False


def link_places(items: list[Item], lexicon: Lexicon) -> None:
    """Set `places` of every finding of one sentence."""
    findings = [index for index, item in enumerate(items) if item.kind == "finding" and not item.entry.quality]
    for index, item in enumerate(items):
        if item.kind in ("place", "side"):
            owner = _owner(items, index, findings)
            if owner is not None:
                items[owner].places.append((index, item.places[0]))
    for order, index in enumerate(findings):
        if not items[index].places:
            _share(items, index, findings, order)


def _owner(items: list[Item], at: int, findings: list[int]) -> int | None:
    before = next((index for index in reversed(findings) if index < at), None)
    after = next((index for index in findings if index > at), None)
    between = {item.kind for item in items[at + 1 : after]} if after is not None else set()
    behind = [item.kind for item in items[before + 1 : at]] if before is not None else []
    if after is None:
        return before
    if before is None:
        return after
    if "break" in between or "semicolon" in between:
        return before
    if "break" in behind or "semicolon" in behind:
        return after
    if not between - {"place", "side", "presence", "finding", "filler"}:
        return before if behind and behind[-1] == "preposition" and "comma" in between else after
    if "preposition" in behind and not {"verb", "comma", "and"} & set(behind[behind.index("preposition") :]):
        return before
    if "verb" in between and ({"comma", "and"} & set(behind) or "negation_before" in behind):
        return after
    if "preposition" in behind:
        return before
    return after if "verb" in between else before


def _share(items: list[Item], index: int, findings: list[int], order: int) -> None:
    """Take over the places of a neighbour in the same list."""
    for neighbour in [*reversed(findings[:order]), *findings[order + 1 :]]:
        low, high = min(index, neighbour), max(index, neighbour)
        if any(item.kind in ("break", "semicolon") for item in items[low:high]):
            continue
        if items[neighbour].places and items[neighbour].entry.normal == items[index].entry.normal:
            items[index].places = list(items[neighbour].places)
            return
