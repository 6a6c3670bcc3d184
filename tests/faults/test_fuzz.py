"""A few mutants of each kind; `python -m tests.faults.fuzz --count 1000000` tries as many as there is time for."""

import pytest
from faults.fuzz import READ, fuzz


@pytest.mark.parametrize("target", READ)
def test_mutants_are_read_or_refused_by_one_error_type(target):
    outcome = fuzz(target, first=0, count=150)
    assert outcome["faults"] == []
    assert outcome["read"] and outcome["refused"] or target in ("report", "corpus")
