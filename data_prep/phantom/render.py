"""One study: findings, the posed chest, the radiograph, and the exact truth about it."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from data_prep.phantom import bones as bone_findings
from data_prep.phantom import devices, mediastinum, parenchyma, pleura
from data_prep.phantom.anatomy import Pose, Thorax
from data_prep.phantom.canvas import Canvas, smoothstep
from data_prep.phantom.pathology import Finding, draw_findings
from data_prep.phantom.patient import PhantomPatient, draw_patient
from data_prep.phantom.places import anatomy_places
from data_prep.phantom.population import Population
from data_prep.phantom.projection import MU_PER_MM, draw_exposure, placement, radiograph
from data_prep.phantom.skeleton import bones
from data_prep.phantom.triplets import present_pairs, study_triplets
from data_prep.phantom.vessels import pulmonary_vessels

DRAW = {
    "cardiomegaly": parenchyma.heart_shape, "emphysema": parenchyma.emphysema, "fibrosis": parenchyma.fibrosis,
    "hernia": parenchyma.hernia, "thickening": pleura.thickening, "scar": parenchyma.scar,
    "granuloma": parenchyma.nodule_or_mass, "tortuous aorta": parenchyma.aorta_shape, "pacemaker": devices.pacemaker,
    "sternal wires": devices.sternal_wires, "clips": devices.clips, "rib fracture": bone_findings.rib_fracture,
    "low volumes": parenchyma.low_volumes, "edema": parenchyma.edema, "effusion": pleura.effusion,
    "pneumothorax": pleura.pneumothorax, "consolidation": parenchyma.consolidation, "pneumonia": parenchyma.pneumonia,
    "infiltrate": parenchyma.infiltrate, "plate atelectasis": parenchyma.plate_atelectasis, "haze": parenchyma.haze,
    "nodule": parenchyma.nodule_or_mass, "mass": parenchyma.nodule_or_mass,
    "endotracheal tube": devices.endotracheal_tube, "gastric tube": devices.gastric_tube,
    "chest tube": devices.chest_tube, "central line": devices.central_line, "picc": devices.picc,
    "dialysis catheter": devices.dialysis_catheter, "leadless pacemaker": devices.leadless_pacemaker,
    "nerve stimulator": devices.nerve_stimulator,
    "vena cava stent": mediastinum.superior_cava_stent, "aortic calcification": mediastinum.aortic_calcification,
    "hilar enlargement": mediastinum.hilar_enlargement, "wide mediastinum": mediastinum.wide_mediastinum,
    "wide atrium": mediastinum.wide_atrium, "fat pad": mediastinum.fat_pad,
    "tracheal deviation": mediastinum.tracheal_deviation, "raised diaphragm": mediastinum.raised_diaphragm,
    "blunted angle": mediastinum.blunted_angle, "obscured border": mediastinum.obscured_border,
    "retrocardiac opacity": mediastinum.retrocardiac_opacity, "free air": mediastinum.free_air,
    "distended stomach": mediastinum.distended_stomach, "worn spine": bone_findings.worn_spine,
    "scoliosis": bone_findings.bent_spine, "spinal hardware": bone_findings.spinal_hardware,
    "clavicle fracture": bone_findings.clavicle_fracture,
}  # fmt: skip
"""Kind of finding -> the function that draws it."""


@dataclass(frozen=True)
class PhantomStudy:
    """A radiograph and all that is true of it. Masks are bool [S, S]; without masks the three holders are empty."""

    image: np.ndarray  # uint8 [S, S]
    findings: tuple[Finding, ...]
    view: str  # "PA" or "AP"
    age_years: int
    sex: str
    patient: PhantomPatient
    pixel_spacing_mm: float
    triplets: list[tuple[str, str, int]]
    pathology_masks: dict[str, np.ndarray]
    finding_masks: list[np.ndarray]
    anatomy_masks: dict[str, np.ndarray]


def draw_study(
    population: Population,
    seed: int,
    patient_number: int,
    study_number: int = 0,
    size_px: int = 320,
    with_masks: bool = True,
) -> PhantomStudy:
    """Draw one study of a patient.

    Args:
        population: scanner, exposure and prevalence.
        seed: of the data set, >= 0.
        patient_number: >= 0; the anatomy and the chronic findings are the patient's.
        study_number: >= 0; view, exposure and acute findings are the study's.
        size_px: S, side of the square image.
        with_masks: also make the masks (dearer).

    Returns:
        The same study, byte for byte, for the same arguments.
    """
    patient = draw_patient(population, seed, patient_number)
    rng = np.random.default_rng([21, population.number, seed, patient_number, study_number])
    view = "AP" if rng.random() < population.ap_share else "PA"
    findings = draw_findings(population, patient, view, rng)
    posed, pose, upper_gain = _pose(patient, view, findings, rng)
    exposure = draw_exposure(population, view, size_px, rng)

    thorax = Thorax(Canvas(size_px), posed, pose)
    _gas(thorax, rng)
    bone, outlines = bones(thorax)
    vessels = pulmonary_vessels(thorax, upper_gain)
    drawn = [DRAW[f.kind](thorax, f, np.random.default_rng([22, f.attributes["seed"], study_number])) for f in findings]
    if view == "AP" and rng.random() < 0.6:
        devices.monitor_leads(thorax, rng)
    thorax.solid += 1.5 * thorax.canvas.texture(rng, 3.2) * thorax.aeration * (thorax.lungs > 4)
    optical_depth = np.float32(MU_PER_MM) * thorax.tissue(vessels) + bone + thorax.metal

    affine = placement(exposure, thorax.canvas.size, thorax.canvas.mm_per_px, size_px)
    seen = cv2.warpAffine(
        optical_depth.astype(np.float32),
        affine,
        (size_px, size_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    image = radiograph(seen, exposure, rng)
    finding_masks: list[np.ndarray] = []
    anatomy_masks: dict[str, np.ndarray] = {}
    if with_masks:
        anatomies = anatomy_places(thorax, outlines)
        masks = _place_masks([*drawn, *anatomies.values()], affine, size_px)
        finding_masks, anatomy_masks = masks[: len(drawn)], dict(zip(anatomies, masks[len(drawn) :], strict=True))
    pathology_masks: dict[str, np.ndarray] = {}
    for finding, mask in zip(findings if with_masks else (), finding_masks, strict=True):
        for pathology in {pathology: None for _, pathology in present_pairs(finding)}:
            pathology_masks[pathology] = pathology_masks.get(pathology, False) | mask
    return PhantomStudy(
        image, findings, view, patient.age_years, patient.sex, patient, exposure.mm_per_px,
        study_triplets(findings), pathology_masks, finding_masks, anatomy_masks,
    )  # fmt: skip


def _pose(
    patient: PhantomPatient, view: str, findings: tuple[Finding, ...], rng: np.random.Generator
) -> tuple[PhantomPatient, Pose, float]:
    """Inspiration, turning and magnification, and the outlines that disease changes. Also the upper vessels' gain."""
    bedside = view == "AP"
    breath = rng.normal(0.90 if bedside else 1.0, 0.035)
    turn, lift, shift = rng.normal(0, 7 if bedside else 4), [0.0, 0.0], 0.0
    magnified = rng.uniform(1.06, 1.14) if bedside else 1.0
    heart, vessels, upper, knob, swing, flat = magnified, 1.0, 1.0, 1.0, 0.0, 1.0
    atrium, bend, spine = 1.0, 0.0, patient.scoliosis_mm
    air, wide, stomach = patient.lung_density, patient.mediastinum_mm, patient.stomach_mm
    ratio = patient.cardiothoracic_ratio
    for f in findings:
        s, side = f.severity, f.attributes["side"]
        toward = {"left": 1, "right": -1, "both": 0}[side]
        if f.kind == "cardiomegaly":
            ratio = f.attributes["size_percent"] / 100
            heart = 1 + 0.5 * (magnified - 1)
        elif f.kind == "emphysema":
            breath, flat = max(breath, 1.0) * (1.04 + 0.1 * s), 0.62 - 0.4 * s
            heart *= 0.9 - 0.05 * s
            vessels *= 0.85 - 0.25 * s
        elif f.kind == "low volumes":
            breath *= 0.88 - 0.1 * s
            air *= 1.15 + 0.25 * s
        elif f.kind == "edema":
            vessels, upper = vessels * (1.08 + 0.3 * s), 1.2 + 0.4 * s
        elif f.kind == "plate atelectasis":
            for k, name in enumerate(("right", "left")):
                lift[k] += (5 + 12 * s) * (side in (name, "both"))
            shift += toward * 4 * s
        elif f.kind == "fibrosis":
            breath *= 0.97 - 0.06 * s
        elif f.kind in ("effusion", "pneumothorax"):
            shift -= toward * 16 * max(0.0, s - 0.55)
        elif f.kind == "tortuous aorta":
            knob, swing = 1.2 + 0.4 * s, 7 + 12 * s
        elif f.kind == "wide atrium":
            atrium = 1.3 + 0.3 * s
        elif f.kind == "wide mediastinum":
            wide *= 1.25 + 0.4 * s
        elif f.kind == "tracheal deviation":
            bend = toward * (7 + 9 * s)
        elif f.kind == "scoliosis":
            spine += f.attributes["bend"] * (14 + 16 * s)
        elif f.kind == "raised diaphragm":
            for k, name in enumerate(("right", "left")):
                lift[k] += (20 + 26 * s) * (side in (name, "both"))
        elif f.kind == "distended stomach":
            stomach = 46 + 22 * s
    breath = float(np.clip(breath, 0.7, 1.2))
    posed = replace(
        patient, lung_height_mm=patient.lung_height_mm * breath, cardiothoracic_ratio=ratio,
        dome_mm=patient.dome_mm * flat, scoliosis_mm=spine, lung_density=min(air, 0.5),
        mediastinum_mm=wide, stomach_mm=stomach,
    )  # fmt: skip
    pose = Pose(view, turn, heart, (lift[0], lift[1]), shift, vessels, knob, swing, atrium, bend)
    return posed, pose, upper


