"""Which findings a study has: of which kinds of the catalogue, where, and how marked."""

from dataclasses import replace

import numpy as np

from data_prep.phantom.catalogue import CATALOGUE, Kind
from data_prep.phantom.finding import Finding
from data_prep.phantom.patient import PhantomPatient
from data_prep.phantom.population import Population


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
    at = {"seed": int(rng.integers(2**31))}
    at["side"] = str(rng.choice(["left", "right"])) if kind.both_share < 1 else "both"
    if rng.random() < kind.both_share:
        at["side"] = "both"
    for attribute, rule in kind.attributes.items():
        at[attribute] = rule(severity, rng, at)
    anatomies = kind.anatomies
    if kind.tips:
        anatomies = list(kind.tips)[int(rng.choice(len(kind.tips), p=list(kind.tips.values())))]
    finding = Finding(name, kind.pathology, (), severity, at)
    words = at | {"zone": zone(at.get("down", 0.0)), "end": "apices" if at.get("upper") else "bases"}
    places = [anatomy.format(**words | {"side": side}) for side in finding.sides for anatomy in anatomies]
    places += kind.both_anatomies if at["side"] == "both" else ()
    return replace(finding, anatomies=tuple(dict.fromkeys(places)))


def zone(down: float) -> str:
    """The third of the lung at a height, 0 apex to 1 dome."""
    return "upper" if down < 0.36 else "mid" if down < 0.68 else "lower"
