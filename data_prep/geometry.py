"""From an image's frame to the corpus's square one: the image, its boxes and its masks all go through one object.

Crop, resize, padding and flip are one map. Coordinates are continuous: pixel i covers [i, i + 1), so a box spanning a
whole image stays spanning it.
"""

from dataclasses import dataclass

import cv2
import numpy as np

FITS = ("pad", "crop", "squash")


@dataclass(frozen=True)
class Geometry:
    """Maps a frame of width × height pixels to a square one.

    Args:
        width_px: width of the source frame.
        height_px: height of the source frame.
        size_px: side of the target.
        fit: "pad" keeps the aspect ratio and centres the image between black bars; "crop" keeps it too and takes the
            largest square in the middle; "squash" stretches the image to the square.
        mirrored: whether left and right are exchanged, last of all.
    """

    width_px: int
    height_px: int
    size_px: int
    fit: str = "pad"
    mirrored: bool = False

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise ValueError(f"fit is {self.fit!r}; use one of {', '.join(FITS)}")
        if min(self.width_px, self.height_px, self.size_px) < 1:
            raise ValueError(f"a frame needs at least 1 pixel a side: {self}")

    @property
    def window_px(self) -> tuple[int, int, int, int]:
        """What is kept of the source: x, y of the upper left corner, width, height."""
        if self.fit != "crop":
            return 0, 0, self.width_px, self.height_px
        side = min(self.width_px, self.height_px)
        return (self.width_px - side) // 2, (self.height_px - side) // 2, side, side

    @property
    def inner_px(self) -> tuple[int, int]:
        """Width and height that the window takes up in the target."""
        if self.fit != "pad":
            return self.size_px, self.size_px
        scale = self.size_px / max(self.width_px, self.height_px)
        return max(1, round(self.width_px * scale)), max(1, round(self.height_px * scale))

    @property
    def offset_px(self) -> tuple[int, int]:
        """Where the window's upper left corner lies in the target (x, y), before it is mirrored."""
        width, height = self.inner_px
        return (self.size_px - width) // 2, (self.size_px - height) // 2

    def image(self, pixels: np.ndarray) -> np.ndarray:
        """Moves grey levels with anti-aliasing: [height_px, width_px] -> [size_px, size_px], uint8 or float32."""
        if pixels.shape != (self.height_px, self.width_px):
            raise ValueError(f"pixels have shape {pixels.shape}, the frame is {(self.height_px, self.width_px)}")
        x, y, width, height = self.window_px
        target = _resize(pixels[y : y + height, x : x + width], *self.inner_px)
        if self.inner_px != (self.size_px, self.size_px):
            (x, y), (width, height), inner = self.offset_px, self.inner_px, target
            target = np.zeros((self.size_px, self.size_px), pixels.dtype)
            target[y : y + height, x : x + width] = inner
        return np.ascontiguousarray(target[:, ::-1] if self.mirrored else target)

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """Moves a mask: a pixel belongs to it where at least half is covered.

        A structure too thin for that anywhere (a line, a catheter) keeps every pixel it touches: it never vanishes.

        Args:
            mask: bool [height_px, width_px].

        Returns:
            bool [size_px, size_px].
        """
        cover = self.image(mask.astype(np.uint8) * 255)
        halves = cover >= 128
        return halves if halves.any() else self.image(mask.astype(np.float32)) > 0

    def back(self, target: np.ndarray) -> np.ndarray:
        """Moves what lies over the target, such as a heat map, back over the source frame; cropped parts are 0.

        Args:
            target: [size_px, size_px] float32.

        Returns:
            [height_px, width_px] float32.
        """
        if target.shape != (self.size_px, self.size_px):
            raise ValueError(f"the target has shape {target.shape}, not {(self.size_px, self.size_px)}")
        straight = target[:, ::-1] if self.mirrored else target
        (left, top), (inner_width, inner_height) = self.offset_px, self.inner_px
        x, y, width, height = self.window_px
        source = np.zeros((self.height_px, self.width_px), np.float32)
        inner = np.ascontiguousarray(straight[top : top + inner_height, left : left + inner_width], np.float32)
        source[y : y + height, x : x + width] = _resize(inner, width, height)
        return source

    def box(self, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float] | None:
        """Moves a box (x, y of its upper left corner, width, height); None where a crop leaves nothing of it."""
        window_x, window_y, window_width, window_height = self.window_px
        inner_width, inner_height = self.inner_px
        scale_x, scale_y = inner_width / window_width, inner_height / window_height
        offset_x, offset_y = self.offset_px
        left, top = offset_x + (x - window_x) * scale_x, offset_y + (y - window_y) * scale_y
        right, bottom = left + width * scale_x, top + height * scale_y
        if self.mirrored:
            left, right = self.size_px - right, self.size_px - left
        if self.fit == "crop":
            left, top, right, bottom = (min(max(edge, 0.0), float(self.size_px)) for edge in (left, top, right, bottom))
        return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def _resize(pixels: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """Averages over what shrinks and interpolates what grows: OpenCV averages only where no axis grows."""
    height, width = pixels.shape
    smaller = min(width, width_px), min(height, height_px)
    if smaller != (width, height):
        pixels = cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA)
    if smaller != (width_px, height_px):
        pixels = cv2.resize(pixels, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
    return pixels
