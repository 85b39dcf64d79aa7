"""The end of the service, step by step.

```
begin()   nothing new is let in; who only watches (`ENDS_AT_ONCE`) is ended, cleanly: he may come back and go on
          requests in flight may finish, for `drain_s` seconds
finish()  those that are left are stopped, and answered 503; in a stream the error is the last event
```
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from autorag_whisper.server.errors import ApiError, send_error, unavailable

if TYPE_CHECKING:
    from autorag_whisper.server.access import Application, Message, Receive, Scope, Send

ENDS_AT_ONCE = "autorag_whisper.ends_at_once"
"""A route puts this, true, into its request's scope where its answer goes on while there is something to watch."""


def ending() -> ApiError:
    """The answer to whoever comes too late."""
    return unavailable("The server is ending.", "draining")


class Draining:
    """The requests in flight, and how they are ended. For the event loop's thread alone."""

    def __init__(self, drain_s: float) -> None:
        self._drain_s = drain_s
        self._in_flight: dict[asyncio.Task[None], Scope] = {}
        self.begun, self._finished = asyncio.Event(), False

    def begin(self) -> None:
        """The end is asked for; a second time ends the waiting."""
        if self.begun.is_set():
            self.finish()
            return
        self.begun.set()
        for task, scope in list(self._in_flight.items()):
            if scope.get(ENDS_AT_ONCE):
                task.cancel()
        asyncio.get_running_loop().call_later(self._drain_s, self.finish)

    def finish(self) -> None:
        """Stop what is still in flight."""
        self._finished = True
        for task in list(self._in_flight):
            task.cancel()

    async def run(self, application: Application, scope: Scope, receive: Receive, send: Send) -> None:
        """`application`, for one request, until it has answered or is ended from here."""
        task = asyncio.current_task()
        assert task is not None
        answer = _Answer(send)
        self._in_flight[task] = scope
        try:
            await application(scope, receive, answer)
        except asyncio.CancelledError:
            watches = self.begun.is_set() and bool(scope.get(ENDS_AT_ONCE))
            if not watches and not self._finished:
                raise
            task.uncancel()
            await answer.end(None if watches else ending())
        finally:
            del self._in_flight[task]


class _Answer:
    """`send`, that knows how far the answer has come."""

    def __init__(self, send: Send) -> None:
        self._send, self._started, self._complete, self._is_stream = send, False, False, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            self._is_stream = (b"content-type", b"text/event-stream; charset=utf-8") in message["headers"]
        elif message["type"] == "http.response.body":
            self._complete = not message.get("more_body", False)
        await self._send(message)

    async def end(self, error: ApiError | None) -> None:
        """End it, with an error if there is one."""
        if not self._started:
            await send_error(error or ending(), self._send)
            return
        if self._complete:
            return
        if not self._is_stream:  # half a body: that the connection breaks is the only sign there is
            raise ConnectionAbortedError("the server ends before the answer was sent")
        told = f"data: {json.dumps(error.body(), ensure_ascii=False)}\n\n" if error else ""
        await self._send({"type": "http.response.body", "body": told.encode(), "more_body": False})
