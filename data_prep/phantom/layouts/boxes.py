"""Bounding boxes of findings, as an annotator would draw them: one per connected part."""

import cv2
import numpy as np

SPECK_SHARE = 0.05
"""Parts smaller than this share of the finding get no box of their own: nobody would draw one."""


def finding_boxes(mask: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Boxes around the connected parts of one finding.

    Args:
        mask: [H, W] bool.

    Returns:
        (x, y, width, height) in pixels, largest part first.
    """
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    parts = sorted(stats[1:].tolist(), key=lambda part: (-part[cv2.CC_STAT_AREA], part[:4]))
    smallest = SPECK_SHARE * sum(part[cv2.CC_STAT_AREA] for part in parts)
    return [tuple(part[:4]) for part in parts if part[cv2.CC_STAT_AREA] >= smallest]
