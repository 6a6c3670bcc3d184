"""Tubes, lines and implants: dense, thin, man-made."""

import numpy as np

from data_prep.phantom.anatomy import SIDES, Thorax
from data_prep.phantom.canvas import spline
from data_prep.phantom.finding import Finding


def _lay(thorax: Thorax, lines: list[np.ndarray], width_mm: float, optical_depth: float) -> np.ndarray:
    """Add lines of a device; returns its place, a little wider than itself."""
    drawn = thorax.canvas.strokes(lines, width_mm)
    thorax.metal += np.float32(optical_depth) * drawn
    return thorax.canvas.strokes(lines, width_mm + 5) > 0.1


def endotracheal_tube(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A tube down the trachea with a dense stripe, its tip some way above the carina."""
    rows, cy = thorax.canvas.y[:, 0], thorax.carina[1]
    tip = cy - rng.uniform(10, 55)
    heights = np.linspace(-215, tip, 6)
    middle = np.interp(heights, rows, thorax.trachea_x[:, 0]) + rng.normal(0, 2, 6)
    line = spline(list(zip(middle, heights, strict=True)), 40)
    _lay(thorax, [line + (-4, 0), line + (4, 0)], 1.2, 0.25)
    return _lay(thorax, [line + (2, 0)], 1.6, 0.5)


def gastric_tube(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A thin tube along the oesophagus into the stomach."""
    x = thorax.turn * 0.5 + rng.normal(4, 3)
    end = (rng.uniform(35, 70), thorax.floor + rng.uniform(28, 60))
    path = [(x, -230), (x + rng.normal(0, 3), -60), (x + 5, 0.6 * thorax.floor), (x + 14, thorax.floor + 8), end]
    return _lay(thorax, [spline(path, 40)], 2.2, 0.38)


def chest_tube(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A drain through the side wall towards the apex."""
    side = finding.attributes["side"]
    (x0, y0), (x1, y1) = (
        thorax.place(side, 1.1, rng.uniform(0.6, 0.85)),
        thorax.place(side, 0.6, rng.uniform(0.08, 0.4)),
    )
    line = spline([(x0 + SIDES[side] * 60, y0 + 22), (x0, y0), (0.3 * x0 + 0.7 * x1, 0.5 * (y0 + y1)), (x1, y1)], 40)
    _lay(thorax, [line], 7.0, 0.1)
    return _lay(thorax, [line], 1.8, 0.45)


def _to_cava(
    thorax: Thorax, finding: Finding, path: list[tuple[float, float]], rng: np.random.Generator
) -> list[tuple[float, float]]:
    """The end that all central catheters share: down the superior vena cava to where the finding has its tip.

    A line whose tip lies elsewhere ends where the path does, before the vein.
    """
    if finding.anatomies == ("other",):
        return path
    x = thorax.turn - thorax.patient.mediastinum_mm + 6
    cy, junction = thorax.carina[1], thorax.floor - 84
    tip = {
        "svc": (x, cy + rng.uniform(-12, 14)),
        "cavoatrial_junction": (x + 1, junction + rng.uniform(-8, 8)),
        "right_atrium": (x + rng.uniform(2, 10), junction + rng.uniform(24, 46)),
    }[finding.anatomies[0]]
    return [*path, (x - 1, cy - 38), (0.5 * (x - 1 + tip[0]), 0.5 * (cy - 38 + tip[1])), tip]


def central_line(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A catheter from the neck or below the clavicle to the superior vena cava."""
    sign, top = SIDES[finding.attributes["side"]], thorax.patient.apex_mm
    if rng.random() < 0.6:
        path = [(sign * rng.uniform(38, 52), top - 70), (sign * 34, top - 10), (sign * 16 - 5, top + 32)]
    else:
        path = [(sign * 115, top + 52), (sign * 85, top + 26), (sign * 45, top + 25), (sign * 14 - 5, top + 38)]
    return _lay(thorax, [spline(_to_cava(thorax, finding, path, rng), 40)], 2.3, 0.42)


def dialysis_catheter(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A thick double catheter, tunnelled over a clavicle."""
    sign, top = SIDES[finding.attributes["side"]], thorax.patient.apex_mm
    path = [(sign * 78, top + 95), (sign * 66, top + 40), (sign * 34, top + 6), (sign * 15 - 5, top + 32)]
    line = spline(_to_cava(thorax, finding, path, rng), 48)
    _lay(thorax, [line + (2, 0)], 1.6, 0.5)
    return _lay(thorax, [line], 5.0, 0.4)


def picc(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A very thin catheter from the arm."""
    sign, top = SIDES[finding.attributes["side"]], thorax.patient.apex_mm
    reach = thorax.patient.half_width_mm
    path = [(sign * (reach + 55), top + 150), (sign * (reach + 18), top + 62), (sign * 90, top + 30),
            (sign * 45, top + 27), (sign * 14 - 5, top + 38)]  # fmt: skip
    return _lay(thorax, [spline(_to_cava(thorax, finding, path, rng), 48)], 1.5, 0.4)


def _generator(thorax: Thorax, rng: np.random.Generator) -> tuple[tuple[float, float], np.ndarray]:
    """A generator below the left clavicle: its middle, and its place."""
    bx, by = 88 + rng.normal(0, 7), thorax.patient.apex_mm + 58 + rng.normal(0, 8)
    box = ((np.abs(thorax.canvas.x - bx) / 21) ** 4 + (np.abs(thorax.canvas.y - by) / 17) ** 4) < 1
    thorax.metal += 1.9 * box
    return (bx, by), box


def nerve_stimulator(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A generator like a pacemaker's, whose lead goes up to the vagus nerve in the neck instead of to the heart."""
    (bx, by), box = _generator(thorax, rng)
    neck = (rng.uniform(28, 40), thorax.patient.apex_mm - 75)
    return _lay(thorax, [spline([(bx - 14, by - 12), (bx - 30, by - 45), neck], 24)], 1.8, 0.7) | box


def pacemaker(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A generator below the left clavicle, and leads to the right atrium, the ventricle, or both."""
    top = thorax.patient.apex_mm
    (bx, by), box = _generator(thorax, rng)
    cava = [(bx - 12, by - 15), (55, top + 32), (8, top + 42), (thorax.turn - 18, thorax.carina[1])]
    atrium = (thorax.turn - 20, thorax.floor - 42)
    leads = {
        "right_atrium": spline([*cava, (atrium[0] - 6, atrium[1] + 12), atrium], 40),
        "right_ventricle": spline([*cava, (atrium[0] - 4, atrium[1] + 10), (thorax.turn + 34, thorax.floor - 8)], 40),
    }
    return _lay(thorax, [leads[chamber] for chamber in finding.anatomies], 1.8, 0.7) | box


def leadless_pacemaker(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A capsule in the right ventricle."""
    x, y = thorax.turn + rng.uniform(8, 34), thorax.floor - rng.uniform(10, 30)
    angle = rng.uniform(0.2, 1.0)
    half = 13 * np.array([np.cos(angle), np.sin(angle)])
    return _lay(thorax, [np.array([np.array([x, y]) - half, np.array([x, y]) + half])], 7.0, 1.5)


def sternal_wires(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Wire loops down the sternum."""
    loops = []
    for y in np.linspace(thorax.patient.apex_mm + 55, thorax.floor - 45, 6) + rng.normal(0, 3, 6):
        turn = np.linspace(0, 2 * np.pi, 12)
        loops.append(np.stack([rng.normal(0, 1.5) + thorax.turn * 0.8 + 9 * np.cos(turn), y + 5 * np.sin(turn)], 1))
    return _lay(thorax, loops, 1.3, 0.75)


def clips(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A cluster of short metal clips."""
    at = finding.attributes
    x, y = thorax.place(at["side"], at["across"], at["down"])
    lines = []
    for _ in range(at["number"]):
        start = np.array([x, y]) + rng.normal(0, 12, 2)
        lines.append(np.stack([start, start + rng.normal(0, 3.5, 2)]))
    return _lay(thorax, lines, 1.8, 1.1)


def monitor_leads(thorax: Thorax, rng: np.random.Generator) -> None:
    """Electrodes and their wires on the skin of bedside patients: no finding, only in the way."""
    for _ in range(int(rng.integers(2, 5))):
        x, y = rng.uniform(-150, 150), rng.uniform(-110, 110)
        line = spline([(x, y), (x + rng.normal(0, 40), y + 60), (x + rng.normal(0, 80), 235)], 24)
        _lay(thorax, [line], 1.6, rng.uniform(0.12, 0.4))
        _lay(thorax, [np.array([(x, y), (x + 0.5, y)])], rng.uniform(6, 11), rng.uniform(0.15, 0.6))
