"""Which threads must not wait where they close an abandoned run: the package's own, and one that collects garbage.

The interpreter may collect an abandoned generator in any thread, and closing it ends its run there. A thread of the
package's would wait for what only itself or another of them can do. Any other may be inside a lock at that moment, ours
or a library's, which a thread that the run waits for wants next.
"""

from __future__ import annotations

import gc
import threading

_local = threading.local()
_collecting = set[int]()
"""The thread in which the garbage collector runs now, if it does."""


def mark_as_ours() -> None:
    """The thread that calls this is one of ours."""
    _local.is_ours = True


def must_not_wait() -> bool:
    """Whether the thread that asks is one of ours, or was interrupted anywhere to collect garbage."""
    return getattr(_local, "is_ours", False) or threading.get_ident() in _collecting


def _note_collection(phase: str, _info: dict[str, int]) -> None:
    if phase == "start":
        _collecting.add(threading.get_ident())
    else:
        _collecting.discard(threading.get_ident())


gc.callbacks.append(_note_collection)
