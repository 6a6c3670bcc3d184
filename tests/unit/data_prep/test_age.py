"""Ages as tables and DICOM headers write them."""

import pytest

from data_prep.age import parse_age


@pytest.mark.parametrize(
    ("text", "years"),
    [("058Y", 58), ("58", 58), ("018M", 1.5), ("65.0", 65), ("", None), ("414", None), ("Y", None), ("nan", None)],
)
def test_ages(text, years):
    assert parse_age(text) == years
