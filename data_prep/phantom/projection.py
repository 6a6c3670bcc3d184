"""From attenuation to a radiograph: Beer-Lambert, scatter, quantum noise, blur, and the scanner's display curve."""

from dataclasses import dataclass

import cv2
import numpy as np

from data_prep.phantom.population import Population

MU_PER_MM = 0.0192  # water, about 70 keV effective


@dataclass(frozen=True)
class Exposure:
    """One exposure's geometry and physics, drawn from the population."""

    mm_per_px: float
    rotation_deg: float
    centre_mm: tuple[float, float]
    photons: float
    scatter_ratio: float
    blur_mm: float
    contrast: float
    gamma: float
    floor_percentile: float
    ceiling_percentile: float
    collimation: tuple[float, float, float, float]  # left, right, top, bottom border as shares of the image
    marker: str
    marker_at: tuple[float, float]  # shares of the image


def draw_exposure(population: Population, view: str, size_px: int, rng: np.random.Generator) -> Exposure:
    """Draw the exposure of one study; bedside (AP) films are noisier, more scattered and less well placed."""
    portable = view == "AP"
    spread = 1.5 if portable else 1.0
    collimated = rng.random() < population.collimated_share
    borders = np.where(rng.random(4) < 0.6, rng.uniform(0, 0.07, 4), 0) * collimated
    at_right = population.marker == "L"
    return Exposure(
        mm_per_px=float(np.clip(rng.normal(*population.field_of_view_mm), 318, 425)) / size_px,
        rotation_deg=float(np.clip(rng.normal(*population.rotation_deg) * spread, -12, 12)),
        centre_mm=(rng.normal(0, 7 * spread), rng.normal(14, 12 * spread)),
        photons=10 ** (rng.normal(*population.photons_log10) - 0.25 * portable),
        scatter_ratio=max(0.01, rng.normal(*population.scatter_ratio) * (1.45 if portable else 1.0)),
        blur_mm=max(0.4, rng.normal(*population.blur_mm) * (1.2 if portable else 1.0)),
        contrast=float(np.clip(rng.normal(*population.contrast), 0.7, 1.4)),
        gamma=float(np.clip(rng.normal(*population.gamma), 0.55, 1.3)),
        floor_percentile=rng.uniform(0.5, 9),
        ceiling_percentile=rng.uniform(96.5, 99.9),
        collimation=tuple(float(v) for v in borders),
        marker=population.marker,
        marker_at=(rng.uniform(0.86, 0.93) if at_right else rng.uniform(0.03, 0.09), rng.uniform(0.04, 0.2)),
    )


def placement(exposure: Exposure, canvas_size: int, canvas_mm_per_px: float, size_px: int) -> np.ndarray:
    """The affine [2, 3] that takes image pixels to canvas pixels (for `cv2.warpAffine` with WARP_INVERSE_MAP)."""
    scale = exposure.mm_per_px / canvas_mm_per_px
    cos, sin = np.cos(np.radians(exposure.rotation_deg)) * scale, np.sin(np.radians(exposure.rotation_deg)) * scale
    linear = np.array([[cos, -sin], [sin, cos]])
    middle = np.array(exposure.centre_mm) / canvas_mm_per_px + (canvas_size - 1) / 2
    offset = middle - linear @ np.full(2, (size_px - 1) / 2)
    return np.hstack([linear, offset[:, None]])


def radiograph(optical_depth: np.ndarray, exposure: Exposure, rng: np.random.Generator) -> np.ndarray:
    """Expose, develop and annotate.

    Args:
        optical_depth: float32 [S, S], attenuation along each ray.
        exposure: physics and display of this study.
        rng: source of quantum noise.

    Returns:
        uint8 [S, S], bone bright, as radiologists read it.
    """
    size = optical_depth.shape[0]
    primary = np.exp(-optical_depth)
    small = cv2.resize(np.minimum(primary, 0.35), (size // 8, size // 8), interpolation=cv2.INTER_AREA)
    spread = cv2.GaussianBlur(small, (0, 0), 55 / exposure.mm_per_px / 8, borderType=cv2.BORDER_REPLICATE)
    signal = primary + exposure.scatter_ratio * cv2.resize(spread + 0.25, (size, size))
    sigma = exposure.blur_mm / exposure.mm_per_px
    noise = rng.standard_normal(signal.shape, dtype=np.float32) * np.sqrt(signal * np.float32(1 / exposure.photons))
    signal = cv2.GaussianBlur(signal, (0, 0), sigma) + cv2.GaussianBlur(noise, (0, 0), 0.6)
    film = -np.log(np.maximum(signal, 1e-4))
    inner = film[size // 10 : -size // 10 : 4, size // 10 : -size // 10 : 4]
    low, high = np.percentile(inner, [exposure.floor_percentile, exposure.ceiling_percentile])
    middle = 0.5 * (low + high)
    level = np.clip((film - middle) / (high - low) * np.float32(exposure.contrast) + 0.5, -0.15, 1.15)
    level = (level + 0.15) / 1.3
    level = level * level * (3 - 2 * level) * 0.4 + level * 0.6  # toe and shoulder of the film
    grey = level ** np.float32(exposure.gamma) * 255
    left, right, top, bottom = (round(v * size) for v in exposure.collimation)
    grey[:top], grey[size - bottom :], grey[:, :left], grey[:, size - right :] = 6, 6, 6, 6
    image = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    at = (round(exposure.marker_at[0] * size), round(exposure.marker_at[1] * size + 0.03 * size))
    cv2.putText(image, exposure.marker, at, cv2.FONT_HERSHEY_SIMPLEX, size / 480, 245, max(1, size // 220), cv2.LINE_AA)
    return image
