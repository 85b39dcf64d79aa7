"""A connection of uvicorn's that reads in small pieces, and does not wait for ever for a request's head."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

READ_BYTES = 32 << 10
"""At once. asyncio's 256 KiB would be read of a body before its request could be refused."""


class Connection(AutoHTTPProtocol):  # type: ignore[valid-type,misc]  # uvicorn chooses it at import: httptools' or h11's
    """uvicorn's, with those limits. `head_s`: from the beginning of a connection, or of a head, to that head's end."""

    head_s = 20.0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        if hasattr(transport, "max_size"):  # asyncio's own
            transport.max_size = READ_BYTES
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._has_request():
            self._stop_expecting()
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_expecting()
        super().connection_lost(exc)

    def _has_request(self) -> bool:
        """Whether a request is there that is not answered yet."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = asyncio.get_running_loop().call_later(self.head_s, self._give_up)

    def _stop_expecting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self._has_request() and self.transport.get_protocol() is self:
            self.transport.close()
