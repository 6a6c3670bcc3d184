"""The chest without disease: thickness of every organ along the X-ray beam, in mm, on a canvas.

Lungs are ellipses cut by mediastinum and diaphragm; heart, great vessels and hila are ellipsoids and tubes that
displace lung. Findings then change the state of the lung (`aeration`, `free_air`, `solid`), see `parenchyma.py`.
"""

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

from data_prep.phantom.canvas import Canvas, smoothstep, spline
from data_prep.phantom.patient import PhantomPatient

SIDES = {"right": -1, "left": 1}  # patient's right lies at negative x


@dataclass
class Pose:
    """How the patient stood or lay for one study, and what disease does to the outlines (filled in by `render`)."""

    view: str  # "PA" or "AP"
    turn_mm: float  # shift of heart and mediastinum when the patient is turned
    heart_scale: float = 1.0
    lift_mm: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SIDES, 0.0))  # side -> raised dome
    shift_mm: float = 0.0  # mediastinum pushed (or pulled) towards the patient's left
    vessel_scale: float = 1.0
    upper_vessel_scale: float = 1.0  # above 1: blood redistributed to the upper lobes
    knob_scale: float = 1.0
    swing_mm: float = 0.0  # added tortuosity of the descending aorta
    atrium_scale: float = 1.0  # width of the right atrium
    bend_mm: float = 0.0  # trachea pushed towards the patient's left


