"""What belongs to one process: a forked child has none of its parent's threads, and must not touch what they worked on.

A change of process is seen by the process id, at every use: hooks of `os.fork` alone would miss a fork in C. The hook
only renews the lock below, which another thread may hold at the fork.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from autorag_whisper.domain.process_errors import ForkedProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_T = TypeVar("_T")

_making = threading.RLock()
_inherited: list[object] = []
"""What parents of this process made: nobody may end it here, not even by forgetting it."""


def _renew() -> None:
    global _making  # noqa: PLW0603 - the one lock of this module
    _making = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


class PerProcess(Generic[_T]):
    """A value that each process has its own of: made at its first use there, also in a forked child. Thread-safe."""

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._made: tuple[int, _T] | None = None

    def get(self) -> _T:
        """This process's value. Raises what making it raises."""
        made = self._made
        if made is not None and made[0] == os.getpid():
            return made[1]
        with _making:
            return self._mine()

    @property
    def is_made(self) -> bool:
        """Whether this process has made its own."""
        made = self._made
        return made is not None and made[0] == os.getpid()

    def _mine(self) -> _T:
        made, pid = self._made, os.getpid()
        if made is not None and made[0] == pid:  # by another thread
            return made[1]
        if made is not None:
            _inherited.append(made)
        value = self._make()
        self._made = (pid, value)
        return value


class Kept(Generic[_T]):
    """A property that is computed once for an object, and kept in it; two threads at once may both compute it.

    `functools.cached_property` has a lock for all objects of a class before Python 3.12, which a child that is forked
    while another thread has it never gets.
    """

    def __init__(self, compute: Callable[[Any], _T]) -> None:
        self._compute, self._name = compute, ""
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type[object], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type[object]) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[object] | None = None) -> _T: ...

    def __get__(self, instance: object | None, owner: type[object] | None = None) -> Self | _T:
        if instance is None:
            return self
        value: _T = self._compute(instance)
        instance.__dict__[self._name] = value  # found before this one from now on
        return value


def require_own(pid: int, what: str) -> None:
    """See that this is the process in which `what` was made. Raises ForkedProcess."""
    if pid != os.getpid():
        raise ForkedProcess(what)


def in_one_process(events: Generator[_T], what: str) -> Generator[_T]:
    """`events`, which a forked child can neither go on with (ForkedProcess) nor end: closing it there does nothing."""
    pid = os.getpid()
    try:
        while True:
            require_own(pid, what)
            try:
                event = next(events)
            except StopIteration:
                return
            yield event
    finally:
        if pid == os.getpid():
            events.close()
        else:
            _inherited.append(events)
