"""What is true of a study, as (anatomy, pathology, state) over the vocabulary: present, and stated absences."""

from collections.abc import Iterable

from data_prep.phantom.pathology import CATALOGUE, Finding
from medslip_core.vocabulary import ABSENT, PRESENT

IMPLIED: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "pneumonia": (("opacity", ()),),
    "consolidation": (("opacity", ()),),
    "infiltrate": (("opacity", ()),),
    "plate atelectasis": (("loss", ()),),
    "cardiomegaly": (("enlarge", ("heart_size",)),),
    "edema": (("congestion", ("pulmonary",)), ("engorgement", ("hilar_unspec",)), ("marking", ("interstitium",))),
    "effusion": (("fluid", ()), ("blunt", ("{side}_costophrenic",))),
    "emphysema": (("hyperinflate", ("lung_volumes",)),),
    "pacemaker": (("device", ("unspecified",)), ("lead", ())),
    "leadless pacemaker": (("device", ()),),
    "endotracheal tube": (("tip", ("trachea",)),),
    "chest tube": (("drainage", ()),),
    "central line": (("line", ()), ("tip", ())),
    "picc": (("catheter", ()), ("line", ()), ("tip", ())),
    "dialysis catheter": (("tip", ()),),
    "hilar enlargement": (("prominence", ()),),
    "fibrosis": (("marking", ("interstitium",)),),
    "tortuous aorta": (("dilation", ()),),
    "nodule": (("lesion", ()),),
    "mass": (("lesion", ()),),
}
"""Other words of the vocabulary that hold whenever a kind is present; no anatomies means the finding's own."""

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


BLUNTING = ("effusion", "thickening", "emphysema", "blunted angle")
"""Kinds that leave no sharp costophrenic angle."""


BONY = ("rib fracture", "clavicle fracture", "worn spine", "scoliosis")
"""Kinds of the skeleton, which leave the lungs clear."""


def sides_in(finding: Finding) -> tuple[str, ...]:
    """The sides on which a finding lies."""
    side = str(finding.attributes["side"])
    return ("left", "right") if side == "both" else (side,)


def present_pairs(finding: Finding) -> list[tuple[str, str]]:
    """Every (anatomy, pathology) that one finding makes true, its own first."""
    pairs = [(anatomy, finding.pathology) for anatomy in finding.anatomies]
    for pathology, anatomies in IMPLIED.get(finding.kind, ()):
        for anatomy in anatomies or finding.anatomies:
            pairs += [(anatomy.format(side=side), pathology) for side in sides_in(finding)]
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
    for finding in findings:
        for _, pathology in present_pairs(finding):
            touched |= {(side, pathology) for side in sides_in(finding)}
    absent = {}
    for pathology, places in PLACES.items():
        for anatomy in places:
            sides = {side for side in ("left", "right") if side in anatomy.split("_")} or {"left", "right"}
            if (anatomy, pathology) not in present and not any((side, pathology) in touched for side in sides):
                absent[(anatomy, pathology)] = None
    normal = []
    kinds = {finding.kind for finding in findings}
    if "cardiomegaly" not in kinds:
        normal.append(("heart_size", "normal"))
    if not kinds & {"cardiomegaly", "tortuous aorta", "hernia", "wide mediastinum", "wide atrium"}:
        normal.append(("mediastinal", "unremarkable"))
    if "rib fracture" not in kinds:
        normal.append(("rib", "intact"))
    for side in ("left", "right"):
        if not any(side in sides_in(f) for f in findings if not CATALOGUE[f.kind].device and f.kind not in BONY):
            normal.append((f"{side}_lung_unspec", "clear"))
        if not any(side in sides_in(f) for f in findings if f.kind in BLUNTING):
            normal.append((f"{side}_costophrenic", "sharp"))
    return [(a, p, PRESENT) for a, p in [*present, *normal]] + [(a, p, ABSENT) for a, p in absent]
