"""Unusual image files give the grey levels they should, within one level of a reference."""

import numpy as np
import pytest
from faults.pixel_cases import CASES

from data_prep.image import read_grey


@pytest.mark.parametrize("name", CASES)
def test_the_grey_levels_are_right(tmp_path, name):
    file, content, reference = CASES[name]
    (tmp_path / file).write_bytes(content)
    pixels = read_grey(tmp_path / file).pixels
    assert pixels.dtype == np.uint8 and pixels.shape == reference.shape
    assert np.abs(pixels - reference.astype(float)).max() <= 1
