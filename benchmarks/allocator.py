"""The four settings of glibc's allocator that let a process keep the memory of its large arrays.

Without them each large array is mapped anew, and every page of it faults at its first touch. To be called before a
framework is imported.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8


def tune() -> None:
    """Keep all memory in one heap that does not shrink.  Raises OSError where the C library is not glibc."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        raise OSError("the allocator can be tuned with glibc only") from None
    mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_ARENA_MAX: 1, M_TOP_PAD: 2**29}
    refused = [name for name, value in settings.items() if not mallopt(name, value)]
    if refused:
        raise OSError(f"glibc refused the allocator's settings {refused}")
