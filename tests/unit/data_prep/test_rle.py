"""Relative, column-major run lengths against a naive decoder, and hand-made cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data_prep import rle
from data_prep.errors import RecordError
from data_prep.phantom.layouts.siim import relative_run_lengths


def decode_naively(text: str, width: int, height: int) -> np.ndarray:
    flat, position, numbers = [False] * (width * height), 0, list(map(int, text.split()))
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        position += gap
        for index in range(position, position + length):
            flat[index] = True
        position += length
    return np.array([[flat[x * height + y] for x in range(width)] for y in range(height)])


def test_hand_made_mask_runs_down_the_columns():
    mask = rle.decode("1 2 2 1", width_px=2, height_px=4)
    np.testing.assert_array_equal(mask, [[0, 0], [1, 1], [1, 0], [0, 0]])


def test_minus_one_is_an_empty_mask_of_full_size():
    assert rle.decode(" -1", 3, 2).shape == (2, 3)
    assert not rle.decode("-1", 3, 2).any()


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_decoding_undoes_the_layout_writers_encoding_and_agrees_with_a_naive_loop(mask):
    text = relative_run_lengths(mask)
    decoded = rle.decode(text, mask.shape[1], mask.shape[0])
    np.testing.assert_array_equal(decoded, mask)
    if mask.any():
        np.testing.assert_array_equal(decoded, decode_naively(text, mask.shape[1], mask.shape[0]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 7", "pair 1 is 0 7"),
        ("4 1 1 1", "ends at pixel 7, past the image's 6"),
        ("1 2 3", "3 numbers"),
        ("", "0 numbers"),
        ("1 x", "not a list of whole numbers"),
        ("1 2.5", "not a list of whole numbers"),
        ("-2 3", "pair 1 is -2 3"),
        ("1 0", "pair 1 is 1 0"),
        ("1 99999999999999999999", "not a list of whole numbers"),
        ("1 9223372036854775807", "pair 1 is 1 9223372036854775807"),
    ],
)
def test_run_lengths_that_do_not_fit_are_named_with_their_row(text, said):
    with pytest.raises(RecordError, match="train-rle.csv row 7") as caught:
        rle.decode(text, 3, 2, "train-rle.csv row 7")
    assert said in str(caught.value)
    assert "set aside" in caught.value.remedy
