"""Freed memory is kept: arrays made again and again are not paged in again and again."""

import platform
import subprocess
import sys

import pytest

from medslip_core import allocator

PROGRAM = """
import resource, sys
import numpy as np
from medslip_core.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
make = lambda: np.ones(2**26, np.uint8)
make()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    make()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_large_arrays_are_paged_in_once():
    assert page_faults("plain") > 100
    assert page_faults("keep") < 10


@pytest.mark.parametrize("elsewhere", ["darwin", "win32"])
def test_other_systems_are_left_as_they_are(monkeypatch, elsewhere):
    monkeypatch.setattr(sys, "platform", elsewhere)
    assert allocator.keep_freed_memory() is False
