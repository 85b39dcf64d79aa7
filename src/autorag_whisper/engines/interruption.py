"""A flag that a native call looks at while it computes, so that it ends when nobody wants its result any more."""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Interruption:
    """Not set, until `set` is called from whatever thread; then for ever. Takes no lock."""

    def __init__(self) -> None:
        self._flag = ctypes.c_int32(0)
        self.address = ctypes.addressof(self._flag)
        """Of an int32 that is 0 until it is set; valid as long as this object."""

    @property
    def is_set(self) -> bool:
        return self._flag.value != 0

    def set(self) -> None:
        self._flag.value = 1

    @contextmanager
    def around(self) -> Iterator[None]:
        """The native calls of this thread in the `with` block look at this flag."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)


_NEVER = Interruption()
_CURRENT: ContextVar[Interruption] = ContextVar("interruption", default=_NEVER)


def current() -> Interruption:
    """The flag of this thread's native calls; one that nobody sets where there is none."""
    return _CURRENT.get()
