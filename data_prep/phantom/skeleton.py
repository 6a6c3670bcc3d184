"""Ribs, clavicles, scapulae and spine: optical depth of bone, and the outline of each."""

import numpy as np

from data_prep.phantom.anatomy import SIDES, Thorax
from data_prep.phantom.canvas import smoothstep, spline

RIB_COUNT = 10


def rib_lines(thorax: Thorax, side: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Posterior and anterior course of each rib of one side, [N, 2] mm."""
    p, sign = thorax.patient, SIDES[side]
    rows, wall = thorax.canvas.y[:, 0], thorax.wall_x[:, 0]
    edge = lambda y: float(np.interp(y, rows, wall)) + 1.5  # noqa: E731
    spacing = (p.lung_height_mm + 18) / (RIB_COUNT - 0.5)
    back, front = [], []
    for number in range(RIB_COUNT):
        y0 = p.apex_mm - 4 + spacing * number
        drop = p.rib_slope * (20 + 9.5 * min(number, 7))
        turn_y = y0 + drop + 6
        reach = max(edge(turn_y), 32.0)
        back.append(spline([
            (sign * 17, y0), (sign * (17 + 0.3 * (reach - 17)), y0 - 3 + 0.06 * drop),
            (sign * (17 + 0.68 * (reach - 17)), y0 + 0.36 * drop), (sign * 0.95 * reach, y0 + 0.82 * drop),
            (sign * reach, turn_y + 6),
        ]))  # fmt: skip
        sink = 22 + p.rib_slope * (36 + 7 * number)
        low = turn_y + 0.55 * sink
        outer = max(edge(low), 32.0)
        inner = max(0.32 * p.half_width_mm, 22 + 4.5 * number)
        if number < 8:
            front.append(spline([
                (sign * reach, turn_y + 6), (sign * (0.25 * reach + 0.73 * outer), low - 4),
                (sign * (0.45 * inner + 0.5 * outer), turn_y + 0.85 * sink), (sign * inner, turn_y + sink),
            ]))  # fmt: skip
    return back, front


def clavicle_lines(thorax: Thorax) -> list[np.ndarray]:
    """Course of the right and the left clavicle, [N, 2] mm; they stand higher at the bedside."""
    p, lifted = thorax.patient, 16 if thorax.pose.view == "AP" else 0
    return [
        spline([
            (s * 17 + 0.6 * thorax.turn, p.apex_mm + 48 - lifted), (s * 55, p.apex_mm + 38 - 1.2 * lifted),
            (s * 100, p.apex_mm + 20 - lifted), (s * (p.half_width_mm + 22), p.apex_mm + 12 - 0.5 * lifted),
        ]) for s in (-1, 1)
    ]  # fmt: skip


def spine_x(thorax: Thorax, y: np.ndarray | float) -> np.ndarray:
    """Middle of the spine at some heights, mm."""
    return thorax.patient.scoliosis_mm * np.sin(np.asarray(y) / 80)


def bones(thorax: Thorax) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Optical depth [H, W] of the skeleton, and boolean outlines of rib, clavicle, spine."""
    canvas, p = thorax.canvas, thorax.patient
    blank = lambda: np.zeros((canvas.size, canvas.size), np.uint8)  # noqa: E731
    behind, before, collar = blank(), blank(), blank()
    lines = {side: rib_lines(thorax, side) for side in SIDES}
    backs, fronts = sum((lines[s][0] for s in SIDES), []), sum((lines[s][1] for s in SIDES), [])
    for picture, ribs, width in ((behind, backs, 11.0), (before, fronts, 12.0)):
        canvas.stroke(ribs, width, 255, picture)  # cortex: the rim of a hollow tube is denser than its middle
        canvas.stroke(ribs, width - 3.4, 160, picture)
    clavicles = clavicle_lines(thorax)
    canvas.stroke(clavicles, 12, 255, collar)
    canvas.stroke(clavicles, 7.5, 170, collar)
    out = p.half_width_mm + (4 if thorax.pose.view == "PA" else -14)
    blades = canvas.strokes(_both(out, p.apex_mm, [(-14, 62), (-6, 112), (12, 158)]), 7)
    blades += canvas.strokes(_both(out, p.apex_mm, [(-14, 62), (22, 34), (44, 36)]), 7)
    blades += 0.5 * canvas.strokes(_both(out, p.apex_mm, [(6, 60), (10, 130)]), 34)
    heads = canvas.strokes(_both(out, p.apex_mm, [(48, 46), (51, 62)]), 38)
    heads += canvas.strokes(_both(out, p.apex_mm, [(52, 60), (72, 310)]), 22)
    spine = _spine(thorax)
    behind_depth, before_depth = 0.32 * behind.astype(np.float32) / 255, 0.2 * before.astype(np.float32) / 255
    ribs = np.maximum(behind_depth, before_depth) + 0.6 * np.minimum(behind_depth, before_depth)
    depth = ribs + 0.36 * collar.astype(np.float32) / 255 + 0.15 * blades + 0.3 * heads
    outlines = {"rib": (behind > 0) | (before > 0), "clavicle": collar > 0, "spine": spine > 0.3}
    return np.float32(p.bone_density) * (canvas.blur(depth, 0.4) + 0.3 * spine), outlines


def _both(out: float, top: float, points: list[tuple[float, float]]) -> list[np.ndarray]:
    """A line beside the chest and its mirror image; points are (outwards from `out`, down from `top`) in mm."""
    return [spline([(sign * (out + x), top + y) for x, y in points]) for sign in SIDES.values()]


def _spine(thorax: Thorax) -> np.ndarray:
    """Vertebral bodies between discs, with pedicles and spinous processes, 0..1."""
    canvas, p = thorax.canvas, thorax.patient
    pitch = p.lung_height_mm / 10.6
    x = canvas.x - spine_x(thorax, canvas.y)
    phase = ((canvas.y - p.apex_mm) / pitch) % 1.0
    half = 16.5 + 0.018 * canvas.y
    column = smoothstep((half - np.abs(x)) / 7 + 0.5)
    body = 0.62 + 0.38 * smoothstep((np.minimum(phase, 1 - phase) - 0.06) / 0.1)
    pedicle = np.exp(-(((np.abs(x) - 10) / 3.2) ** 2)) * np.exp(-(((phase - 0.35) / 0.13) ** 2))
    process = np.exp(-((x / 2.6) ** 2)) * np.exp(-(((phase - 0.7) / 0.2) ** 2))
    return (column * body + 0.3 * pedicle + 0.3 * process).astype(np.float32)
