"""glibc's allocator, tuned for an engine that allocates hundreds of MB again and again.

By default glibc gives large blocks back to the kernel at once, and every encoder pass faults them in again: a third of
its CPU time. Process-wide, so for our own processes only, or opted in to. Elsewhere than on glibc nothing happens.
"""

from __future__ import annotations

import sys
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_LARGE = 1 << 30
_LARGE_ENOUGH = 1 << 25  # older versions of glibc refuse a larger threshold for mmap (HEAP_MAX_SIZE / 2)


def tune_allocator() -> bool:
    """Keep freed memory in the process. To be called before an engine starts its threads; whether all of it took."""
    libc = _glibc()
    if libc is None:
        return False
    # Each is tried, whatever became of the others.
    done = [
        bool(libc.mallopt(_M_ARENA_MAX, 1)),
        any(libc.mallopt(_M_MMAP_THRESHOLD, size) for size in (_LARGE, _LARGE_ENOUGH)),
        bool(libc.mallopt(_M_TRIM_THRESHOLD, _LARGE)),
    ]
    return all(done)


def trim() -> bool:
    """Give freed memory back to the kernel; whether there was any. To be called when idle and after an unload."""
    libc = _glibc()
    return libc is not None and bool(libc.malloc_trim(0))


def _glibc() -> Any:
    """The C library that this process runs on, or None where that is not glibc."""
    if sys.platform != "linux":
        return None
    import ctypes

    try:
        libc = ctypes.CDLL(None)
        _ = libc.gnu_get_libc_version, libc.mallopt
        libc.malloc_trim.argtypes = (ctypes.c_size_t,)
    except (OSError, AttributeError):
        return None
    return libc
