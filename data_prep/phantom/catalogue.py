"""Every kind of finding, one row each: how often, in what company, where, how large, what it implies, how it is drawn.

A new kind is a row here, a function that draws it, and its wording in `sentences.FINDINGS`. Kinds that change the
outlines of heart, mediastinum or diaphragm do so in `render._pose`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data_prep.phantom import bones, devices, mediastinum, parenchyma, pleura
from data_prep.phantom.anatomy import Thorax
from data_prep.phantom.finding import Finding

Rule = Callable[[float, np.random.Generator, dict[str, Any]], object]
"""Draws one attribute of a finding, given its severity, a generator, and the attributes before it."""


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Names of anatomies may hold {side} (each side on which the finding lies), {lobe}, {zone} (the third of the lung at
    the height `down`) and {end} ("apices" if `upper`, else "bases").
    """

    pathology: str  # its word in the vocabulary
    prevalence: float  # in patients who are not healthy, before company
    draw: Callable[[Thorax, Finding, np.random.Generator], np.ndarray]  # changes the chest, returns where, bool [H, W]
    anatomies: tuple[str, ...] = ()
    chronic: bool = False  # stays with the patient over all studies
    device: bool = False
    bony: bool = False  # of the skeleton: leaves the lungs clear, as devices do
    both_share: float = 1.0  # how often it lies on both sides; 1: it is not of a side
    both_anatomies: tuple[str, ...] = ()  # further anatomies when it lies on both sides
    tips: dict[tuple[str, ...], float] = field(default_factory=dict)  # lines: where they may end -> how often
    attributes: dict[str, Rule] = field(default_factory=dict)  # beside seed and side, in the order of drawing
    raises: dict[str, float] = field(default_factory=dict)  # kind further down -> factor on its chance
    implies: dict[str, tuple[str, ...]] = field(default_factory=dict)  # pathology that holds too -> where, () the same
    rules_out: tuple[str, ...] = ()  # words of health that it rules out beside "clear" (`triplets.HEALTHY`)


def between(low: float, high: float) -> Rule:
    """Anywhere between two numbers."""
    return lambda severity, rng, at: float(rng.uniform(low, high))


def growing(least: float, more: float) -> Rule:
    """Larger when more severe, with some play."""
    return lambda severity, rng, at: least + more * (0.75 * severity + 0.25 * rng.random())


LOBES = {"right": {"upper": 0.3, "middle": 0.22, "lower": 0.48}, "left": {"upper": 0.42, "lower": 0.58}}
HEIGHTS = {"upper": between(0.18, 0.42), "middle": between(0.58, 0.82), "lower": between(0.55, 0.92)}


def some_lobe(severity: float, rng: np.random.Generator, at: dict[str, Any]) -> str:
    """A lobe of the side; of both sides the lower."""
    shares = LOBES["left" if at["side"] == "left" else "right"]
    lobe = str(rng.choice(list(shares), p=list(shares.values())))
    return "lower" if at["side"] == "both" else lobe


# What several kinds share. `across` runs from 0 (mediastinum) to 1 (chest wall), `down` from 0 (apex) to 1 (dome),
# `number` is that of a rib, or how many clips.
LOBE = ("{lobe}_{side}_lobe", "{side}_{zone}_lung")
IN_LOBE: dict[str, Rule] = {"lobe": some_lobe, "across": between(0.2, 0.75),
                            "down": lambda s, rng, at: HEIGHTS[at["lobe"]](s, rng, at)}  # fmt: skip
OUTWARDS: dict[str, Rule] = {"across": between(0.5, 0.95), "down": between(0.15, 0.8),
                             "number": lambda s, rng, at: int(rng.integers(2, 7))}  # fmt: skip
# "other": a line that ends too early, in a brachiocephalic vein, so that only its tip tells where it ends
VEINS = {("svc",): 0.4, ("cavoatrial_junction",): 0.25, ("other",): 0.35}

