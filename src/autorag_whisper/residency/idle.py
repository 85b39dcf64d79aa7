"""What happens when nothing was asked of this process for a while."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import AutoragWhisperError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log = logging.getLogger(__name__)


class IdleTimer:
    """Calls `act`, in a thread of its own, once nobody has been busy for `after_s` seconds. Thread-safe.

    It does not look whether somebody has begun since: `act` has to leave alone what is in use. `timer` makes timers.
    """

    def __init__(
        self,
        after_s: float,
        act: Callable[[], object],
        *,
        timer: Callable[[float, Callable[[], None]], threading.Timer] = threading.Timer,
    ) -> None:
        self._after_s, self._act, self._new_timer = after_s, act, timer
        self._lock = threading.RLock()  # the interpreter may close a run while one is held
        self._busy, self._is_closed = 0, False
        self._timer: threading.Timer | None = None

    @contextmanager
    def busy(self) -> Iterator[None]:
        """For the length of a `with` this process is not idle."""
        with self._lock:
            self._busy += 1
            self._cancel()
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1
                if not self._busy and not self._is_closed:
                    self._timer = self._new_timer(self._after_s, self._acted)
                    self._timer.daemon = True
                    self._timer.start()

    def close(self) -> None:
        """Act no more, also where somebody is busy now."""
        with self._lock:
            self._is_closed = True
            self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _acted(self) -> None:
        _log.info("nothing was asked for %g s: models leave", self._after_s)
        try:
            self._act()
        except AutoragWhisperError as error:  # an engine that would not let go: it is tried again with the next lease
            _log.warning("not all models left: %s", error)
