"""Freed memory stays with the process, for the next array.

glibc hands large freed blocks back to the system, so that every feature map of the next step is paged in and zeroed
anew: on a CPU a tenth of a training step and up to half of a forward pass. `benchmarks/allocator.py` measures it.
Results do not change.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell this process's `malloc` to keep what is freed, up to 2 GiB at the heap's end.

    For the entry points of programs and notebooks: it holds for the whole process.

    Returns:
        Whether it was set; False where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, LARGEST_INT))
