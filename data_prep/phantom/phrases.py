"""What radiologists write: phrases for places, findings, normal organs, and for sentences that state nothing.

A phrase is text with its claims marked where they stand. `[words|pathology]` states that the pathology is present,
`[words|!pathology]` that it is absent, `[words|?pathology]` leaves it open; `[pathology]` alone is its own word. The
claim lies at the place of the finding, or at `[words|pathology@anatomy+anatomy]`. Slots in braces are filled by
`report.py`: {at} "left lower lobe" before a noun, {in} the same after "in the", {size} and {degree} by severity, {mm}.
"""

import re
from dataclasses import dataclass

from medslip_core.vocabulary import ABSENT, ANATOMY_INDEX, PATHOLOGY_INDEX, PRESENT, UNCERTAIN

Triplet = tuple[str, str, int]


@dataclass(frozen=True)
class Place:
    """How a place is named, and which anatomies the name states."""

    before: str  # "left lower lobe" opacity
    within: str  # opacity in the "left lower lobe"
    needs: frozenset[str]  # anatomies of the finding of which this is the name
    states: tuple[str, ...]


_CLAIM = re.compile(r"\[([^\]|]+)(?:\|([!?]?)([a-z_]+)(?:@([a-z_+]+))?)?\]")
_STATES = {"": PRESENT, "!": ABSENT, "?": UNCERTAIN}


def parse_claims(phrase: str, at: tuple[str, ...]) -> tuple[str, list[Triplet]]:
    """Split a phrase into plain text and what it states.

    Args:
        phrase: text with marked claims.
        at: anatomies of claims that name none.

    Raises:
        ValueError: a claim names no anatomy or pathology of the vocabulary, or has no place at all.
    """
    said: list[Triplet] = []
    for words, sign, pathology, anatomies in _CLAIM.findall(phrase):
        pathology = pathology or words.lower()
        for anatomy in anatomies.split("+") if anatomies else at or ("",):
            if pathology not in PATHOLOGY_INDEX or anatomy not in ANATOMY_INDEX:
                raise ValueError(f"phrase {phrase!r}: ({anatomy}, {pathology}) is not in the vocabulary")
            said.append((anatomy, pathology, _STATES[sign]))
    return _CLAIM.sub(r"\1", phrase), said


_TIPS: dict[str, tuple[str, ...]] = {
    "svc": ("SVC", "superior vena cava"),
    "cavoatrial_junction": ("cavoatrial junction", "superior cavoatrial junction"),
    "right_atrium": ("right atrium",),
    "right_ventricle": ("right ventricle",),
    "other": ("brachiocephalic vein", "subclavian vein"),
}
"""Where the tip of a line lies -> how that is written."""


def _places() -> tuple[Place, ...]:
    """Names of lung regions, hila and pleurae; places on both sides stand first."""
    zones = {  # anatomy of a side: (before, within) for one side, then for both
        "{}_lower_lung": (("{} basilar", "{} lung base"), ("bibasilar", "lung bases")),
        "{}_mid_lung": (("{} mid lung", "{} mid lung"), ("bilateral mid lung", "mid lungs bilaterally")),
        "{}_upper_lung": (("{} upper lung", "{} upper lung"), ("bilateral upper lung", "bilateral upper lungs")),
        "{}_apical_lung": (("{} apical", "{} lung apex"), ("biapical", "lung apices")),
        "lower_{}_lobe": (("{} lower lobe", "{} lower lobe"), ("bilateral lower lobe", "bilateral lower lobes")),
        "upper_{}_lobe": (("{} upper lobe", "{} upper lobe"), ("bilateral upper lobe", "bilateral upper lobes")),
        "{}_hilar": (("{} perihilar", "{} hilum"), ("bilateral perihilar", "bilateral hila")),
        "{}_lung_unspec": (("{} lung", "{} lung"), ("bilateral lung", "lungs bilaterally")),
        "{}_pleural": (("{} pleural", "{} pleura"), ("bilateral pleural", "pleura bilaterally")),
    }  # fmt: skip
    chambers = ("right_atrium", "right_ventricle")
    both, single = [Place("", "right atrium and right ventricle", frozenset(chambers), chambers)], []
    for name, (one, (before, within)) in zones.items():
        pair = (name.format("left"), name.format("right"))
        both.append(Place(before, within, frozenset(pair), pair))
        single += [
            Place(one[0].format(side), one[1].format(side), frozenset([anatomy]), (anatomy,))
            for side, anatomy in zip(("left", "right"), pair, strict=True)
        ]
    single += [
        Place("right middle lobe", "right middle lobe", frozenset(["middle_right_lobe"]), ("middle_right_lobe",)),
        Place("bibasilar", "lung bases", frozenset(["lung_bases"]), ("left_lower_lung", "right_lower_lung")),
        Place("biapical", "lung apices", frozenset(["lung_apices"]), ("left_apical_lung", "right_apical_lung")),
        *(Place("", name, frozenset([tip]), (tip,)) for tip, names in _TIPS.items() for name in names),
    ]
    return (*both, *single)


PLACES = _places()
SIZES = (("trace", "tiny", "small"), ("small", "moderate", "small to moderate"), ("moderate", "large"))
DEGREES = (("minimal", "mild", "slight"), ("mild", "moderate"), ("moderate", "marked", "extensive"))
"""Adjectives for a severity in the lower, middle and upper third."""