def _gas(thorax: Thorax, rng: np.random.Generator) -> None:
    """Air outside the lungs: windpipe, main bronchi, stomach bubble, a little bowel."""
    canvas, p = thorax.canvas, thorax.patient
    (cx, cy), x, y = thorax.carina, canvas.x, canvas.y
    windpipe = 15 * np.sqrt(np.maximum(1 - ((x - thorax.trachea_x) / 9) ** 2, 0)) * smoothstep((cy - y) / 8 + 0.5)
    thorax.solid -= windpipe
    bronchi = [np.array([(cx, cy - 4), (thorax.hilum[side][0], cy + 24)]) for side in thorax.hilum]
    thorax.solid -= 9 * canvas.blur(canvas.strokes(bronchi, 10), 1.5)
    thorax.stomach_y = float(thorax.dome_y["left"].min()) + 24
    thorax.stomach_gas, thorax.stomach = canvas.zeros(), np.zeros(thorax.lungs.shape, bool)
    if p.stomach_mm > 6:
        at = (70 + rng.normal(0, 9), thorax.stomach_y + 2)
        bubble = canvas.ellipsoid(at, (p.stomach_mm * 1.25, 0.75 * p.stomach_mm), 1.4 * p.stomach_mm)
        under_dome = smoothstep((y - thorax.dome_y["left"] - 1) / 3)
        thorax.stomach_gas = bubble * under_dome * smoothstep((at[1] + 0.3 * p.stomach_mm - y) / 2)
        thorax.solid -= thorax.stomach_gas
        thorax.stomach = bubble * under_dome > 4
    for _ in range(int(rng.integers(0, 4))):
        at, size = (rng.uniform(-90, 110), thorax.floor + rng.uniform(45, 95)), rng.uniform(8, 20)
        thorax.solid -= canvas.ellipsoid(at, (size * 1.3, size), size)


def _place_masks(masks: list[np.ndarray], affine: np.ndarray, size_px: int) -> list[np.ndarray]:
    """Take canvas masks to the image: eight to a byte, so that one warp moves them all."""
    placed: list[np.ndarray] = []
    for first in range(0, len(masks), 8):
        group = masks[first : first + 8]
        packed = np.zeros(group[0].shape, np.uint8)
        for bit, mask in enumerate(group):
            packed += mask.view(np.uint8) * np.uint8(1 << bit)
        seen = cv2.warpAffine(packed, affine, (size_px, size_px), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
        placed += [(seen & np.uint8(1 << bit)) > 0 for bit in range(len(group))]
    return placed
