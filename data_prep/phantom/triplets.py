"""What is true of a study, as (anatomy, pathology, state) over the vocabulary: present, and stated absences."""

from collections.abc import Iterable
from itertools import product

from data_prep.phantom.catalogue import CATALOGUE
from data_prep.phantom.finding import Finding
from medslip_core.vocabulary import ABSENT, PRESENT

PLACES: dict[str, tuple[str, ...]] = {
    "effusion": ("left_pleural", "right_pleural", "pleural_unspec"),
    "pneumothorax": ("left_pleural", "right_pleural", "pleural_unspec"),
    "thicken": ("left_pleural", "right_pleural"),
    "blunt": ("left_costophrenic", "right_costophrenic"),
    "edema": ("pulmonary",),
    "congestion": ("pulmonary",),
    "cardiomegaly": ("heart_size",),
    "enlarge": ("heart_size", "right_atrium", "left_hilar", "right_hilar"),
    "widen": ("mediastinal",),
    "shift": ("trachea",),
    "elevation": ("left_diaphragm", "right_diaphragm"),
    "deformity": ("spine",),
    "obscure": ("heart_border",),
    "distention": ("stomach",),
    "air": ("right_diaphragm",),
    "consolidation": ("left_lung_unspec", "right_lung_unspec", "parenchymal"),
    "pneumonia": ("left_lung_unspec", "right_lung_unspec"),
    "infiltrate": ("left_lung_unspec", "right_lung_unspec"),
    "opacity": ("left_lung_unspec", "right_lung_unspec"),
    "atelectasis": ("left_lower_lung", "right_lower_lung"),
    "nodule": ("left_lung_unspec", "right_lung_unspec"),
    "mass": ("left_lung_unspec", "right_lung_unspec"),
    "emphysema": ("left_lung_unspec", "right_lung_unspec"),
    "hyperinflate": ("lung_volumes",),
    "low": ("lung_volumes",),
    "tail_abnorm_obs": ("interstitium",),
    "hernia": ("retrocardiac", "stomach"),
    "fracture": ("rib", "clavicle"),
    "tortuous": ("aorta",),
    "pacemaker": ("right_ventricle",),
}
"""Where the absence of a pathology is stated."""

HEALTHY = {"heart_size": "normal", "mediastinal": "unremarkable", "rib": "intact"}
HEALTHY_OF_SIDE = {"lung_unspec": "clear", "costophrenic": "sharp"}
"""What is stated of organs without a finding that rules it out; in the second, of each side."""


def present_pairs(finding: Finding) -> list[tuple[str, str]]:
    """Every (anatomy, pathology) that one finding makes true, its own first."""
    pairs = [(anatomy, finding.pathology) for anatomy in finding.anatomies]
    for pathology, anatomies in CATALOGUE[finding.kind].implies.items():
        for anatomy in anatomies or finding.anatomies:
            pairs += [(anatomy.format(side=side), pathology) for side in sorted(finding.sides)]
    return list(dict.fromkeys(pairs))


def study_triplets(findings: Iterable[Finding]) -> list[tuple[str, str, int]]:
    """All that is true of a study.

    Returns:
        (anatomy, pathology, 1 or 0), without repetition or contradiction: what the findings make true; the absence of
        every pathology of `PLACES` from the places where it is not; normal heart, mediastinum, ribs, and clear lungs.
    """
    findings = list(findings)
    present = dict.fromkeys(pair for finding in findings for pair in present_pairs(finding))
    touched: set[tuple[str, str]] = set()  # (side, pathology)
    ruled_out: set[tuple[str, str]] = set()  # (side, word of health)
    for finding in findings:
        kind = CATALOGUE[finding.kind]
        touched |= set(product(finding.sides, (pathology for _, pathology in present_pairs(finding))))
        words = kind.rules_out if kind.device or kind.bony else ("clear", *kind.rules_out)
        ruled_out |= set(product(finding.sides, words))
    absent = {}
    for pathology, places in PLACES.items():
        for anatomy in places:
            sides = {side for side in ("left", "right") if side in anatomy.split("_")} or {"left", "right"}
            if (anatomy, pathology) not in present and not any((side, pathology) in touched for side in sides):
                absent[(anatomy, pathology)] = None
    anywhere = {word for _, word in ruled_out}
    healthy = [(a, word) for a, word in HEALTHY.items() if word not in anywhere]
    for side in ("left", "right"):
        healthy += [(f"{side}_{a}", word) for a, word in HEALTHY_OF_SIDE.items() if (side, word) not in ruled_out]
    return [(a, p, PRESENT) for a, p in [*present, *healthy]] + [(a, p, ABSENT) for a, p in absent]
