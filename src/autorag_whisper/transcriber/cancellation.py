"""`CancelToken`: how a caller stops work that another thread is waiting for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import Cancelled, InvalidOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class CancelToken:
    """Stops every call that it was given to as `cancel=`; these raise Cancelled. Once cancelled it stays so.

    `cancel` may be called from any thread, from a signal handler and from an event loop: it takes no lock and waits for
    nothing. With `parents` it is also cancelled when one of them is, so that a program can have one token for all of
    its calls beside one for each.
    """

    __slots__ = ("_flags", "_own")

    def __init__(self, *parents: CancelToken) -> None:
        for parent in parents:
            if not isinstance(parent, CancelToken):
                raise InvalidOption("parent of a CancelToken", type(parent).__name__, "another CancelToken")
        self._own = _Flag()
        self._flags: tuple[_Flag, ...] = (self._own, *(f for parent in parents for f in parent._flags))  # noqa: SLF001 - its own kind

    def cancel(self) -> None:
        """Ask for the end. Again is fine."""
        self._own.is_set = True
        for wake in self._own.listeners.copy().values():  # whoever listens later sees the flag
            wake()

    @property
    def cancelled(self) -> bool:
        """Whether the end was asked for."""
        return any(flag.is_set for flag in self._flags)

    def check(self) -> None:
        """Raise Cancelled if the end was asked for."""
        if self.cancelled:
            raise Cancelled

    @contextmanager
    def listening(self, wake: Callable[[], object]) -> Iterator[None]:
        """For the length of a `with`, `wake` is called when the end is asked for; at once if it was already.

        It is called in the thread that cancels and may be called twice: it must be as free of locks as `cancel` is.
        """
        key = object()
        try:
            for flag in self._flags:
                flag.listeners[key] = wake
            if self.cancelled:
                wake()
            yield
        finally:
            for flag in self._flags:
                flag.listeners.pop(key, None)


class _Flag:
    """Changed by single steps that the interpreter does not divide: locks would hold up signal handlers."""

    __slots__ = ("is_set", "listeners")

    def __init__(self) -> None:
        self.is_set = False
        self.listeners: dict[object, Callable[[], object]] = {}
