"""From an image's frame to the corpus's square one: the image, its boxes and its masks all go through one object.

Coordinates are continuous: pixel i covers [i, i + 1), so a box spanning a whole image stays spanning it.
"""

from dataclasses import dataclass

import cv2
import numpy as np

FITS = ("pad", "squash")


@dataclass(frozen=True)
class Geometry:
    """Maps a frame of width × height pixels to a square one.

    Args:
        width_px: width of the source frame.
        height_px: height of the source frame.
        size_px: side of the target.
        fit: "pad" keeps the aspect ratio and centres the image between black bars; "squash" stretches it.
    """

    width_px: int
    height_px: int
    size_px: int
    fit: str = "pad"

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise ValueError(f"fit is {self.fit!r}; use one of {', '.join(FITS)}")
        if min(self.width_px, self.height_px, self.size_px) < 1:
            raise ValueError(f"a frame needs at least 1 pixel a side: {self}")

    @property
    def inner_px(self) -> tuple[int, int]:
        """Width and height that the source takes up in the target."""
        if self.fit == "squash":
            return self.size_px, self.size_px
        scale = self.size_px / max(self.width_px, self.height_px)
        return max(1, round(self.width_px * scale)), max(1, round(self.height_px * scale))

    @property
    def offset_px(self) -> tuple[int, int]:
        """Where the source's upper left corner lies in the target (x, y)."""
        width, height = self.inner_px
        return (self.size_px - width) // 2, (self.size_px - height) // 2

    def image(self, pixels: np.ndarray) -> np.ndarray:
        """Resizes grey levels with anti-aliasing: [height_px, width_px] -> [size_px, size_px], uint8 or float32."""
        if pixels.shape != (self.height_px, self.width_px):
            raise ValueError(f"pixels have shape {pixels.shape}, the frame is {(self.height_px, self.width_px)}")
        width, height = self.inner_px
        shrinks = width < self.width_px or height < self.height_px
        inner = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        if (width, height) == (self.size_px, self.size_px):
            return inner
        x, y = self.offset_px
        target = np.zeros((self.size_px, self.size_px), pixels.dtype)
        target[y : y + height, x : x + width] = inner
        return target

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """Resizes a mask: a pixel belongs to it where at least half is covered.

        A structure too thin for that anywhere (a line, a catheter) keeps every pixel it touches: it never vanishes.

        Args:
            mask: bool [height_px, width_px].

        Returns:
            bool [size_px, size_px].
        """
        cover = self.image(mask.astype(np.uint8) * 255)
        halves = cover >= 128
        return halves if halves.any() else self.image(mask.astype(np.float32)) > 0

    def box(self, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        """Moves a box (x, y of its upper left corner, width, height) of the source frame to the target."""
        inner_width, inner_height = self.inner_px
        scale_x, scale_y = inner_width / self.width_px, inner_height / self.height_px
        left, top = self.offset_px
        return left + x * scale_x, top + y * scale_y, width * scale_x, height * scale_y
