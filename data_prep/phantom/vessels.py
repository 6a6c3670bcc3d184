"""Pulmonary vessels: trees that branch from each hilum, in mm of blood along the beam."""

import numpy as np

from data_prep.phantom.anatomy import SIDES, Thorax

WIDTHS_MM = (5.5, 4.1, 3.1, 2.4, 1.9, 1.5)


def _trunks(rng: np.random.Generator, thorax: Thorax) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start [N, 2] mm, heading [N] rad and length [N] mm of the vessels that leave both hila."""
    fan = np.concatenate([np.linspace(-1.35, -0.4, 3), np.linspace(0.05, 1.4, 5)])
    starts, headings = [], []
    for side, sign in SIDES.items():
        angle = fan + rng.normal(0, 0.09, len(fan))
        headings.append(angle if sign > 0 else np.pi - angle)
        shift = np.stack([np.zeros(len(fan)), 10 * np.sign(fan)], 1)
        starts.append(np.array(thorax.hilum[side]) + shift + rng.normal(0, 3, (len(fan), 2)))
    lengths = rng.uniform(26, 40, 2 * len(fan)) * thorax.patient.lung_height_mm / 232
    return np.vstack(starts), np.concatenate(headings), lengths


def pulmonary_vessels(thorax: Thorax) -> np.ndarray:
    """Blood along the beam, mm [H, W] float32. The tree is the patient's own: it is the same in all their studies.

    Args:
        thorax: gives hila, patient and the widening of vessels in congestion (`pose.vessel_scale`).
    """
    p, canvas = thorax.patient, thorax.canvas
    rng = np.random.default_rng([12, len(p.population), p.seed, p.number])
    gain = p.vessel_gain * thorax.pose.vessel_scale
    picture = np.zeros((canvas.size, canvas.size), np.uint8)
    generations = []
    start, heading, length = _trunks(rng, thorax)
    for width in WIDTHS_MM:
        angles = heading[:, None] + np.cumsum(rng.normal(0, 0.1, (len(heading), 5)), 1)
        steps = np.stack([np.cos(angles), np.sin(angles)], 2) * (length / 5)[:, None, None]
        lines = np.concatenate([start[:, None], start[:, None] + np.cumsum(steps, 1)], 1)  # [N, 6, 2]
        generations.append((width, list(lines)))
        fork = rng.uniform(0.15, 0.5, (2, len(heading))) * np.array([[1.0], [-1.0]])
        alive = rng.random((2, len(heading))) < (0.95 if len(heading) < 100 else 0.7)  # some branches end
        start = np.concatenate([lines[alive[0], -1], lines[alive[1], -1]])
        heading = np.concatenate([(angles[:, -1] + fork[k])[alive[k]] for k in (0, 1)])
        length = np.concatenate([length[alive[k]] for k in (0, 1)]) * rng.uniform(0.66, 0.9, len(heading))
    for width, lines in reversed(generations):  # the widest on top
        canvas.stroke(lines, width * gain, min(255.0, 60 * (width * gain) ** 0.7), picture)
    blood = canvas.blur(picture.astype(np.float32), 0.8) * np.float32(3.6 / 60)  # seen a little deeper than wide
    blood *= np.where(canvas.y < thorax.carina[1] + 15, np.float32(thorax.pose.upper_vessel_scale), np.float32(1.0))
    return blood