CATALOGUE: dict[str, Kind] = {
    "cardiomegaly": Kind("cardiomegaly", 0.16, parenchyma.heart_shape, ("heart_size",), chronic=True,
        attributes={"size_percent": lambda s, *_: round(51.5 + 14 * s, 1)},  # cardiothoracic ratio
        raises={"edema": 3.0, "effusion": 1.7, "pacemaker": 3.0},
        implies={"enlarge": ()}, rules_out=("normal", "unremarkable")),
    "emphysema": Kind("emphysema", 0.13, parenchyma.emphysema,
        ("left_lung_unspec", "right_lung_unspec", "lung_volumes"), chronic=True,
        raises={"edema": 0.2, "pneumothorax": 1.6, "low volumes": 0.0},
        implies={"hyperinflate": ("lung_volumes",)}, rules_out=("sharp",)),
    "fibrosis": Kind("tail_abnorm_obs", 0.11, parenchyma.fibrosis, ("interstitium", "lung_{end}"), chronic=True,
        attributes={"upper": lambda s, rng, at: bool(rng.random() < 0.2)},
        raises={"thickening": 1.5}, implies={"marking": ("interstitium",)}),
    "hernia": Kind("hernia", 0.10, parenchyma.hernia, ("retrocardiac", "stomach"), chronic=True,
        attributes={"size_mm": lambda s, *_: 32 + 36 * s, "offset_mm": between(-14, 26)}, rules_out=("unremarkable",)),
    "thickening": Kind("thicken", 0.13, pleura.thickening, ("{side}_pleural",), chronic=True, both_share=0.2,
        attributes={"size_mm": lambda s, *_: 6 + 13 * s}, rules_out=("sharp",)),
    "scar": Kind("scar", 0.07, parenchyma.scar, ("{side}_apical_lung",), chronic=True, both_share=0.3,
        attributes={"across": between(0.3, 0.6), "down": between(0.03, 0.13), "size_mm": between(18, 40)}),
    "granuloma": Kind("calcification", 0.05, parenchyma.nodule_or_mass, LOBE, chronic=True, both_share=0,
        attributes=IN_LOBE | {"size_mm": growing(3.5, 4)}),
    "tortuous aorta": Kind("tortuous", 0.08, parenchyma.aorta_shape, ("aorta",), chronic=True,
        implies={"dilation": ()}, rules_out=("unremarkable",)),
    "aortic calcification": Kind("calcification", 0.09, mediastinum.aortic_calcification, ("aorta",), chronic=True),
    "hilar enlargement": Kind("enlarge", 0.12, mediastinum.hilar_enlargement, ("{side}_hilar",), chronic=True,
        both_share=0.35, implies={"prominence": ()}),
    "wide mediastinum": Kind("widen", 0.08, mediastinum.wide_mediastinum, ("mediastinal",), chronic=True,
        rules_out=("unremarkable",)),
    "wide atrium": Kind("enlarge", 0.14, mediastinum.wide_atrium, ("right_atrium",), chronic=True,
        rules_out=("unremarkable",)),
    "fat pad": Kind("density", 0.10, mediastinum.fat_pad, ("cardiophrenic_sulcus",), chronic=True, both_share=0),
    "tracheal deviation": Kind("shift", 0.08, mediastinum.tracheal_deviation, ("trachea",), chronic=True, both_share=0),
    "raised diaphragm": Kind("elevation", 0.13, mediastinum.raised_diaphragm, ("{side}_diaphragm",), chronic=True,
        both_share=0.15),
    "blunted angle": Kind("blunt", 0.08, mediastinum.blunted_angle, ("{side}_costophrenic",), chronic=True,
        both_share=0.2, rules_out=("sharp",)),
    "worn spine": Kind("degenerative", 0.13, bones.worn_spine, ("spine",), chronic=True, bony=True),
    "scoliosis": Kind("deformity", 0.07, bones.bent_spine, ("spine",), chronic=True, bony=True,
        attributes={"bend": lambda s, rng, at: int(rng.choice([-1, 1]))}),
    "spinal hardware": Kind("hardware", 0.03, bones.spinal_hardware, ("spine",), chronic=True, device=True),
    "clavicle fracture": Kind("fracture", 0.08, bones.clavicle_fracture, ("clavicle",), chronic=True, bony=True,
        both_share=0),
    "pacemaker": Kind("pacemaker", 0.06, devices.pacemaker, chronic=True, device=True,
        tips={("right_atrium", "right_ventricle"): 0.25, ("right_ventricle",): 0.6, ("right_atrium",): 0.15},
        implies={"device": ("unspecified",), "lead": ()}),
    "leadless pacemaker": Kind("pacemaker", 0.07, devices.leadless_pacemaker, ("right_ventricle",), chronic=True,
        device=True, implies={"device": ()}),
    "nerve stimulator": Kind("device", 0.08, devices.nerve_stimulator, ("unspecified",), chronic=True, device=True),
    "vena cava stent": Kind("stent", 0.07, mediastinum.superior_cava_stent, ("svc",), chronic=True, device=True),
    "dialysis catheter": Kind("catheter", 0.06, devices.dialysis_catheter, chronic=True, device=True, both_share=0,
        tips={("cavoatrial_junction",): 0.4, ("right_atrium",): 0.25, ("other",): 0.35}, implies={"tip": ()}),
    "sternal wires": Kind("wire", 0.06, devices.sternal_wires, ("mediastinal",), chronic=True, device=True),
    "clips": Kind("clip", 0.04, devices.clips, ("{side}_{zone}_lung",), chronic=True, device=True, both_share=0,
        attributes=OUTWARDS),
    "rib fracture": Kind("fracture", 0.09, bones.rib_fracture, ("rib",), chronic=True, bony=True, both_share=0,
        attributes=OUTWARDS, rules_out=("intact",)),
    "low volumes": Kind("low", 0.08, parenchyma.low_volumes, ("lung_volumes",), raises={"plate atelectasis": 1.5}),
    "edema": Kind("edema", 0.10, parenchyma.edema, ("pulmonary", "interstitium"),
        raises={"effusion": 2.0, "endotracheal tube": 2.0},
        implies={"congestion": ("pulmonary",), "engorgement": ("hilar_unspec",), "marking": ("interstitium",)}),
    "effusion": Kind("effusion", 0.15, pleura.effusion, ("{side}_pleural",), both_share=0.3,
        attributes={"size_mm": lambda s, *_: 24 + 105 * s**1.2}, raises={"plate atelectasis": 1.6},
        implies={"fluid": (), "blunt": ("{side}_costophrenic",)}, rules_out=("sharp",)),
    "pneumothorax": Kind("pneumothorax", 0.13, pleura.pneumothorax, ("{side}_pleural",), both_share=0,
        attributes={"size_mm": lambda s, *_: 12 + 52 * s}, raises={"chest tube": 6.0}),
    "consolidation": Kind("consolidation", 0.12, parenchyma.consolidation, LOBE, both_share=0,
        attributes=IN_LOBE | {"size_mm": growing(62, 40)}, raises={"pneumonia": 0.6, "endotracheal tube": 1.6},
        implies={"opacity": ()}),
    "pneumonia": Kind("pneumonia", 0.13, parenchyma.pneumonia, LOBE, both_share=0,
        attributes=IN_LOBE | {"size_mm": growing(52, 46)}, raises={"infiltrate": 1.4}, implies={"opacity": ()}),
    "infiltrate": Kind("infiltrate", 0.13, parenchyma.infiltrate, ("{side}_mid_lung", "{side}_lower_lung"),
        both_share=0.45, attributes=IN_LOBE | {"down": between(0.3, 0.6), "size_mm": growing(60, 30)},
        implies={"opacity": ()}),
    "plate atelectasis": Kind("atelectasis", 0.16, parenchyma.plate_atelectasis, ("{side}_lower_lung",),
        both_share=0.3, both_anatomies=("lung_bases",),
        attributes={"across": between(0.25, 0.7), "down": between(0.74, 0.95), "size_mm": between(50, 95)},
        implies={"loss": ()}),
    "haze": Kind("opacity", 0.05, parenchyma.haze, LOBE, both_share=0,
        attributes=IN_LOBE | {"size_mm": growing(70, 60)}),
    "obscured border": Kind("obscure", 0.09, mediastinum.obscured_border, ("heart_border",)),
    "retrocardiac opacity": Kind("opacity", 0.10, mediastinum.retrocardiac_opacity, ("retrocardiac",)),
    "free air": Kind("air", 0.05, mediastinum.free_air, ("right_diaphragm",)),
    "distended stomach": Kind("distention", 0.13, mediastinum.distended_stomach, ("stomach",)),
    "nodule": Kind("nodule", 0.14, parenchyma.nodule_or_mass, LOBE, both_share=0,
        attributes=IN_LOBE | {"size_mm": growing(13, 17)}, implies={"lesion": ()}),
    "mass": Kind("mass", 0.12, parenchyma.nodule_or_mass, LOBE, both_share=0,
        attributes=IN_LOBE | {"size_mm": growing(36, 36)}, implies={"lesion": ()}),
    "endotracheal tube": Kind("tube", 0.06, devices.endotracheal_tube, ("trachea",), device=True,
        raises={"central line": 2.5, "gastric tube": 5.0}, implies={"tip": ()}),
    "gastric tube": Kind("tube", 0.05, devices.gastric_tube, ("stomach",), device=True),
    "chest tube": Kind("tube", 0.03, devices.chest_tube, ("{side}_pleural",), device=True, both_share=0,
        attributes={"size_mm": lambda *_: 7.0}, implies={"drainage": ()}),
    "central line": Kind("catheter", 0.08, devices.central_line, device=True, both_share=0, tips=VEINS,
        implies={"line": (), "tip": ()}),
    "picc": Kind("picc", 0.05, devices.picc, device=True, both_share=0, tips=VEINS,
        implies={"catheter": (), "line": (), "tip": ()}),
}  # fmt: skip
"""Every kind, causes before what they raise."""
