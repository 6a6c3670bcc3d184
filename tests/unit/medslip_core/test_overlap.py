"""IoU and Dice by hand and against counting threshold by threshold."""

import numpy as np
import pytest

from medslip_core.overlap import THRESHOLDS, best_threshold, overlap, overlap_by_threshold

SIZE = 8


def test_by_hand():
    mask, half = np.zeros((2, SIZE, SIZE), bool)
    mask[2:4, 2:4] = half[2:4, 3:5] = True  # two of four pixels in common
    found = overlap(np.stack([half, np.zeros_like(mask), mask]), np.stack([mask] * 3))
    assert found.both.tolist() == [2, 0, 4] and found.either.tolist() == [6, 4, 4]
    assert found.iou.tolist() == [2 / 6, 0, 1] and found.dice.tolist() == [1 / 2, 0, 1]
    assert overlap(half, mask).iou == 2 / 6 and overlap(half, mask).dice == 1 / 2


def test_nothing_marked_where_nothing_is_counts_as_right():
    nothing = np.zeros((1, SIZE, SIZE), bool)
    assert overlap(nothing, nothing).iou == overlap(nothing, nothing).dice == 1
    assert overlap(~nothing, nothing).iou == overlap(~nothing, nothing).dice == 0


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_all_thresholds_at_once_are_each_by_itself(kind):
    generator = np.random.default_rng(0)
    values = generator.random((9, SIZE, SIZE)).astype(kind)
    values[:, 0] = generator.choice(THRESHOLDS, (9, SIZE))  # equal to a threshold, or what float32 makes of it
    truth = generator.random((9, SIZE, SIZE)) < np.linspace(0, 1, 9)[:, None, None]
    found = overlap_by_threshold(values, truth)
    for column, threshold in enumerate(THRESHOLDS.tolist()):
        one = overlap(values >= threshold, truth)
        for name in ("both", "either", "iou", "dice"):
            np.testing.assert_array_equal(getattr(found, name)[:, column], getattr(one, name))
    assert overlap_by_threshold(values[:0], truth[:0]).dice.shape == (0, len(THRESHOLDS))


def test_the_best_threshold_is_the_lowest_of_the_highest_mean():
    dice = np.zeros((2, len(THRESHOLDS)))
    dice[0, 3], dice[1, 3], dice[0, 5] = 0.4, 0.4, 0.8
    assert best_threshold(dice) == THRESHOLDS[3] == 0.2


def test_masks_of_another_size():
    for compare in (overlap, overlap_by_threshold):
        with pytest.raises(ValueError, match=r"\(4, 4\) px, the truth is \(8, 8\) px"):
            compare(np.zeros((1, 4, 4), bool), np.zeros((1, SIZE, SIZE), bool))
