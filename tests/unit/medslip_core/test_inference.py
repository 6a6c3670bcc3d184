"""Images that no corpus holds."""

import numpy as np
import pytest

from medslip_core.inference import Images


def test_images_are_taken_in_the_order_asked_for():
    images = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    assert Images(list(images)).take(np.array([2, 0])).max(axis=(1, 2)).tolist() == [2, 0]


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([np.zeros((4, 4), np.uint8), np.zeros((5, 5), np.uint8)], "images of several sizes or types"),
        ([np.zeros((4, 4), np.float32)], r"images are float32 \(4, 4\), not uint8"),
        (np.zeros((4, 4), np.uint8), r"images are uint8 \(4,\), not uint8 \[H, H\] each"),
    ],
)
def test_what_is_no_list_of_images_is_refused(images, said):
    with pytest.raises(ValueError, match=said):
        Images(images)
