"""Where studies come from: each population has its own scanner look, exposure, mix of views, ages and prevalence."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Population:
    """One hospital's patients and equipment. Pairs are (mean, standard deviation).

    `prevalence` is the chance of each kind of finding in a study of a patient who is not healthy, before
    co-occurrence raises it; kinds left out use `catalogue.CATALOGUE`'s own.
    """

    name: str
    number: int  # enters every random seed: two populations never share a patient
    ap_share: float = 0.4
    healthy_share: float = 0.25
    female_share: float = 0.46
    age_years: tuple[float, float] = (58.0, 17.0)
    field_of_view_mm: tuple[float, float] = (378.0, 22.0)
    rotation_deg: tuple[float, float] = (0.0, 3.0)
    photons_log10: tuple[float, float] = (4.2, 0.22)  # per pixel, unattenuated, at 320 px
    scatter_ratio: tuple[float, float] = (0.045, 0.015)  # scattered over incident, as a share of the local mean
    blur_mm: tuple[float, float] = (0.7, 0.2)
    contrast: tuple[float, float] = (1.0, 0.12)  # above 1: a harder film
    gamma: tuple[float, float] = (0.78, 0.12)  # below 1: a brighter film
    collimated_share: float = 0.3
    marker: str = "L"
    prevalence: dict[str, float] = field(default_factory=dict)


POPULATIONS: dict[str, Population] = {
    "mimic": Population("mimic", 1, ap_share=0.55),
    "nih": Population(
        "nih", 2, ap_share=0.4, age_years=(49.0, 16.0), field_of_view_mm=(366.0, 20.0), photons_log10=(4.4, 0.2),
        contrast=(1.06, 0.12), gamma=(0.72, 0.11), marker="L", healthy_share=0.3,
    ),
    "rsna": Population(
        "rsna", 3, ap_share=0.45, age_years=(47.0, 17.0), gamma=(0.82, 0.12), marker="R", healthy_share=0.25,
        prevalence={"pneumonia": 0.42, "consolidation": 0.06, "infiltrate": 0.08, "mass": 0.05, "emphysema": 0.05},
    ),
    "siim": Population(
        "siim", 4, ap_share=0.5, age_years=(46.0, 18.0), scatter_ratio=(0.035, 0.012), contrast=(0.95, 0.12),
        collimated_share=0.45, marker="R", healthy_share=0.25, prevalence={"pneumothorax": 0.38, "chest tube": 0.04},
    ),
}  # fmt: skip
