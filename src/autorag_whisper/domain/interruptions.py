"""Exceptions out of signal handlers: they are the program's own, and no failure of what was at work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType


def came_by_a_signal(error: BaseException) -> bool:
    """Whether `error`, or what it was made of, was raised in a signal handler that is written in Python.

    The interpreter calls a handler in the middle of whatever the main thread does, with the number of the signal and
    the frame that it interrupts: nothing else has a frame of its own traceback among its arguments.
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if _leaves_a_handler(link.__traceback__):
            return True
        link = link.__cause__ or link.__context__
    return False


def let_signals_through(error: BaseException) -> None:
    """Raise `error` as it is if a signal handler raised it. For whoever answers exceptions of a class (OSError)."""
    if came_by_a_signal(error):
        raise error


def _leaves_a_handler(at: TracebackType | None) -> bool:
    outer: set[int] = set()
    while at is not None:
        if outer and any(_holds(value, outer) for value in at.tb_frame.f_locals.values()):
            return True
        outer.add(id(at.tb_frame))
        at = at.tb_next
    return False


def _holds(value: Any, frames: set[int]) -> bool:
    """Whether it is one of `frames`, or the `*arguments` that have one."""
    return id(value) in frames or (isinstance(value, tuple) and any(id(one) in frames for one in value))
