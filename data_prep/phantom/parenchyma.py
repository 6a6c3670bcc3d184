"""Findings of lung, heart and diaphragm: each changes the state of a `Thorax` and returns where it is, bool [H, W]."""

import numpy as np

from data_prep.phantom.anatomy import SIDES, Thorax
from data_prep.phantom.canvas import smoothstep, spline
from data_prep.phantom.finding import Finding

PULL = 0.04  # filling above this share of the depth counts as the finding's area


def _fill(thorax: Thorax, share: np.ndarray, window: tuple[slice, slice], cut: float = PULL) -> np.ndarray:
    """Fill a share of the depth with fluid or cells in a window; returns the area inside lung."""
    thorax.aeration[window] *= 1 - share
    area = np.zeros(thorax.lungs.shape, bool)
    area[window] = (share > cut) & (thorax.lungs[window] > 6)
    return area


def _local(thorax: Thorax, x: float, y: float, radius: float) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    window = thorax.canvas.window(x, y, radius)
    return window, thorax.canvas.x[:, window[1]] - np.float32(x), thorax.canvas.y[window[0]] - np.float32(y)


def pneumonia(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Fluffy, soft-edged filling with acinar lumps about a centre."""
    x, y = thorax.place(finding.attributes["side"], finding.attributes["across"], finding.attributes["down"])
    half = 0.5 * finding.attributes["size_mm"]
    window, dx, dy = _local(thorax, x, y, 1.7 * half)
    q = (dx / half) ** 2 + (dy / (0.85 * half)) ** 2 + 0.28 * thorax.canvas.texture(rng, 0.45 * half, window)
    lumps = 1 + 0.3 * thorax.canvas.texture(rng, 9.5, window)
    share = (0.2 + 0.36 * finding.severity) * smoothstep((1.35 - q) / 1.1) * np.clip(lumps, 0.25, 1.8)
    return _fill(thorax, np.clip(share, 0, 0.9), window, 0.09)


def consolidation(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Dense, even filling of a segment up to a straight fissure, with air-filled bronchi running through it."""
    at, sign = finding.attributes, SIDES[finding.attributes["side"]]
    x, y = thorax.place(at["side"], at["across"], at["down"])
    half = 0.5 * at["size_mm"]
    window, dx, dy = _local(thorax, x, y, 1.8 * half)
    upper = at["lobe"] == "upper"
    tilt = 0.12 if at["lobe"] != "lower" else 0.45
    fissure = (0.5 * half - dy + tilt * sign * dx) if upper else (dy + 0.5 * half - tilt * sign * dx)
    away = 1.15 * half + (dy if upper else -dy) + 4 * thorax.canvas.texture(rng, 14, window)
    beside = 1.25 * half - np.abs(dx) + 4 * thorax.canvas.texture(rng, 14, window)
    share = smoothstep(fissure / 2.5 + 0.5) * smoothstep(away / 22) * smoothstep(beside / 20)
    hilum = np.array(thorax.hilum[at["side"]])
    ends = [np.array([x, y]) + rng.uniform(-0.8, 0.8, 2) * half for _ in range(7)]
    bronchi = thorax.canvas.strokes(
        [
            spline([0.65 * np.array([x, y]) + 0.35 * hilum, 0.5 * (end + (x, y)) + rng.normal(0, 3, 2), end])
            for end in ends
        ],
        2.2,
    )
    bronchi = thorax.canvas.blur(bronchi, 0.9)
    return _fill(thorax, (0.38 + 0.5 * finding.severity) * share * (1 - 0.8 * bronchi[window]), window, 0.15)


def haze(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Smooth ground glass through which vessels stay visible."""
    x, y = thorax.place(finding.attributes["side"], finding.attributes["across"], finding.attributes["down"])
    half = 0.5 * finding.attributes["size_mm"]
    window, dx, dy = _local(thorax, x, y, 1.6 * half)
    share = (0.1 + 0.16 * finding.severity) * smoothstep((1.5 - (dx / half) ** 2 - (dy / half) ** 2) / 1.3)
    return _fill(thorax, share, window)


def infiltrate(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Ill-defined streaks and small patches fanning out from the hilum."""
    area = np.zeros(thorax.lungs.shape, bool)
    for side in finding.sides:
        sign, hilum = SIDES[side], np.array(thorax.hilum[side])
        reach = 0.75 * finding.attributes["size_mm"]
        count = int(38 + 30 * finding.severity)
        angle, far = rng.uniform(-0.55, 1.4, count), 14 + reach * rng.random(count) ** 0.8
        toward = np.stack([sign * np.cos(angle), np.sin(angle)], 1)
        start = hilum + toward * far[:, None]
        end = start + toward * rng.uniform(6, 20, (count, 1)) + rng.normal(0, 3, (count, 2))
        streaks = thorax.canvas.strokes(list(np.stack([start, end], 1)), 2.6)
        dots = thorax.canvas.strokes(list(np.stack([end, end + rng.normal(0, 1.5, (count, 2))], 1)), 6.5)
        spots = np.clip(thorax.canvas.blur(streaks + 0.8 * dots, 2.0), 0, 1)
        share = (0.13 + 0.25 * finding.severity) * (spots + 0.4 * thorax.canvas.blur(spots, 7))
        share = np.clip(share, 0, 0.8) * (sign * thorax.canvas.x > 0)
        thorax.aeration *= 1 - share
        area |= (thorax.canvas.blur(share, 6) > 0.035) & (thorax.lung[side] > 6)
    return area


def plate_atelectasis(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Thin, sharp, nearly level bands at the base; the raised dome is part of the pose."""
    at, area = finding.attributes, thorax.canvas.zeros()
    for side in finding.sides:
        sign = SIDES[side]
        for number in range(1 + int(rng.random() < 0.6) + int(finding.severity > 0.6)):
            x, y = thorax.place(
                side, at["across"] + rng.normal(0, 0.08), at["down"] - 0.07 * number + rng.normal(0, 0.015)
            )
            half, tilt = 0.5 * at["size_mm"] * rng.uniform(0.7, 1.1), sign * rng.uniform(-0.32, 0.12)
            line = spline([(x - half, y + half * tilt), (x, y + rng.uniform(-4, 1)), (x + half, y - half * tilt)])
            area = np.maximum(area, thorax.canvas.strokes([line], rng.uniform(3.5, 5.0 + 3.0 * finding.severity)))
    thorax.solid += (12 + 32 * finding.severity) * thorax.canvas.blur(area, 0.7) * (thorax.lungs > 10)
    return (thorax.canvas.blur(area, 3) > 0.12) & (thorax.lungs > 6)


def scar(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A few fine strands at the apex, pulling towards it."""
    lines = []
    for side in finding.sides:
        for _ in range(4):
            x, y = thorax.place(side, finding.attributes["across"] + rng.normal(0, 0.1), finding.attributes["down"])
            far = np.array([x, y]) + rng.normal((0, 0.7 * finding.attributes["size_mm"]), 9)
            lines.append(spline([(x, y), 0.5 * (far + (x, y)) + rng.normal(0, 3, 2), far], 8))
    strands = thorax.canvas.strokes(lines, 1.8)
    thorax.solid += (6 + 14 * finding.severity) * strands * (thorax.lungs > 6)
    return (thorax.canvas.blur(strands, 3) > 0.08) & (thorax.lungs > 6)


def nodule_or_mass(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A solid, well-marked ball; larger ones are lobulated. A granuloma is small and calcified."""
    x, y = thorax.place(finding.attributes["side"], finding.attributes["across"], finding.attributes["down"])
    half = 0.5 * finding.attributes["size_mm"]
    window, dx, dy = _local(thorax, x, y, 1.6 * half + 4)
    angle = np.arctan2(dy, dx)
    uneven = 0.05 if finding.kind != "mass" else 0.13
    rim = 1 + sum(uneven / k * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (2, 3, 4, 5))
    chord = 2 * half * np.sqrt(np.maximum(1 - (dx**2 + (dy * rng.uniform(0.85, 1.2)) ** 2) / (half * rim) ** 2, 0))
    inside = np.minimum(chord, thorax.lungs[window]) * (1 - thorax.patient.lung_density)
    thorax.solid[window] += inside * (2.6 if finding.kind == "granuloma" else 1.15 + 0.75 * finding.severity)
    area = np.zeros(thorax.lungs.shape, bool)
    area[window] = chord > 0.4 * half
    return area


def edema(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Bilateral haze about the hila, with septal lines at the bases; vessels widen through the pose."""
    canvas, cloud = thorax.canvas, thorax.canvas.zeros()
    for side, sign in SIDES.items():
        hx, hy = thorax.hilum[side]
        dx, dy = (canvas.x - hx - sign * 16) / 46, (canvas.y - hy - 14) / 66
        cloud = cloud + np.exp(-(dx**2) - dy**2) * (sign * canvas.x > 0)
    lumps = np.clip(1 + 0.22 * canvas.texture(rng, 16), 0.3, 2)
    share = np.clip((0.1 + 0.36 * finding.severity) * cloud * lumps, 0, 0.85)
    septa = []
    for side in SIDES:
        for _ in range(10):
            x, y = thorax.place(side, 1.0, rng.uniform(0.62, 1.0))
            septa.append(np.array([(x, y), (x - SIDES[side] * rng.uniform(12, 20), y + rng.normal(0, 2))]))
    thorax.solid += (3 + 8 * finding.severity) * canvas.strokes(septa, 1.3) * (thorax.lungs > 6)
    thorax.aeration *= 1 - share
    return (share > 0.3 * (0.1 + 0.36 * finding.severity)) & (thorax.lungs > 6)


def fibrosis(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A net of fine lines with small cysts between, at the rim of the lungs and the bases (or the apices)."""
    canvas = thorax.canvas
    down = (canvas.y - thorax.patient.apex_mm) / np.float32(thorax.patient.lung_height_mm)
    level = smoothstep((0.45 - down) / 0.3) if finding.attributes["upper"] else smoothstep((down - 0.42) / 0.35)
    where = np.clip(level * (0.35 + 0.65 * smoothstep((45 - thorax.inset) / 35)), 0, 1) * (thorax.lungs > 5)
    net = np.clip(1 - np.abs(canvas.texture(rng, 9)) / 0.42, 0, 1) + 0.7 * np.clip(
        1 - np.abs(canvas.texture(rng, 6)) / 0.4, 0, 1
    )
    thorax.solid += (11 + 28 * finding.severity) * net * where
    thorax.aeration *= 1 - 0.08 * finding.severity * where
    return where > 0.35


def emphysema(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Dark lungs with few markings; the flat diaphragm and the long, narrow heart are part of the pose."""
    thorax.density *= 1 - 0.35 - 0.35 * finding.severity
    holes = []
    for side in SIDES:
        for _ in range(int(1.5 + 4 * finding.severity)):
            x, y = thorax.place(side, rng.uniform(0.3, 0.8), rng.uniform(0.08, 0.4))
            radius = rng.uniform(10, 22)
            turn = np.linspace(0, 2 * np.pi * rng.uniform(0.4, 0.9), 20) + rng.uniform(0, 6.3)
            holes.append(np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], 1))
            thorax.free_air = np.maximum(
                thorax.free_air, 0.7 * (thorax.canvas.ellipsoid((x, y), (radius, radius), 1) > 0.3)
            )
    thorax.solid += 11 * thorax.canvas.strokes(holes, 1.8) * (thorax.lungs > 8)
    return thorax.lungs > 12


def heart_shape(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Cardiomegaly: already drawn by the pose; its place is the heart."""
    return thorax.heart > 12


def aorta_shape(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Tortuous aorta: already drawn by the pose; its place is the aorta."""
    return thorax.organ["aorta"] > 6


def low_volumes(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """Shallow inspiration: drawn by the pose; its place is both lungs."""
    return thorax.lungs > 12


def hernia(thorax: Thorax, finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """A rounded pouch of stomach behind the heart, gas above a level of fluid."""
    canvas, half = thorax.canvas, 0.5 * finding.attributes["size_mm"] * 1.25
    x, y = thorax.turn + finding.attributes["offset_mm"], thorax.floor - 0.55 * half
    pouch = canvas.ellipsoid((x, y), (1.15 * half, half), 2 * half)
    inner = canvas.ellipsoid((x, y), (1.15 * half - 3.5, half - 3.5), 2 * half - 6)
    gas = inner * smoothstep((y + rng.uniform(-0.1, 0.45) * half - canvas.y) / 1.5)
    thorax.solid += (0.65 + 0.35 * finding.severity) * (pouch - 1.5 * gas)
    thorax.stomach |= pouch > 0.3 * half
    return pouch > 0.3 * half