class Thorax:
    """Organ thicknesses of one posed patient, and the state of the chest that findings change.

    Arrays are [H, W], in mm along the beam unless noted otherwise; points and heights are in mm on the canvas.
    """

    # How this patient is built; nothing changes it.
    turn: float  # mm, shift of heart and mediastinum towards the patient's left
    wall_x: np.ndarray  # [H, 1] inner chest wall, from the midline
    medial_x: np.ndarray  # [H, 1] where the lungs begin, from the midline
    dome_y: dict[str, np.ndarray]  # side -> [1, W] height of the diaphragm
    floor: float  # height of the right dome as it is when not raised, on which the heart rests
    cavity: dict[str, np.ndarray]  # side -> bool, the pleural cavity above the dome
    full_lung: dict[str, np.ndarray]  # side -> lung before heart and vessels take their place
    lung: dict[str, np.ndarray]  # side -> lung
    lungs: np.ndarray  # both
    heart: np.ndarray
    heart_x: tuple[float, float]  # its right and left border
    organ: dict[str, np.ndarray]  # "aorta", "svc" (superior vena cava), "mediastinum", "atrium" (the right one)
    knob: tuple[float, float]  # middle of the aortic knob
    hilum: dict[str, tuple[float, float]]  # side -> its middle
    carina: tuple[float, float]  # where the trachea divides
    trachea_x: np.ndarray  # [H, 1] middle of the trachea
    stomach_y: float  # height of the stomach bubble
    body: np.ndarray  # the whole body, as if without air

    # The state that gas and findings change.
    density: np.ndarray  # of aerated lung, relative to water
    aeration: np.ndarray  # 1 air-filled, 0 solid, as a share of the depth
    free_air: np.ndarray  # share of the depth taken by a pneumothorax
    solid: np.ndarray  # tissue added (negative: gas)
    metal: np.ndarray  # optical depth of devices and calcium
    pleura: np.ndarray  # bool, what fluid, air or scar has opened of the pleural space
    sulcus: np.ndarray  # bool, what fat fills beside the heart
    stomach: np.ndarray  # bool, where the stomach is, in a hernia too
    stomach_gas: np.ndarray  # gas in the stomach below the dome

    def __init__(self, canvas: Canvas, patient: PhantomPatient, pose: Pose) -> None:
        self.canvas, self.patient, self.pose = canvas, patient, pose
        x, y = canvas.x, canvas.y
        self.turn = pose.turn_mm + pose.shift_mm
        height = patient.lung_height_mm
        down = (y - patient.apex_mm) / np.float32(height + patient.dome_mm)  # 0 at the apices, 1 at the recesses
        inside = np.clip(down, 1e-4, 1)
        self.wall_x = patient.half_width_mm * (1 - (1 - inside) ** 3.4) ** 0.42
        self.wall_x *= down > 0
        depth = patient.depth_mm * (0.5 + 0.5 * smoothstep(inside / 0.4))
        self.medial_x = 13 + 30 * np.exp(-inside / 0.05)
        self.dome_y = {side: self._dome(side) for side in SIDES}
        profile = np.sqrt(np.maximum(1 - (x / np.maximum(self.wall_x, 1)) ** 2, 0))
        chest = depth * profile * (down > 0)
        self.cavity, self.lung, self.full_lung = {}, {}, {}
        displaced = self._heart_and_vessels()
        for side, sign in SIDES.items():
            medial = smoothstep((sign * x - self.medial_x + 14) / 30)
            above = smoothstep((self.dome_y[side] - y) / 3 + 0.5)
            recess = 0.12 * smoothstep((self.dome_y[side] + 26 - y) / 30) * (1 - above)  # lung behind the dome
            self.cavity[side] = (chest * medial * (sign * x > 0) > 4) & (y < self.dome_y[side])
            self.full_lung[side] = chest * medial * (above + recess)
            self.lung[side] = np.maximum(self.full_lung[side] - displaced * (sign * x > -60), 0)
        self.lungs = self.lung["left"] + self.lung["right"]
        columns = np.flatnonzero((self.heart > 8).any(0))
        self.heart_x = float(x[0, columns[0]]), float(x[0, columns[-1]])
        self.body = self._body()
        self.stomach_y = float(self.dome_y["left"].min()) + 24
        zeros = canvas.zeros()
        self.density, self.aeration = zeros + np.float32(patient.lung_density), zeros + 1
        self.free_air, self.solid, self.metal, self.stomach_gas = (zeros.copy() for _ in range(4))
        self.pleura, self.sulcus, self.stomach = (zeros > 0 for _ in range(3))

    def _dome(self, side: str) -> np.ndarray:
        """Height of the diaphragm, [1, W]."""
        p, sign, x = self.patient, SIDES[side], self.canvas.x
        top = p.apex_mm + p.lung_height_mm + (p.dome_step_mm if side == "left" else 0) - self.pose.lift_mm[side]
        along = np.clip((sign * x - 12) / np.float32(p.half_width_mm - 12), 0, 1) - 0.42
        return top + p.dome_mm * np.where(along > 0, np.abs(along / 0.58) ** 2.4, 0.4 * (along / 0.42) ** 2)

    def _heart_and_vessels(self) -> np.ndarray:
        """Puts heart, great vessels, hila and trachea in place; returns the thickness of lung that they displace."""
        p, pose, x, y = self.patient, self.pose, self.canvas.x, self.canvas.y
        width = 2 * p.half_width_mm * p.cardiothoracic_ratio * pose.heart_scale
        size, floor = width / 128, p.apex_mm + p.lung_height_mm
        at = lambda dx, dy: (dx + self.turn, dy)  # noqa: E731
        ellipsoid = self.canvas.ellipsoid
        ventricle = ellipsoid(
            at(0.17 * width, floor - 22 * size), (0.51 * width, 45 * size), 105 * size, p.heart_tilt_deg
        )
        atrium = ellipsoid(
            at(-0.09 * width, floor - 36 * size), (0.235 * width * pose.atrium_scale, 50 * size), 95 * size
        )
        outflow = ellipsoid(at(15, floor - 80 * size), (30 * size, 46), 75, 14)
        knob_y = p.apex_mm + 0.31 * p.lung_height_mm
        self.knob = (22 + self.turn, knob_y)
        knob = ellipsoid(self.knob, (p.knob_mm * 1.1 * pose.knob_scale, p.knob_mm * 1.15 * pose.knob_scale), 60)
        swing = (p.tortuosity_mm + pose.swing_mm) * np.sin((y - knob_y) / 55)
        below = smoothstep((y - knob_y) / 12)
        tube = lambda middle, half: np.sqrt(np.maximum(1 - ((x - middle) / half) ** 2, 0))  # noqa: E731
        aorta = 2 * 12 * below * tube(20 + 0.6 * self.turn + swing, 12 + 0.2 * pose.swing_mm)
        upper = p.mediastinum_mm + 7 * smoothstep((knob_y + 25 - y) / 60)
        mediastinum = (
            (50 + 70 * smoothstep((knob_y + 45 - y) / 50)) * tube(self.turn, upper) * smoothstep((floor - y) / 40)
        )
        svc = 22 * tube(self.turn - p.mediastinum_mm + 4, 10) * smoothstep((floor - 60 * size - y) / 20 + 0.5)
        svc = svc * smoothstep((y - p.apex_mm - 15) / 20)
        gain = pose.vessel_scale * p.vessel_gain
        self.hilum = {
            "right": (-(p.mediastinum_mm + 13) + self.turn, knob_y + 42.0),
            "left": (p.mediastinum_mm + 12 + self.turn, knob_y + 33.0),
        }
        hila = sum(ellipsoid(self.hilum[s], (11 * gain**0.5, 19 * gain**0.5), 20 * gain, 14 * SIDES[s]) for s in SIDES)
        self.heart = np.maximum(np.maximum(ventricle, atrium), outflow)
        self.floor, self.carina = floor, (self.turn * 0.7 + 2, knob_y + 22.0)
        bend = np.exp(-(((y - p.apex_mm - 14) / 34) ** 2))  # [H, 1]
        self.trachea_x = self.carina[0] + np.float32(pose.bend_mm) * bend
        self.organ = {"aorta": np.maximum(knob, aorta), "svc": svc, "mediastinum": mediastinum, "atrium": atrium}
        return np.maximum(self.heart, mediastinum) + self.organ["aorta"] + 0.8 * hila + 0.8 * svc

    def _body(self) -> np.ndarray:
        """Thickness of the whole body: trunk, neck, shoulders, arms, breasts; the lungs' air is taken out later."""
        p, x, y = self.patient, self.canvas.x, self.canvas.y
        outer = p.half_width_mm + 0.55 * p.wall_mm + 12
        slope = smoothstep((y - (p.apex_mm - 62 + 0.27 * np.abs(x))) / 75) ** 0.5  # trapezius and shoulder line
        width = outer + 75 * smoothstep((p.apex_mm + 95 - y) / 90)
        flat = np.maximum(1 - (np.abs(x) / width) ** 4, 0) ** 0.5
        trunk = (p.depth_mm + 2 * p.wall_mm) * slope * flat * (1 - 0.32 * smoothstep((p.apex_mm + 75 - y) / 90))
        nape = 50 + 0.4 * p.wall_mm + 45 * smoothstep((y - p.apex_mm + 75) / 70)
        neck = 130 * np.sqrt(np.maximum(1 - (x / nape) ** 2, 0)) * smoothstep((p.apex_mm + 40 - y) / 60)
        spread = 52 if self.pose.view == "PA" else 20
        arm = limbs(
            self.canvas,
            [
                [(s * 60, p.apex_mm + 2), (s * (outer + 12), p.apex_mm + 46), (s * (outer + spread + 12), 215)]
                for s in (-1, 1)
            ],
            42 + 0.35 * p.wall_mm,
        )
        breasts = sum(
            self.canvas.ellipsoid((s * 0.52 * p.half_width_mm, 0.33 * p.lung_height_mm), (62, 50), p.breast_mm)
            for s in (-1, 1)
        )
        return self.canvas.blur(np.maximum(np.maximum(trunk, neck), arm) + breasts, 3)

    @cached_property
    def inset(self) -> np.ndarray:
        """Distance in mm from the chest wall and the apices inwards, 0 outside, [H, W] float32."""
        chest = (np.abs(self.canvas.x) < self.wall_x).astype(np.uint8)
        return distance_inside(chest) * np.float32(self.canvas.mm_per_px)

    def place(self, side: str, across: float, down: float) -> tuple[float, float]:
        """A point of the lung: `across` 0 (mediastinum) to 1 (chest wall), `down` 0 (apex) to 1 (dome)."""
        sign, y_axis, x_axis = SIDES[side], self.canvas.y[:, 0], self.canvas.x[0]
        top, y = self.patient.apex_mm, 0.0
        x = sign * 70.0
        for _ in range(2):
            dome = float(np.interp(x, x_axis, self.dome_y[side][0]))
            y = top + down * (dome - top)
            wall, medial = (float(np.interp(y, y_axis, v[:, 0])) for v in (self.wall_x, self.medial_x))
            x = sign * (medial + 14 + across * (wall - medial - 14))
        return x, y

    def tissue(self, vessels: np.ndarray) -> np.ndarray:
        """Water-equivalent thickness along the beam, mm, after all findings. `vessels`: mm of blood in the lungs."""
        air = self.aeration * (1 - self.free_air)
        lung = self.lungs * (self.density * air + (1 - self.aeration))
        blood = np.minimum(vessels, self.lungs) * air * (1 - self.density)
        return (
            np.maximum(self.body - self.full_lung["left"] - self.full_lung["right"], 0)
            + (self.full_lung["left"] + self.full_lung["right"] - self.lungs)  # organs in the place of lung
            + (lung + blood + self.solid)
        )


def distance_inside(mask: np.ndarray) -> np.ndarray:
    """Distance in pixels from each pixel of a uint8 mask to the nearest pixel outside it."""
    return cv2.distanceTransform(mask, cv2.DIST_L2, 5)


def limbs(canvas: Canvas, lines: list, radius_mm: float) -> np.ndarray:
    """Thickness of round limbs about lines of mm points."""
    picture = np.zeros((canvas.size, canvas.size), np.uint8)
    canvas.stroke([spline(line, 16) for line in lines], 2 * radius_mm, 255, picture)
    inside = distance_inside((picture > 0).astype(np.uint8)) * np.float32(canvas.mm_per_px / radius_mm)
    return np.float32(2 * radius_mm) * np.sqrt(np.clip(inside * (2 - inside), 0, 1))
