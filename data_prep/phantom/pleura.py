"""Findings of the pleura: fluid, air and scar between lung and ribs."""

import numpy as np

from data_prep.phantom.anatomy import SIDES, Thorax
from data_prep.phantom.canvas import smoothstep
from data_prep.phantom.finding import Finding


def effusion(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Fluid from the costophrenic angle up, its surface a meniscus that climbs the chest wall; supine, a veil."""
    canvas, p = thorax.canvas, thorax.patient
    area = np.zeros(thorax.lungs.shape, bool)
    for side in finding.sides:
        sign, height = SIDES[side], finding.attributes["size_mm"] * rng.uniform(0.8, 1.2)
        recess = float(thorax.dome_y[side].max())
        outward = np.clip((sign * canvas.x - 12) / np.float32(p.half_width_mm - 12), 0, 1)
        surface = recess - height * (0.5 + 0.6 * outward**3)
        veil = 26 if thorax.pose.view == "AP" else 9
        share = smoothstep((canvas.y - surface) / (veil + 0.18 * height)) * (sign * canvas.x > 0)
        thorax.aeration *= 1 - 0.96 * share
        area |= (share > 0.3) & thorax.cavity[side]
    thorax.pleura |= area
    return area


def pneumothorax(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Air without markings at apex and side, bounded by the thin line of the visceral pleura."""
    canvas, side = thorax.canvas, finding.attributes["side"]
    half = SIDES[side] * canvas.x > thorax.medial_x - 4
    down = np.clip((canvas.y - thorax.patient.apex_mm) / np.float32(thorax.patient.lung_height_mm), 0, 1)
    edge = finding.attributes["size_mm"] * np.clip(1.25 - rng.uniform(0.55, 1.15) * down, 0, 2)
    beyond = (edge - thorax.inset) * half
    share = smoothstep(beyond / 1.6 + 0.5) * half
    line = np.exp(-((beyond / 1.5) ** 2)) * half * (edge > 1) * (thorax.lung[side] > 4)
    thorax.free_air = np.maximum(thorax.free_air, share)
    thorax.solid += (9 + 9 * finding.severity) * line
    thorax.aeration *= 1 - 0.3 * finding.severity * half * (1 - share)
    area = (share > 0.5) & thorax.cavity[side]
    thorax.pleura |= area
    return area


def thickening(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A lumpy rind of tissue along the chest wall, or a cap over the apex."""
    canvas, area = thorax.canvas, np.zeros(thorax.lungs.shape, bool)
    down = (canvas.y - thorax.patient.apex_mm) / np.float32(thorax.patient.lung_height_mm)
    for side in finding.sides:
        low, high = (-0.1, rng.uniform(0.14, 0.24)) if rng.random() < 0.3 else (rng.uniform(0.15, 0.45), 1.1)
        lumps = np.clip(1 + 0.32 * canvas.texture(rng, 34), 0.3, 2)
        extent = smoothstep((down - low) / 0.12) * smoothstep((high - down) / 0.1)
        rind = smoothstep((finding.attributes["size_mm"] * lumps * extent - thorax.inset) / 2.2 + 0.5)
        rind = rind * (extent > 0.05) * (SIDES[side] * canvas.x > thorax.medial_x)
        thorax.solid += (24 + 36 * finding.severity) * rind * (thorax.lung[side] > 0)
        area |= (canvas.blur(rind.astype(np.float32), 2) > 0.3) & thorax.cavity[side]
    thorax.pleura |= area
    return area
