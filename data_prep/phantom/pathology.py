"""Which findings a study has: the catalogue of kinds, how often each occurs, in what company, where, how marked."""

from dataclasses import dataclass, field

import numpy as np

from data_prep.phantom.patient import PhantomPatient
from data_prep.phantom.population import Population


@dataclass(frozen=True)
class Finding:
    """One finding of one study.

    `severity` runs from 0 (barely visible) to 1 (obvious). `attributes` hold what drawing and reporting need: `side`
    ("left", "right", "both"), `lobe` ("upper", "middle", "lower"), `across`, `down` (0..1 in the lung), `size_mm`.
    """

    kind: str
    pathology: str
    anatomies: tuple[str, ...]
    severity: float
    attributes: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A kind of finding: its word in the vocabulary, how often, and what it makes more likely."""

    pathology: str
    prevalence: float
    chronic: bool = False  # stays with the patient over all studies
    device: bool = False
    raises: dict[str, float] = field(default_factory=dict)  # kind -> factor on its chance


CATALOGUE: dict[str, Kind] = {
    "cardiomegaly": Kind("cardiomegaly", 0.16, True, raises={"edema": 3.0, "effusion": 1.7, "pacemaker": 3.0}),
    "emphysema": Kind("emphysema", 0.13, True, raises={"edema": 0.2, "pneumothorax": 1.6, "low volumes": 0.0}),
    "fibrosis": Kind("tail_abnorm_obs", 0.11, True, raises={"thickening": 1.5}),
    "hernia": Kind("hernia", 0.10, True),
    "thickening": Kind("thicken", 0.13, True),
    "scar": Kind("scar", 0.07, True),
    "granuloma": Kind("calcification", 0.05, True),
    "tortuous aorta": Kind("tortuous", 0.08, True),
    "aortic calcification": Kind("calcification", 0.09, True),
    "hilar enlargement": Kind("enlarge", 0.12, True),
    "wide mediastinum": Kind("widen", 0.08, True),
    "wide atrium": Kind("enlarge", 0.14, True),
    "fat pad": Kind("density", 0.10, True),
    "tracheal deviation": Kind("shift", 0.08, True),
    "raised diaphragm": Kind("elevation", 0.13, True),
    "blunted angle": Kind("blunt", 0.08, True),
    "worn spine": Kind("degenerative", 0.13, True),
    "scoliosis": Kind("deformity", 0.07, True),
    "spinal hardware": Kind("hardware", 0.03, True, True),
    "clavicle fracture": Kind("fracture", 0.08, True),
    "pacemaker": Kind("pacemaker", 0.06, True, True),
    "leadless pacemaker": Kind("pacemaker", 0.07, True, True),
    "nerve stimulator": Kind("device", 0.08, True, True),
    "vena cava stent": Kind("stent", 0.07, True, True),
    "dialysis catheter": Kind("catheter", 0.06, True, True),
    "sternal wires": Kind("wire", 0.06, True, True),
    "clips": Kind("clip", 0.04, True, True),
    "rib fracture": Kind("fracture", 0.09, True),
    "low volumes": Kind("low", 0.08, raises={"plate atelectasis": 1.5}),
    "edema": Kind("edema", 0.10, raises={"effusion": 2.0, "endotracheal tube": 2.0}),
    "effusion": Kind("effusion", 0.15, raises={"plate atelectasis": 1.6}),
    "pneumothorax": Kind("pneumothorax", 0.13, raises={"chest tube": 6.0}),
    "consolidation": Kind("consolidation", 0.12, raises={"pneumonia": 0.6, "endotracheal tube": 1.6}),
    "pneumonia": Kind("pneumonia", 0.13, raises={"infiltrate": 1.4}),
    "infiltrate": Kind("infiltrate", 0.13),
    "plate atelectasis": Kind("atelectasis", 0.16),
    "haze": Kind("opacity", 0.05),
    "obscured border": Kind("obscure", 0.09),
    "retrocardiac opacity": Kind("opacity", 0.10),
    "free air": Kind("air", 0.05),
    "distended stomach": Kind("distention", 0.13),
    "nodule": Kind("nodule", 0.14),
    "mass": Kind("mass", 0.12),
    "endotracheal tube": Kind("tube", 0.06, device=True, raises={"central line": 2.5, "gastric tube": 5.0}),
    "gastric tube": Kind("tube", 0.05, device=True),
    "chest tube": Kind("tube", 0.03, device=True),
    "central line": Kind("catheter", 0.08, device=True),
    "picc": Kind("picc", 0.05, device=True),
}
"""Every kind, causes before what they raise. Prevalence: in patients who are not healthy, before company."""

LOBES = {"right": ("upper", "middle", "lower"), "left": ("upper", "lower")}
DOWN = {"upper": (0.18, 0.42), "middle": (0.58, 0.82), "lower": (0.55, 0.92)}
SIDED = {
    "effusion", "pneumothorax", "thickening", "plate atelectasis", "pneumonia", "consolidation", "haze", "nodule",
    "mass", "granuloma", "scar", "rib fracture", "chest tube", "central line", "picc", "infiltrate", "clips",
    "hilar enlargement", "fat pad", "tracheal deviation", "raised diaphragm", "blunted angle", "clavicle fracture",
    "dialysis catheter",
}  # fmt: skip
BILATERAL = {"effusion": 0.3, "infiltrate": 0.45, "thickening": 0.2, "scar": 0.3, "plate atelectasis": 0.3,
             "hilar enlargement": 0.35, "raised diaphragm": 0.15, "blunted angle": 0.2}  # fmt: skip


def zone(down: float) -> str:
    """The third of the lung at a height, 0 apex to 1 dome."""
    return "upper" if down < 0.36 else "mid" if down < 0.68 else "lower"


def draw_findings(
    population: Population, patient: PhantomPatient, view: str, rng: np.random.Generator
) -> tuple[Finding, ...]:
    """Draw a study's findings: chronic ones are the patient's own, the rest this study's.

    Returns:
        Findings in the order of `CATALOGUE`; empty for a healthy patient.
    """
    constant = np.random.default_rng([13, population.number, patient.seed, patient.number])
    healthy = constant.random() < population.healthy_share
    factor = dict.fromkeys(CATALOGUE, 1.0)
    if healthy:  # a chest called healthy may hold devices and old scars, nothing else
        factor = {name: 0.4 if kind.device or kind.pathology in ("scar", "calcification") else 0.0
                  for name, kind in CATALOGUE.items()}  # fmt: skip
    findings = []
    for name, kind in CATALOGUE.items():
        source = constant if kind.chronic else rng
        chance = factor[name] * population.prevalence.get(name, kind.prevalence)
        if kind.device and not kind.chronic:
            chance *= 1.5 if view == "AP" else 0.4
        present, severity, seed = source.random() < min(chance, 0.8), source.beta(2.8, 1.4), source.integers(2**31)
        if not present:
            continue
        for other, times in kind.raises.items():
            factor[other] *= times
        findings.append(_place(name, kind, float(severity), np.random.default_rng([14, int(seed)])))
    return tuple(findings)


def _place(name: str, kind: Kind, severity: float, rng: np.random.Generator) -> Finding:
    """Where in the body, and how large."""
    at: dict[str, object] = {"seed": int(rng.integers(2**31))}
    side = str(rng.choice(["left", "right"])) if name in SIDED else "both"
    if rng.random() < BILATERAL.get(name, 0):
        side = "both"
    sides = ("right", "left") if side == "both" else (side,)
    at["side"] = side
    span = lambda low, high: float(rng.uniform(low, high))  # noqa: E731
    anatomies: tuple[str, ...] = FIXED_PLACES.get(name, ())
    if name in ("pneumonia", "consolidation", "haze", "nodule", "mass", "granuloma", "infiltrate"):
        lobe = str(rng.choice(LOBES[sides[0]], p=[0.3, 0.22, 0.48] if sides[0] == "right" else [0.42, 0.58]))
        lobe = "lower" if side == "both" else lobe
        low, high = (0.3, 0.6) if name == "infiltrate" else DOWN[lobe]
        at |= {"lobe": lobe, "across": span(0.2, 0.75), "down": span(low, high)}
        spread = {"nodule": (13, 17), "mass": (36, 36), "granuloma": (3.5, 4), "pneumonia": (52, 46), "haze": (70, 60),
                  "consolidation": (62, 40), "infiltrate": (60, 30)}[name]  # fmt: skip
        at["size_mm"] = spread[0] + spread[1] * (0.75 * severity + 0.25 * rng.random())
        if name == "infiltrate":
            anatomies = tuple(f"{s}_{z}_lung" for s in sides for z in ("mid", "lower"))
        else:
            anatomies = (f"{lobe}_{side}_lobe", f"{side}_{zone(at['down'])}_lung")
    elif name == "plate atelectasis":
        at |= {"across": span(0.25, 0.7), "down": span(0.74, 0.95), "size_mm": span(50, 95)}
        anatomies = tuple(f"{s}_lower_lung" for s in sides) + (("lung_bases",) if side == "both" else ())
    elif name == "scar":
        at |= {"across": span(0.3, 0.6), "down": span(0.03, 0.13), "size_mm": span(18, 40)}
        anatomies = tuple(f"{s}_apical_lung" for s in sides)
    elif name in ("effusion", "pneumothorax", "thickening", "chest tube"):
        anatomies = tuple(f"{s}_pleural" for s in sides)
        at["size_mm"] = {"effusion": 24 + 105 * severity**1.2, "pneumothorax": 12 + 52 * severity,
                         "thickening": 6 + 13 * severity, "chest tube": 7.0}[name]  # fmt: skip
    elif name in ("rib fracture", "clips"):
        at |= {"across": span(0.5, 0.95), "down": span(0.15, 0.8), "number": int(rng.integers(2, 7))}
        anatomies = ("rib",) if name == "rib fracture" else (f"{side}_{zone(at['down'])}_lung",)
    elif name == "hernia":
        at |= {"size_mm": 32 + 36 * severity, "offset_mm": span(-14, 26)}
    elif name == "cardiomegaly":
        at["size_percent"] = round(51.5 + 14 * severity, 1)  # cardiothoracic ratio
    elif name == "fibrosis":
        at["upper"] = bool(rng.random() < 0.2)
        anatomies = ("interstitium", "lung_apices" if at["upper"] else "lung_bases")
    elif name in ("hilar enlargement", "raised diaphragm", "blunted angle"):
        organ = {"hilar enlargement": "hilar", "raised diaphragm": "diaphragm", "blunted angle": "costophrenic"}[name]
        anatomies = tuple(f"{s}_{organ}" for s in sides)
    elif name in TIPS:
        places, chances = TIPS[name]
        anatomies = places[int(rng.choice(len(places), p=chances))]
    elif name == "scoliosis":
        at["bend"] = int(rng.choice([-1, 1]))
    return Finding(name, kind.pathology, anatomies, severity, at)


FIXED_PLACES: dict[str, tuple[str, ...]] = {
    "cardiomegaly": ("heart_size",), "emphysema": ("left_lung_unspec", "right_lung_unspec", "lung_volumes"),
    "hernia": ("retrocardiac", "stomach"), "tortuous aorta": ("aorta",),
    "leadless pacemaker": ("right_ventricle",), "nerve stimulator": ("unspecified",),
    "sternal wires": ("mediastinal",), "vena cava stent": ("svc",),
    "aortic calcification": ("aorta",), "wide mediastinum": ("mediastinal",), "wide atrium": ("right_atrium",),
    "fat pad": ("cardiophrenic_sulcus",), "tracheal deviation": ("trachea",), "worn spine": ("spine",),
    "scoliosis": ("spine",), "spinal hardware": ("spine",), "clavicle fracture": ("clavicle",),
    "obscured border": ("heart_border",), "retrocardiac opacity": ("retrocardiac",),
    "free air": ("right_diaphragm",), "distended stomach": ("stomach",),
    "low volumes": ("lung_volumes",), "edema": ("pulmonary", "interstitium"),
    "endotracheal tube": ("trachea",), "gastric tube": ("stomach",),
}  # fmt: skip
"""Anatomies of kinds that have one place."""

TIPS: dict[str, tuple[tuple[tuple[str, ...], ...], tuple[float, ...]]] = {
    "central line": ((("svc",), ("cavoatrial_junction",), ("other",)), (0.4, 0.25, 0.35)),
    "picc": ((("svc",), ("cavoatrial_junction",), ("other",)), (0.4, 0.25, 0.35)),
    "dialysis catheter": ((("cavoatrial_junction",), ("right_atrium",), ("other",)), (0.4, 0.25, 0.35)),
    "pacemaker": ((("right_atrium", "right_ventricle"), ("right_ventricle",), ("right_atrium",)), (0.25, 0.6, 0.15)),
}
"""Where the tips of lines and leads may lie, and how often; "other": a line that ends too early, in a brachiocephalic
vein, so that only its tip tells where it ends."""
