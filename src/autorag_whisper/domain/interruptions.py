"""Exceptions out of signal handlers: they are the program's own, and no failure of what was at work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType


def came_by_a_signal(error: BaseException) -> bool:
    """Whether `error`, or an error that it was raised from, comes from a signal handler that is written in Python.

    Python calls a handler with the signal's number and the interrupted frame. So the error's traceback contains a
    function that has an outer frame of the same traceback among its arguments, which no other code has.
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
    """Raise `error` again, unchanged, if a signal handler raised it. For code that catches a class such as OSError."""
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
    """Whether `value` is one of the `frames`, or a tuple (`*arguments`) that contains one; `frames` are ids."""
    return id(value) in frames or (isinstance(value, tuple) and any(id(one) in frames for one in value))
