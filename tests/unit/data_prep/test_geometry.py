"""Wherever a pixel of the image lands, its mask pixel and its box land too."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.geometry import FITS, Geometry

sides = st.integers(8, 200)
frames = st.builds(Geometry, sides, sides, size_px=st.integers(8, 96), fit=st.sampled_from(FITS))


@st.composite
def frame_and_block(draw):
    """A geometry and a block of its source frame, at least four target pixels wide and high."""
    geometry = draw(frames)
    smallest_x = min(geometry.width_px, int(np.ceil(4 * geometry.width_px / geometry.inner_px[0])))
    smallest_y = min(geometry.height_px, int(np.ceil(4 * geometry.height_px / geometry.inner_px[1])))
    width, height = draw(st.integers(smallest_x, geometry.width_px)), draw(st.integers(smallest_y, geometry.height_px))
    x, y = draw(st.integers(0, geometry.width_px - width)), draw(st.integers(0, geometry.height_px - height))
    return geometry, (x, y, width, height)


def extent(mask: np.ndarray) -> np.ndarray:
    """Left, top, right and bottom edge of what is set."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


@given(frame_and_block())
def test_image_mask_and_box_of_a_block_land_in_the_same_place(case):
    geometry, (x, y, width, height) = case
    block = np.zeros((geometry.height_px, geometry.width_px), bool)
    block[y : y + height, x : x + width] = True

    left, top, box_width, box_height = geometry.box(x, y, width, height)
    corners = np.array([left, top, left + box_width, top + box_height])
    in_image = extent(geometry.image(block.astype(np.uint8) * 255) > 127)
    # Enlarging interpolates across the edge, so the half-way level may lie up to a pixel off there.
    assert np.abs(in_image - corners).max() <= 1.0
    np.testing.assert_array_equal(extent(geometry.mask(block)), in_image)


@given(frames)
def test_the_whole_image_fills_the_target_but_for_the_bars(geometry):
    target = geometry.image(np.full((geometry.height_px, geometry.width_px), 200, np.uint8))
    left, top, width, height = map(round, geometry.box(0, 0, geometry.width_px, geometry.height_px))
    assert target.shape == (geometry.size_px, geometry.size_px)
    assert (target[top : top + height, left : left + width] == 200).all()
    assert (target == 200).sum() == width * height
    assert max(width, height) == geometry.size_px
    assert geometry.fit == "pad" or (width, height) == (geometry.size_px, geometry.size_px)


def test_padding_keeps_the_aspect_ratio_and_centres():
    geometry = Geometry(width_px=200, height_px=100, size_px=50)
    assert geometry.box(0, 0, 200, 100) == (0.0, 12.0, 50.0, 25.0)


def test_shrinking_averages_so_that_fine_stripes_turn_grey():
    stripes = np.tile(np.array([0, 255], np.uint8), (128, 64))
    assert np.abs(Geometry(128, 128, 32).image(stripes).astype(int) - 127).max() <= 1


def test_a_line_thinner_than_a_pixel_does_not_vanish():
    line = np.zeros((1000, 1000), bool)
    line[:, 501] = True
    kept = Geometry(1000, 1000, 32).mask(line)
    np.testing.assert_array_equal(np.flatnonzero(kept.any(axis=0)), [16])
    speck = np.zeros((1000, 1000), bool)
    speck[10, 10] = True
    assert Geometry(1000, 1000, 32).mask(speck).sum() == 1


def test_wrong_fit_size_and_shape_are_named():
    with pytest.raises(ValueError, match="fit is 'stretch'; use one of pad, squash"):
        Geometry(10, 10, 10, "stretch")
    with pytest.raises(ValueError, match="at least 1 pixel"):
        Geometry(10, 10, 0)
    with pytest.raises(ValueError, match=r"shape \(5, 4\), the frame is \(4, 5\)"):
        Geometry(5, 4, 8).image(np.zeros((5, 4), np.uint8))
