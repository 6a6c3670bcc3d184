"""One study: findings, the posed chest, the radiograph, and the exact truth about it."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from data_prep.phantom.anatomy import SIDES, Pose, Thorax
from data_prep.phantom.canvas import Canvas, smoothstep
from data_prep.phantom.catalogue import CATALOGUE
from data_prep.phantom.devices import monitor_leads
from data_prep.phantom.finding import Finding
from data_prep.phantom.pathology import draw_findings
from data_prep.phantom.patient import PhantomPatient, draw_patient
from data_prep.phantom.places import anatomy_places
from data_prep.phantom.population import Population
from data_prep.phantom.projection import MU_PER_MM, draw_exposure, placement, radiograph
from data_prep.phantom.skeleton import bones
from data_prep.phantom.triplets import present_pairs, study_triplets
from data_prep.phantom.vessels import pulmonary_vessels


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
    posed, pose = _pose(patient, view, findings, rng)
    exposure = draw_exposure(population, view, size_px, rng)

    thorax = Thorax(Canvas(size_px), posed, pose)
    _gas(thorax, rng)
    bone, outlines = bones(thorax)
    vessels = pulmonary_vessels(thorax)
    drawn = [
        CATALOGUE[f.kind].draw(thorax, f, np.random.default_rng([22, f.attributes["seed"], study_number]))
        for f in findings
    ]
    if view == "AP" and rng.random() < 0.6:
        monitor_leads(thorax, rng)
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
) -> tuple[PhantomPatient, Pose]:
    """Inspiration, turning and magnification, and the outlines that disease changes."""
    bedside = view == "AP"
    breath = rng.normal(0.90 if bedside else 1.0, 0.035)
    pose = Pose(view, turn_mm=rng.normal(0, 7 if bedside else 4))
    magnified = pose.heart_scale = rng.uniform(1.06, 1.14) if bedside else 1.0
    ratio, spine, dome = patient.cardiothoracic_ratio, patient.scoliosis_mm, patient.dome_mm
    air, wide, stomach = patient.lung_density, patient.mediastinum_mm, patient.stomach_mm
    for f in findings:
        s, toward = f.severity, SIDES.get(f.attributes["side"], 0)
        if f.kind == "cardiomegaly":
            ratio = f.attributes["size_percent"] / 100
            pose.heart_scale = 1 + 0.5 * (magnified - 1)
        elif f.kind == "emphysema":
            breath, dome = max(breath, 1.0) * (1.04 + 0.1 * s), patient.dome_mm * (0.62 - 0.4 * s)
            pose.heart_scale *= 0.9 - 0.05 * s
            pose.vessel_scale *= 0.85 - 0.25 * s
        elif f.kind == "low volumes":
            breath *= 0.88 - 0.1 * s
            air *= 1.15 + 0.25 * s
        elif f.kind == "edema":
            pose.vessel_scale *= 1.08 + 0.3 * s
            pose.upper_vessel_scale = 1.2 + 0.4 * s
        elif f.kind == "plate atelectasis":
            for side in f.sides:
                pose.lift_mm[side] += 5 + 12 * s
            pose.shift_mm += toward * 4 * s
        elif f.kind == "fibrosis":
            breath *= 0.97 - 0.06 * s
        elif f.kind in ("effusion", "pneumothorax"):
            pose.shift_mm -= toward * 16 * max(0.0, s - 0.55)
        elif f.kind == "tortuous aorta":
            pose.knob_scale, pose.swing_mm = 1.2 + 0.4 * s, 7 + 12 * s
        elif f.kind == "wide atrium":
            pose.atrium_scale = 1.3 + 0.3 * s
        elif f.kind == "wide mediastinum":
            wide *= 1.25 + 0.4 * s
        elif f.kind == "tracheal deviation":
            pose.bend_mm = toward * (7 + 9 * s)
        elif f.kind == "scoliosis":
            spine += f.attributes["bend"] * (14 + 16 * s)
        elif f.kind == "raised diaphragm":
            for side in f.sides:
                pose.lift_mm[side] += 20 + 26 * s
        elif f.kind == "distended stomach":
            stomach = 46 + 22 * s
    posed = replace(
        patient, lung_height_mm=patient.lung_height_mm * float(np.clip(breath, 0.7, 1.2)), cardiothoracic_ratio=ratio,
        dome_mm=dome, scoliosis_mm=spine, lung_density=min(air, 0.5), mediastinum_mm=wide, stomach_mm=stomach,
    )  # fmt: skip
    return posed, pose


def _gas(thorax: Thorax, rng: np.random.Generator) -> None:
    """Air outside the lungs: windpipe, main bronchi, stomach bubble, a little bowel."""
    canvas, p = thorax.canvas, thorax.patient
    (cx, cy), x, y = thorax.carina, canvas.x, canvas.y
    windpipe = 15 * np.sqrt(np.maximum(1 - ((x - thorax.trachea_x) / 9) ** 2, 0)) * smoothstep((cy - y) / 8 + 0.5)
    thorax.solid -= windpipe
    bronchi = [np.array([(cx, cy - 4), (thorax.hilum[side][0], cy + 24)]) for side in thorax.hilum]
    thorax.solid -= 9 * canvas.blur(canvas.strokes(bronchi, 10), 1.5)
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
