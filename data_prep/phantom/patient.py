"""A patient: the measures of one chest, drawn once and kept over all their studies."""

from dataclasses import dataclass

import numpy as np

from data_prep.phantom.population import Population


@dataclass(frozen=True)
class PhantomPatient:
    """Measures of one chest, in millimetres unless named otherwise. x grows to the patient's left, y downwards."""

    population: str
    seed: int
    number: int
    age_years: int
    sex: str  # "F" or "M"
    half_width_mm: float  # inner chest wall to midline, at its widest
    lung_height_mm: float  # right apex to the top of the right dome, full inspiration
    depth_mm: float  # inner chest, front to back
    wall_mm: float  # chest wall and fat
    cardiothoracic_ratio: float
    heart_tilt_deg: float
    knob_mm: float  # radius of the aortic knob
    tortuosity_mm: float  # sideways swing of the descending aorta
    mediastinum_mm: float  # half-width of the upper mediastinum
    dome_mm: float  # depth of the costophrenic angle below the dome
    dome_step_mm: float  # the left dome lies lower by this much
    scoliosis_mm: float
    rib_slope: float
    bone_density: float
    lung_density: float  # of aerated lung, relative to water
    breast_mm: float  # thickness of each breast
    stomach_mm: float  # radius of the gas bubble
    vessel_gain: float

    @property
    def apex_mm(self) -> float:
        """Height (y) of the lung apices."""
        return -0.5 * self.lung_height_mm


def draw_patient(population: Population, seed: int, patient_number: int) -> PhantomPatient:
    """Draw one patient of a population.

    Args:
        population: where the patient comes from; its number enters the seed.
        seed: of the whole data set, >= 0.
        patient_number: >= 0.

    Returns:
        The same patient for the same arguments, on any machine.
    """
    rng = np.random.default_rng([11, population.number, seed, patient_number])
    female = rng.random() < population.female_share
    age = int(np.clip(rng.normal(*population.age_years), 18, 94))
    size = rng.normal(0.93 if female else 1.03, 0.05)
    old = max(age - 45, 0) / 45
    return PhantomPatient(
        population=population.name,
        seed=seed,
        number=patient_number,
        age_years=age,
        sex="F" if female else "M",
        half_width_mm=138 * size * rng.normal(1.0, 0.05),
        lung_height_mm=232 * size * rng.normal(1.0, 0.06),
        depth_mm=165 * size * rng.normal(1.0, 0.07),
        wall_mm=float(np.clip(14 + rng.gamma(3.0, 6.0), 14, 70)),
        cardiothoracic_ratio=float(np.clip(rng.normal(0.44 + 0.015 * old, 0.028), 0.36, 0.50)),
        heart_tilt_deg=rng.normal(38, 7),
        knob_mm=float(np.clip(rng.normal(14 + 5 * old, 2.2), 10, 24)),
        tortuosity_mm=float(abs(rng.normal(0, 2 + 5 * old))),
        mediastinum_mm=float(np.clip(rng.normal(29, 3.5), 20, 42)),
        dome_mm=float(np.clip(rng.normal(36, 6), 22, 52)),
        dome_step_mm=rng.normal(10, 6),
        scoliosis_mm=rng.normal(0, 4),
        rib_slope=float(np.clip(rng.normal(0.42, 0.09), 0.2, 0.65)),
        bone_density=float(np.clip(rng.normal(1.0 - 0.2 * old, 0.14), 0.55, 1.4)),
        lung_density=float(np.clip(rng.normal(0.26, 0.035), 0.17, 0.36)),
        breast_mm=float(np.clip(rng.gamma(2.5, 8.0), 0, 60)) if female else float(abs(rng.normal(0, 3))),
        stomach_mm=float(np.clip(rng.normal(22, 9), 0, 42)),
        vessel_gain=float(np.clip(rng.normal(1.0, 0.16), 0.6, 1.5)),
    )
