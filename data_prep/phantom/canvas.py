"""The plane on which a chest is built: a grid in patient millimetres, with strokes, blobs and textures on it."""

from functools import cache
from itertools import accumulate, pairwise

import cv2
import numpy as np

cv2.setNumThreads(1)

HALF_EXTENT_MM = 222.0
REFERENCE_MM_PER_PX = 1.3  # at 320 px; the canvas is a little finer for larger images


class Canvas:
    """A square grid about the middle of the lungs; x grows to the patient's left (image right), y downwards."""

    def __init__(self, size_px: int) -> None:
        self.mm_per_px = REFERENCE_MM_PER_PX * 320 / size_px
        self.size = 2 * round(HALF_EXTENT_MM / self.mm_per_px)
        axis = (np.arange(self.size, dtype=np.float32) - (self.size - 1) / 2) * np.float32(self.mm_per_px)
        self.x, self.y = axis[None, :], axis[:, None]  # [1, W], [H, 1] float32 mm

    def zeros(self) -> np.ndarray:
        """A float32 [H, W] array of zeros."""
        return np.zeros((self.size, self.size), np.float32)

    def window(self, x_mm: float, y_mm: float, radius_mm: float) -> tuple[slice, slice]:
        """Rows and columns of the square of half-side `radius_mm` about a point, cut to the canvas."""
        to_px = lambda v: int(np.clip(round(v / self.mm_per_px + self.size / 2), 0, self.size))  # noqa: E731
        return (
            slice(to_px(y_mm - radius_mm), to_px(y_mm + radius_mm)),
            slice(to_px(x_mm - radius_mm), to_px(x_mm + radius_mm)),
        )

    def stroke(self, lines_mm: list[np.ndarray], width_mm: float, value: float, onto: np.ndarray) -> None:
        """Draw smooth lines (each [N, 2] mm) into a uint8 canvas; a line thinner than a pixel is drawn fainter."""
        width_px = width_mm / self.mm_per_px
        drawn_px = max(1, round(width_px))
        ends = [0, *accumulate(len(line) for line in lines_mm)]
        points = np.rint((np.concatenate(lines_mm) / self.mm_per_px + (self.size - 1) / 2) * 16).astype(np.int32)
        grey = min(255.0, value * min(1.0, width_px / drawn_px))
        cv2.polylines(onto, [points[a:b] for a, b in pairwise(ends)], False, grey, drawn_px, cv2.LINE_AA, 4)

    def strokes(self, lines_mm: list[np.ndarray], width_mm: float) -> np.ndarray:
        """A float32 [H, W] picture in 0..1 of the lines alone."""
        picture = np.zeros((self.size, self.size), np.uint8)
        self.stroke(lines_mm, width_mm, 255.0, picture)
        return picture.astype(np.float32) / 255

    def blur(self, picture: np.ndarray, sigma_mm: float) -> np.ndarray:
        """Gaussian blur; wide ones at quarter size, where they cost little."""
        sigma = sigma_mm / self.mm_per_px
        if sigma < 5:
            return cv2.GaussianBlur(picture, (0, 0), sigma)
        height, width = picture.shape
        small = cv2.resize(picture, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
        return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / 4), (width, height), interpolation=cv2.INTER_LINEAR)

    def texture(
        self, rng: np.random.Generator, scale_mm: float, where: tuple[slice, slice] | None = None
    ) -> np.ndarray:
        """Smooth Gaussian noise of mean 0 and standard deviation about 1, grains of `scale_mm`."""
        rows, cols = where or (slice(0, self.size), slice(0, self.size))
        height, width = rows.stop - rows.start, cols.stop - cols.start
        step = max(1.0, scale_mm / self.mm_per_px)
        grains = rng.standard_normal((int(height / step) + 3, int(width / step) + 3), dtype=np.float32)
        return 1.35 * cv2.resize(grains, (max(1, width), max(1, height)), interpolation=cv2.INTER_CUBIC)

    def ellipsoid(
        self, centre: tuple[float, float], half_axes: tuple[float, float], depth_mm: float, tilt_deg: float = 0.0
    ) -> np.ndarray:
        """Chord, in mm, of each ray front to back through an ellipsoid `2 * half_axes` wide and `depth_mm` deep."""
        rows, cols = where = self.window(*centre, max(half_axes))
        dx, dy = self.x[:, cols] - np.float32(centre[0]), self.y[rows] - np.float32(centre[1])
        cos, sin = np.float32(np.cos(np.radians(tilt_deg))), np.float32(np.sin(np.radians(tilt_deg)))
        along, across = (
            (dx * cos + dy * sin) / np.float32(half_axes[0]),
            (dy * cos - dx * sin) / np.float32(half_axes[1]),
        )
        chord = self.zeros()
        chord[where] = np.float32(depth_mm) * np.sqrt(np.maximum(1 - along * along - across * across, 0))
        return chord


def smoothstep(value: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)


def spline(points_mm: list[tuple[float, float]], count: int = 24) -> np.ndarray:
    """A smooth line [count, 2] mm through the points (Catmull-Rom)."""
    return _catmull_rom(len(points_mm), count) @ np.asarray(points_mm, float)


@cache
def _catmull_rom(points: int, count: int) -> np.ndarray:
    """Weights [count, points] of a Catmull-Rom curve, ends extended straight."""
    control = np.eye(points)
    control = np.vstack([2 * control[0] - control[1], control, 2 * control[-1] - control[-2]])
    position = np.linspace(0, points - 1 - 1e-9, count)
    k = position.astype(int)
    t = (position - k)[:, None]
    a, b, c, d = (control[k + i] for i in range(4))
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
