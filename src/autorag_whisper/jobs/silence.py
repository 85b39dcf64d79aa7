"""A server that was silent is asked by one call at a time, again and again; every other call is refused at once."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

AGAIN_S = 1.0
"""Between two calls that find out whether it is there again."""


class Silence:
    """Whether a server is known to be silent. Thread-safe; waits for nothing. `clock`: seconds of any origin."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, again_s: float = AGAIN_S) -> None:
        self._clock, self._again_s = clock, again_s
        self._lock = threading.Lock()
        self._reason, self._next_s = "", -math.inf

    def why_refused(self) -> str:
        """Why a call is not to be made; "" for one that is, which has to say what came of it: `began` or `over`."""
        with self._lock:
            if self._reason and self._clock() < self._next_s:
                return self._reason
            self._next_s = math.inf  # until this one has found out
            return ""

    def began(self, reason: str) -> None:
        """It did not answer a call."""
        with self._lock:
            self._reason, self._next_s = reason, self._clock() + self._again_s

    def over(self) -> None:
        """It has answered, be it with an error."""
        with self._lock:
            self._reason = ""
