"""How many requests are let in at a time: in all, and of one client. Decided before a body is read.

A request has its slot from its head until its answer has been sent, so uploads count like work.
"""

from __future__ import annotations

import math
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from autorag_whisper.server.errors import RETRY_AFTER_S, ApiError, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOST_RETRY_S = 60
_SMOOTHING = 0.1


class Admission:
    """Slots, `most` in all, `per_client` for each client. `clock` gives seconds. For the event loop's thread alone."""

    def __init__(self, most: int, per_client: int, clock: Callable[[], float]) -> None:
        self._most, self._per_client, self._clock = most, per_client, clock
        self._held: Counter[str] = Counter()
        self._mean_s = 0.0

    def __len__(self) -> int:
        return self._held.total()

    def refusal(self, client: str) -> ApiError | None:
        """Why there is no slot for a client: 429 over its own quota, 503 where all are taken; None if there is one."""
        if self._held.get(client, 0) >= self._per_client < self._most:
            message = (
                f"You have {self._per_client} requests in work, which is your limit. Send the next when one is done."
            )
            headers = {"Retry-After": str(self.retry_after_s())}
            return ApiError(429, message, "rate_limit_error", code="rate_limit_exceeded", headers=headers)
        if len(self) >= self._most:
            message = f"{self._most} requests are in work, which is the limit. Try again later."
            return unavailable(message, "overloaded", self.retry_after_s())
        return None

    @contextmanager
    def slot(self, client: str) -> Iterator[None]:
        """A slot for the length of a `with`, after `refusal` gave None."""
        self._held[client] += 1
        began_s = self._clock()
        try:
            yield
        finally:
            self._held[client] -= 1
            if not self._held[client]:
                del self._held[client]
            took_s = self._clock() - began_s
            self._mean_s += (took_s - self._mean_s) * (_SMOOTHING if self._mean_s else 1.0)

    def retry_after_s(self) -> int:
        """When a slot may be free: as long as requests take at present, a minute at most."""
        return min(math.ceil(self._mean_s) or RETRY_AFTER_S, _MOST_RETRY_S)
