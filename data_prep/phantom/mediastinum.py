"""Findings of heart, hila, great vessels, trachea and diaphragm: each changes a `Thorax` and returns its place."""

import numpy as np

from data_prep.phantom.anatomy import SIDES, Thorax
from data_prep.phantom.canvas import smoothstep, spline
from data_prep.phantom.finding import Finding


def hilar_enlargement(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Lymph nodes: a cluster of overlapping balls about the hilum."""
    nodes = thorax.canvas.zeros()
    for side in finding.sides:
        x, y = thorax.hilum[side]
        for _ in range(5):
            radius = rng.uniform(8, 11) + 6 * finding.severity
            at = (x + SIDES[side] * rng.uniform(0, 16), y + rng.uniform(-16, 18))
            nodes = np.maximum(nodes, thorax.canvas.ellipsoid(at, (radius, 1.15 * radius), 2.4 * radius))
    thorax.solid += (0.6 + 0.4 * finding.severity) * nodes
    return nodes > 6


def wide_mediastinum(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Drawn by the pose; its place is the mediastinum above the heart."""
    upper = thorax.canvas.y < thorax.carina[1] + 30
    return (thorax.organ["mediastinum"] > 12) & upper & (thorax.canvas.y > thorax.patient.apex_mm)


def tracheal_deviation(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A goitre beside the trachea; the bend itself is part of the pose."""
    away = -SIDES[str(finding.attributes["side"])]
    at = (thorax.carina[0] + away * 20, thorax.patient.apex_mm + 8)
    thorax.solid += thorax.canvas.ellipsoid(at, (19, 27), 26 + 14 * finding.severity)
    return (np.abs(thorax.canvas.x - thorax.trachea_x) < 10) & (thorax.canvas.y < thorax.carina[1])


def aortic_calcification(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Thin dense plaques along the wall of the aortic knob, and some down the descending aorta."""
    (x, y), radius = thorax.knob, 1.05 * thorax.patient.knob_mm * thorax.pose.knob_scale
    turn = np.linspace(-1.4, 1.1, 14) + rng.normal(0, 0.15)
    plaques = [np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], 1)]
    for _ in range(int(2 + 3 * finding.severity)):
        top = y + rng.uniform(25, 110)
        plaques.append(np.array([(x + 8, top), (x + 9, top + rng.uniform(8, 18))]))
    thorax.metal += (0.4 + 0.4 * finding.severity) * thorax.canvas.strokes(plaques, 3.0)
    return thorax.canvas.strokes(plaques, 8) > 0.1


def fat_pad(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Fat that fills the angle between heart and diaphragm."""
    side = str(finding.attributes["side"])
    edge = thorax.heart_x[side == "left"]
    size = 18 + 13 * finding.severity
    pad = thorax.canvas.ellipsoid((edge + SIDES[side] * 0.3 * size, thorax.floor - 4), (size, 0.9 * size), 70)
    thorax.solid += 0.8 * np.minimum(pad, thorax.lungs) * (1 - thorax.patient.lung_density)
    area = pad > 22
    thorax.sulcus |= area
    return area


def wide_atrium(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Drawn by the pose: the right border of the heart bulges; its place is the atrium."""
    return (thorax.organ["atrium"] > 10) & (thorax.canvas.x < thorax.turn)


def obscured_border(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Filled lung that lies against the left border of the heart, whose outline is lost."""
    x, y = thorax.heart_x[1] - 6, thorax.floor - rng.uniform(35, 60)
    reach = 26 + 14 * finding.severity
    blob = np.exp(-(((thorax.canvas.x - x) / (0.75 * reach)) ** 2) - ((thorax.canvas.y - y) / reach) ** 2)
    share = (0.35 + 0.45 * finding.severity) * blob * np.clip(1 + 0.25 * thorax.canvas.texture(rng, 10), 0.3, 1.6)
    thorax.aeration *= 1 - np.clip(share, 0, 0.92)
    return (blob > 0.35) & (thorax.lungs > 4)


def retrocardiac_opacity(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Filled lung behind the left half of the heart."""
    x, y = thorax.turn + rng.uniform(22, 42), thorax.floor - rng.uniform(22, 48)
    reach = 20 + 12 * finding.severity
    blob = np.exp(-(((thorax.canvas.x - x) / reach) ** 2) - ((thorax.canvas.y - y) / reach) ** 2)
    lumps = np.clip(1 + 0.3 * thorax.canvas.texture(rng, 9), 0.3, 1.7)
    thorax.solid += (14 + 26 * finding.severity) * blob * lumps
    return (blob > 0.35) & (thorax.heart > 4)


def raised_diaphragm(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Drawn by the pose; its place is the raised dome."""
    place = np.zeros(thorax.lungs.shape, bool)
    for side in finding.sides:
        outward = SIDES[side] * thorax.canvas.x
        place |= (np.abs(thorax.canvas.y - thorax.dome_y[side]) < 9) & (outward > 14) & (outward < thorax.wall_x)
    return place


def free_air(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A crescent of gas under the right dome."""
    below = thorax.canvas.y - thorax.dome_y["right"]
    height = (7 + 11 * finding.severity) * np.clip(1 - ((thorax.canvas.x + 62) / 55) ** 2, 0, 1)
    crescent = smoothstep((below - 2) / 1.5) * smoothstep((height - below) / 2 + 0.5) * (height > 1)
    thorax.solid -= (34 + 40 * finding.severity) * crescent
    return crescent > 0.3


def distended_stomach(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A large bubble of gas under the left dome, drawn with the stomach; its place is the bubble."""
    return thorax.stomach_gas > 8


def blunted_angle(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """An old scar that fills a costophrenic angle without fluid elsewhere."""
    area = np.zeros(thorax.lungs.shape, bool)
    for side in finding.sides:
        outward = SIDES[side] * thorax.canvas.x
        tip = float(thorax.dome_y[side].max())
        near = (thorax.canvas.y - (tip - 34 - 14 * finding.severity)) / 14
        near = near - np.clip((0.9 * thorax.patient.half_width_mm - outward) / 26, 0, None)
        share = smoothstep(near) * (outward > 0)
        thorax.aeration *= 1 - (0.6 + 0.35 * finding.severity) * share
        area |= (share > 0.3) & thorax.cavity[side]
    return area


def superior_cava_stent(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A mesh tube in the superior vena cava."""
    x, top = thorax.turn - thorax.patient.mediastinum_mm + 4, thorax.carina[1] - rng.uniform(26, 34)
    rows = np.linspace(top, top + rng.uniform(40, 52), 9)
    zigzag = np.where(np.arange(9) % 2, 6.0, -6.0)
    wires = [np.stack([x + sign * zigzag, rows], 1) for sign in (-1, 1)]
    wires += [np.array([(x + edge, rows[0]), (x + edge, rows[-1])]) for edge in (-6, 6)]
    thorax.metal += (0.6 + 0.5 * finding.severity) * thorax.canvas.strokes(wires, 1.8)
    return thorax.canvas.strokes([spline([(x, rows[0]), (x, rows[-1])])], 16) > 0.3
