"""Wherever a pixel of the image lands, its mask pixel and its box land too."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.geometry import FITS, Geometry

sides = st.integers(8, 200)
frames = st.builds(
    Geometry, sides, sides, size_px=st.integers(8, 96), fit=st.sampled_from(FITS), mirrored=st.booleans()
)


@st.composite
def frame_and_block(draw):
    """A geometry and a block of what it keeps of its source frame, at least four target pixels wide and high."""
    geometry = draw(frames)
    left, top, kept_width, kept_height = geometry.window_px
    smallest_x = min(kept_width, int(np.ceil(4 * kept_width / geometry.inner_px[0])))
    smallest_y = min(kept_height, int(np.ceil(4 * kept_height / geometry.inner_px[1])))
    width, height = draw(st.integers(smallest_x, kept_width)), draw(st.integers(smallest_y, kept_height))
    x, y = draw(st.integers(0, kept_width - width)), draw(st.integers(0, kept_height - height))
    return geometry, (left + x, top + y, width, height)


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


@given(frames, st.data())
def test_a_pixel_and_the_corners_of_its_box_land_together_or_are_cropped_together(geometry, data):
    x, y = data.draw(st.integers(0, geometry.width_px - 1)), data.draw(st.integers(0, geometry.height_px - 1))
    pixel = np.zeros((geometry.height_px, geometry.width_px), np.float32)
    pixel[y, x] = 1
    target, box = geometry.image(pixel), geometry.box(x, y, 1, 1)
    if box is None:
        assert not target.any() and not geometry.mask(pixel > 0).any()
        return
    left, top, right, bottom = extent(target > 1e-6)
    # What is enlarged reaches half a source pixel further, as interpolation does; what is shrunk a target pixel.
    reach_x, reach_y = np.maximum(1, np.array(geometry.inner_px) / geometry.window_px[2:])
    assert box[0] - reach_x <= left < right <= box[0] + box[2] + reach_x
    assert box[1] - reach_y <= top < bottom <= box[1] + box[3] + reach_y
    assert geometry.mask(pixel > 0).any()


@given(frames)
def test_mirroring_is_a_flip_of_image_mask_and_box(geometry):
    straight, mirrored = replace(geometry, mirrored=False), replace(geometry, mirrored=True)
    pixels = np.random.default_rng(0).integers(0, 256, (geometry.height_px, geometry.width_px), np.uint8)
    np.testing.assert_array_equal(mirrored.image(pixels), straight.image(pixels)[:, ::-1])
    np.testing.assert_array_equal(mirrored.mask(pixels > 128), straight.mask(pixels > 128)[:, ::-1])
    whole = (0, 0, geometry.width_px / 3 * 2, geometry.height_px)
    (x, y, width, height), (flipped_x, *rest) = straight.box(*whole), mirrored.box(*whole)
    np.testing.assert_allclose([flipped_x, *rest], [geometry.size_px - x - width, y, width, height], atol=1e-9)


@given(frame_and_block())
def test_what_is_moved_back_lies_where_it_came_from(case):
    geometry, (x, y, width, height) = case
    block = np.zeros((geometry.height_px, geometry.width_px), np.float32)
    block[y : y + height, x : x + width] = 1
    back = geometry.back(geometry.image(block))
    assert back.shape == block.shape and back.dtype == np.float32
    of_source = np.array(geometry.window_px[2:]) / geometry.inner_px  # source pixels that a target pixel covers
    np.testing.assert_allclose(extent(back > 0.5), extent(block > 0), atol=1 + 1.5 * of_source.max())


def test_nothing_is_moved_back_from_another_size():
    with pytest.raises(ValueError, match=r"shape \(8, 9\), not \(8, 8\)"):
        Geometry(20, 10, 8).back(np.zeros((8, 9), np.float32))


def test_cropping_takes_the_middle_at_its_own_aspect_and_cuts_boxes_at_the_edge():
    geometry = Geometry(width_px=200, height_px=100, size_px=50, fit="crop")
    assert geometry.window_px == (50, 0, 100, 100)
    assert geometry.box(50, 0, 100, 100) == (0.0, 0.0, 50.0, 50.0)
    assert geometry.box(40, 20, 20, 10) == (0.0, 10.0, 5.0, 5.0)
    assert geometry.box(0, 0, 50, 100) is None
    ramp = np.tile(np.arange(200, dtype=np.uint8), (100, 1))
    assert (geometry.image(ramp)[0, [0, -1]] == [50, 148]).all() or (
        geometry.image(ramp)[0, [0, -1]] == [51, 149]
    ).all()


def test_what_shrinks_is_averaged_also_where_the_other_axis_grows():
    stripes = np.tile(np.array([0, 255], np.uint8), (16, 64))
    squashed = Geometry(128, 16, 32, fit="squash").image(stripes)
    assert np.abs(squashed.astype(int) - 127).max() <= 1


def test_padding_keeps_the_aspect_ratio_and_centres():
    geometry = Geometry(width_px=200, height_px=100, size_px=50)
    assert geometry.box(0, 0, 200, 100) == (0.0, 12.0, 50.0, 25.0)


def test_the_narrow_side_keeps_one_pixel():
    assert Geometry(width_px=1000, height_px=1, size_px=16).inner_px == (16, 1)
    assert Geometry(width_px=1, height_px=1000, size_px=16).inner_px == (1, 16)


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
    with pytest.raises(ValueError, match="fit is 'stretch'; use one of pad, crop, squash"):
        Geometry(10, 10, 10, "stretch")
    with pytest.raises(ValueError, match="at least 1 pixel"):
        Geometry(10, 10, 0)
    with pytest.raises(ValueError, match=r"shape \(5, 4\), the frame is \(4, 5\)"):
        Geometry(5, 4, 8).image(np.zeros((5, 4), np.uint8))
