"""A connection of uvicorn's that reads in small pieces, and waits for ever neither for a head nor for a reader.

Always h11's, whose heads, trailers and chunks have a limit (64 KiB), whatever else is installed: uvicorn would choose
httptools where it finds it, whose heads have none.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from autorag_whisper.server.errors import ApiError

READ_BYTES = 32 << 10
"""At once. asyncio's 256 KiB would be read of a body before its request could be refused."""


class Connection(H11Protocol):
    """uvicorn's, with those limits. `head_s`: from the beginning of a connection, or of a head, to that head's end.

    `unread_s`: without a byte of the answer that the client takes.
    """

    head_s = 20.0
    unread_s = 60.0
    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None

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
        self._stop_watching()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is told in the shape of all other errors. The connection ends."""
        error = ApiError(
            400, f"{msg} A head, a trailer and the line of a chunk have 64 KiB at most.", code="invalid_http"
        )
        body = json.dumps(error.body()).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        answer: list[h11.Event] = [
            h11.Response(status_code=400, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # else an answer is on its way, which breaks off
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in answer))
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._stop_watching()
        super().resume_writing()

    def _has_request(self) -> bool:
        """Whether a request is there that is not answered yet."""
        cycle: RequestResponseCycle | None = self.cycle
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

    def _watch(self, unread: int) -> None:
        """Look again in a while; where nothing was taken of what is `unread` by now, nobody reads it."""

        def look() -> None:
            now = self.transport.get_write_buffer_size()
            if now >= unread:
                self.transport.abort()
            else:
                self._watch(now)

        self._stop_watching()
        self._unread_timer = asyncio.get_running_loop().call_later(self.unread_s, look)

    def _stop_watching(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
