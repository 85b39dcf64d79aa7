"""Whose turn it is where one process has several shards in work: all that go together, or one recording alone."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Turns:
    """Of several runs in threads of one process any number go together, or one goes alone and nothing beside it.

    A process that dies while a recording is alone died of that one, which is what `in_hand` counts. Whoever waits to be
    alone goes before those who come to go together, so that it does not wait for ever.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._together = self._waiting = 0
        self._is_alone = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Go beside others. Waits while one is alone, or waits for that."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._is_alone or self._waiting))
            self._together += 1
        try:
            yield
        finally:
            with self._changed:
                self._together -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Go when nobody else does. Waits for all that are at it."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not (self._is_alone or self._together))
                self._is_alone = True
            finally:
                self._waiting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._is_alone = False
                self._changed.notify_all()
