"""Where each anatomy of the vocabulary lies in a phantom, as boolean masks."""

import cv2
import numpy as np

from data_prep.phantom.anatomy import SIDES, Thorax


def anatomy_places(thorax: Thorax, outlines: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Masks of every anatomy that has a place ("unspecified" and "other" have none).

    Args:
        thorax: with its organs in place.
        outlines: of rib, clavicle and spine, from `skeleton.bones`.

    Returns:
        bool [H, W] on the canvas, by anatomy.
    """
    canvas, p = thorax.canvas, thorax.patient
    x, y = canvas.x, canvas.y
    height = p.lung_height_mm
    down = (y - p.apex_mm) / np.float32(height)
    inset = thorax.inset
    places = dict(outlines)
    for side, sign in SIDES.items():
        cavity = thorax.cavity[side]
        lung = cavity & (thorax.lung[side] > 6)
        dome = thorax.dome_y[side]
        outward = sign * x
        near_dome = np.abs(y - dome) < 9
        behind_wall = (inset > 0) & (inset < 13) & cavity
        places |= {
            f"{side}_lung_unspec": lung,
            f"{side}_apical_lung": lung & (down < 0.17),
            f"{side}_upper_lung": lung & (down < 0.36),
            f"{side}_mid_lung": lung & (down >= 0.36) & (down < 0.68),
            f"{side}_lower_lung": lung & (down >= 0.68),
            f"lower_{side}_lobe": lung & (down > 0.5 - 0.1 * np.clip(outward / 100, 0, 1)),
            f"{side}_pleural": behind_wall | (cavity & near_dome) | (thorax.pleura & (outward > 0)),
            f"{side}_diaphragm": near_dome & (outward > 14) & (outward < thorax.wall_x),
            f"{side}_costophrenic": _disc(thorax, (sign * 0.88 * p.half_width_mm, float(dome.max()) - 14), 24, 26),
            f"{side}_hilar": _disc(thorax, thorax.hilum[side], 17, 25),
        }
        if side == "right":
            places["upper_right_lobe"] = lung & (down < 0.5)
            places["middle_right_lobe"] = lung & (down >= 0.5) & (down < 0.9) & (outward < 0.75 * p.half_width_mm)
        else:
            places["upper_left_lobe"] = lung & (down < 0.66)
    both = lambda name: places[f"left_{name}"] | places[f"right_{name}"]  # noqa: E731
    lungs = both("lung_unspec")
    heart = thorax.heart > 12
    mediastinum = ((thorax.organ["mediastinum"] > 12) | (thorax.organ["aorta"] > 6)) & (y < thorax.floor)
    mediastinum &= y > p.apex_mm
    cy = thorax.carina[1]
    margin = max(1, round(5 / canvas.mm_per_px))
    edge = ~_shrunk(heart, margin) & ~_shrunk(~heart, margin) & (y < thorax.floor)
    atrium = (thorax.organ["atrium"] > 10) & (x < thorax.turn)
    places |= {
        "hilar_unspec": both("hilar"), "pleural_unspec": both("pleural"), "diaphragm_unspec": both("diaphragm"),
        "costophrenic_unspec": both("costophrenic"), "lung_apices": both("apical_lung"),
        "lung_bases": both("lower_lung"),
        "interstitium": lungs, "parenchymal": lungs, "pulmonary": lungs, "lung_volumes": lungs,
        "cardiopulmonary": lungs | heart, "heart_size": heart, "heart_border": edge,
        "retrocardiac": heart & (x > thorax.turn),
        "mediastinal": mediastinum | heart, "aorta": thorax.organ["aorta"] > 6, "svc": thorax.organ["svc"] > 5,
        "right_atrium": atrium,
        "right_ventricle": heart & (np.abs(x - thorax.turn - 12) < 34) & (y > thorax.floor - 50),
        "trachea": (np.abs(x - thorax.trachea_x) < 9) & (y < cy),
        "stomach": _disc(thorax, (70, thorax.stomach_y), 42, 32) | thorax.stomach,
        "cardiophrenic_sulcus": sum(
            _disc(thorax, (edge_x + outward, thorax.floor - 5), 20, 20)
            for edge_x, outward in zip(thorax.heart_x, (-5, 5), strict=True)
        ) + thorax.sulcus > 0,
        "cavoatrial_junction": _disc(thorax, (thorax.turn - p.mediastinum_mm + 5, thorax.floor - 84), 13, 13),
    }  # fmt: skip
    return places


def _disc(thorax: Thorax, centre: tuple[float, float], half_width: float, half_height: float) -> np.ndarray:
    x, y = thorax.canvas.x, thorax.canvas.y
    return ((x - centre[0]) / half_width) ** 2 + ((y - centre[1]) / half_height) ** 2 < 1


def _shrunk(mask: np.ndarray, steps: int) -> np.ndarray:
    return cv2.erode(mask.astype(np.uint8), np.ones((2 * steps + 1, 2 * steps + 1), np.uint8)) > 0
