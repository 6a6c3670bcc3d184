"""Findings of the skeleton: fractures, wear, bending, and hardware."""

import numpy as np

from data_prep.phantom.anatomy import Thorax
from data_prep.phantom.finding import Finding
from data_prep.phantom.skeleton import clavicle_lines, rib_lines, spine_x


def _callus(thorax: Thorax, x: float, y: float, radius_mm: float, density: float) -> np.ndarray:
    """A step and a lump of new bone; returns its place."""
    q = ((thorax.canvas.x - x) / radius_mm) ** 2 + ((thorax.canvas.y - y) / (0.85 * radius_mm)) ** 2
    gap = np.exp(-(((thorax.canvas.x - x) / 1.4) ** 2)) * (q < 1)
    thorax.metal += density * np.exp(-2 * q) - 0.3 * gap
    return q < 1.5


def rib_fracture(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Healing breaks of one to three neighbouring posterior ribs."""
    ribs = rib_lines(thorax, finding.attributes["side"])[0]
    place = np.zeros(thorax.lungs.shape, bool)
    for number in range(1 + int(2 * finding.severity)):
        rib = ribs[min(len(ribs) - 1, 1 + finding.attributes["number"] + number)]
        x, y = rib[int(finding.attributes["across"] * (len(rib) - 1))]
        place |= _callus(thorax, x, y, 8, 0.15 + 0.3 * finding.severity)
    return place


def clavicle_fracture(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A break of the middle of one clavicle, with callus."""
    line = clavicle_lines(thorax)[finding.attributes["side"] == "left"]
    x, y = line[int(rng.uniform(0.35, 0.65) * (len(line) - 1))]
    return _callus(thorax, x, y, 12, 0.3 + 0.35 * finding.severity)


def worn_spine(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Osteophytes that bridge some discs on either side, and sclerotic end plates."""
    canvas, p = thorax.canvas, thorax.patient
    pitch = p.lung_height_mm / 10.6
    spurs, plates = [], []
    first = int(rng.integers(3, 6))
    for level in range(first, first + 3 + int(3 * finding.severity)):
        y = p.apex_mm + pitch * level
        middle, half = float(spine_x(thorax, y)), 16.5 + 0.018 * y
        plates.append(np.array([(middle - half, y), (middle + half, y)]))
        for sign in (-1, 1):
            rim, beak = middle + sign * (half - 1), middle + sign * (half + 5)
            spurs.append(np.array([(rim, y - 5), (beak, y), (rim, y + 5)]))
    drawn = canvas.strokes(spurs, 3.5) + 0.7 * canvas.strokes(plates, 4.0)
    thorax.metal += (0.2 + 0.3 * finding.severity) * canvas.blur(drawn, 0.6)
    return canvas.strokes(plates, 14) + canvas.strokes(spurs, 8) > 0.1


def bent_spine(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Scoliosis, drawn by the pose; its place is the spine."""
    return np.abs(thorax.canvas.x - spine_x(thorax, thorax.canvas.y)) < 18 + 0 * thorax.canvas.y


def spinal_hardware(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Two rods along the spine, held by screws."""
    top = thorax.patient.apex_mm + rng.uniform(50, 100)
    rows = np.linspace(top, top + rng.uniform(70, 120), 12)
    rods = [np.stack([spine_x(thorax, rows) + s * 12, rows], 1) for s in (-1, 1)]
    screws = [np.array([point - (4, 0), point + (4, 0)]) for rod in rods for point in rod[::3]]
    thorax.metal += 1.1 * thorax.canvas.strokes(rods, 4.0) + 0.9 * thorax.canvas.strokes(screws, 4.5)
    return thorax.canvas.strokes(rods, 12) > 0.1
