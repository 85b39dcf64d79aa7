"""Which threads are the package's own: one of them must never wait for what only itself or another of them can do.

The interpreter may collect an abandoned generator in any thread, and closing it ends its run there.
"""

from __future__ import annotations

import threading

_local = threading.local()


def mark_as_ours() -> None:
    """The thread that calls this is one of ours."""
    _local.is_ours = True


def is_ours() -> bool:
    """Whether the thread that asks is one of ours."""
    return getattr(_local, "is_ours", False)
