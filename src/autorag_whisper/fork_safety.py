"""A fork of a process that has engines: no native call is under way then, and the child frees nothing of theirs.

A thread that computes may hold a lock of its library (MKL's allocator has one), which a child would inherit locked, for
ever. NumPy's matrix products count too: OpenBLAS ends its threads before a fork, and where one of them is at work, fork
and product may wait for each other, for ever. So a fork waits until the calls in flight are over, a batch at most, and
new ones wait for the fork. Where that takes longer than `PATIENCE_S` the child refuses to compute.

Freed in a child, CTranslate2 would wait for threads that are not there, or crash, also at the child's own exit. So what
a child inherits stays in its memory until it ends; it shares the pages with its parent as long as nobody writes.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakSet

from autorag_whisper.domain.process_errors import ForkedProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

PATIENCE_S = 30.0
_native: WeakSet[object] = WeakSet()


class _Gate:
    """Who is in native code, and whether a fork is about to be."""

    def __init__(self, *, spoilt: bool = False) -> None:
        # `with` holds the lock itself: to enter and to leave a Condition is Python, which a signal handler interrupts.
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.working: dict[object, int] = {}  # a token for each call: its thread
        self.forking = False
        self.spoilt = spoilt  # this process was forked in the midst of a call


_gate = _Gate()


@contextmanager
def at_work(*, waits: bool = True) -> Iterator[None]:
    """Around a native call: no fork happens in it. `waits`: it begins after a fork that is about to be.

    A call within a call of the same thread never waits, as the fork waits for the outer one.
    Raises ForkedProcess in a child whose parent was in such a call when it forked.
    """
    gate, token = _gate, object()
    # Whatever a signal handler raises between two of these lines, what was counted is taken off again.
    try:
        with gate.lock:
            if gate.spoilt:
                raise ForkedProcess("an engine that was at work")
            if waits and threading.get_ident() not in gate.working.values():
                gate.changed.wait_for(lambda: not gate.forking, PATIENCE_S)
            gate.working[token] = threading.get_ident()
        yield
    finally:
        gate.working.pop(token, None)
        with gate.lock:
            gate.changed.notify_all()


def kept_in_forks(model: _T) -> _T:
    """`model`, a native object that has threads, which no forked child will free."""
    import ctypes

    assert ctypes.pythonapi is not None  # imported now: a child that was forked during another import could not
    _native.add(model)
    return model


def _before() -> None:
    with _gate.lock:
        _gate.forking = True
        if not _gate.changed.wait_for(lambda: not _gate.working, PATIENCE_S):
            _log.warning("this process forks in the midst of an engine's work: its child cannot use one")


def _in_parent() -> None:
    with _gate.lock:
        _gate.forking = False
        _gate.changed.notify_all()


def _in_child() -> None:
    global _gate  # noqa: PLW0603 - the one gate of this process
    _gate = _Gate(spoilt=_gate.spoilt or bool(_gate.working))
    if _native:
        import ctypes

        for model in list(_native):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(model))
        _native.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
