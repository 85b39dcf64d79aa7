"""Have an LLM server leave the card, and make sure that it did."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import LlmUnreachable
from autorag_whisper.gpu.arbiter.lease import LeaseRequest, Released, Tenant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autorag_whisper.gpu.arbiter.lease import Eviction, GpuArbiter, Lease
    from autorag_whisper.gpu.llm.base import LlmServer

_log = logging.getLogger(__name__)

LLM = "llm"
"""The name of an LLM server among the tenants."""
_LOOKS_S = 0.1
_MOST_REVIVALS = 3
_LEAST_FREED_BYTES = 64 << 20
"""What a model frees at least: less is the noise of other programs."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a release may take, and who tells the time and waits; both by argument, for tests."""

    timeout_s: float = 30.0
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], object] | None = None

    def wait(self, seconds: float) -> None:
        (self.pause or threading.Event().wait)(seconds)


class LlmTenant:
    """An LLM server among an arbiter's tenants.

    A release is verified when the server says that the model is gone, and the card, where it tells (`read_free`), that
    its memory came free. A server that cannot be asked is believed by the card alone. One whose model comes back before
    the card could be given away is asked again, three times, and is then left in peace: the release did not happen.
    """

    def __init__(
        self, server: LlmServer, read_free: Callable[[], int | None] = lambda: None, patience: Patience = Patience()
    ) -> None:
        self._server, self._read_free, self._patience = server, read_free, patience

    def tenant(self) -> Tenant:
        """As an arbiter knows it: its clients ask nobody, so it is asked before every lease of another."""
        return Tenant(LLM, self.release, standing=True)

    @contextmanager
    def lease(self, arbiter: GpuArbiter, request: LeaseRequest = LeaseRequest()) -> Iterator[Lease]:  # noqa: B008 - a frozen value
        """The card for requests to the server: it is woken first where it sleeps. Raises GpuBusy, LlmUnreachable."""
        with arbiter.lease(LLM, request) as lease:
            if lease.on_card:
                self._server.ask_back()
            yield lease

    def release(self, wanted: Eviction) -> Released:  # noqa: ARG002 - a model leaves whole, whatever is needed
        """Have the model leave. Never raises for what the server does."""
        try:
            released = self._release()
        except LlmUnreachable as error:
            released = Released(verified=False, note=error.problem())
        if not released.verified:
            _log.warning("%s: not released: %s", self._server.name, released.note)
        return released

    def _release(self) -> Released:
        if self._server.is_loaded() is False:
            return Released(note="nothing was loaded")
        ends = self._patience.clock() + self._patience.timeout_s
        before = self._read_free()
        for _ in range(1 + _MOST_REVIVALS):
            self._server.ask_to_leave()
            if not self._is_gone_by(ends):
                return Released(verified=False, note="it is still loaded")
            came_free = self._came_free_by(ends, before)
            if self._server.is_loaded():
                continue
            return Released() if came_free else Released(verified=False, note="the card shows no more free memory")
        return Released(verified=False, note="new requests brought it back each time")

    def _is_gone_by(self, ends: float) -> bool:
        while self._server.is_loaded():
            if self._patience.clock() >= ends:
                return False
            self._patience.wait(_LOOKS_S)
        return True

    def _came_free_by(self, ends: float, before: int | None) -> bool:
        """Whether the card shows it, where it tells; a server that cannot be asked needs a card that does.

        Ends early where the model is back: then the card has nothing to show.
        """
        if before is None:
            return self._server.is_loaded() is not None
        while True:
            after = self._read_free()
            if after is not None and after - before >= _LEAST_FREED_BYTES:
                return True
            if self._server.is_loaded() or self._patience.clock() >= ends:
                return False
            self._patience.wait(_LOOKS_S)
