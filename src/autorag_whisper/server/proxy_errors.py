"""Errors of a proxy in front of the application, in OpenAI's shape: Ray Serve's proxy says its own in plain text.

The application answers every error in JSON, so what is plain text, or no answer at all, is the proxy's: its queue is
full, no replica is there, or the one that had the request has died.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware import Middleware

from autorag_whisper.server.errors import ApiError, send_error, unavailable

if TYPE_CHECKING:
    from autorag_whisper.server.access import Application, Message, Receive, Scope, Send

RETRY_AFTER_S = 5
_REFUSALS = (429, 503)


def middlewares() -> list[Middleware]:
    """For `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`, by which Ray Serve's proxies are told of them."""
    return [Middleware(ProxyErrors)]


class ProxyErrors:
    """ASGI middleware around a proxy."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what the application says, and tell what the proxy says as the application would."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        await self._app(scope, receive, answer)
        if not answer.has_started:
            await send_error(_lost(), send)


class _Answer:
    """`send` that replaces an error of the proxy's own; the body that comes with it is left out."""

    def __init__(self, send: Send) -> None:
        self._send, self.has_started, self._replaced = send, False, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            error = _meant(message)
            if error is not None:
                self._replaced = True
                await send_error(error, self._send)
                return
        if not self._replaced:
            await self._send(message)


def _meant(start: Message) -> ApiError | None:
    """What the head of an answer says if it is the proxy's; None if it is the application's."""
    headers = {bytes(name).lower(): bytes(value) for name, value in start["headers"]}
    status = int(start["status"])
    if status < 400 or not headers.get(b"content-type", b"").startswith(b"text/plain"):
        return None
    if status in _REFUSALS:
        after = headers.get(b"retry-after", b"")
        seconds = int(after) if after.isdigit() else RETRY_AFTER_S
        return unavailable("Too many requests are waiting for an engine. Try again later.", "overloaded", seconds)
    if status == 404:
        return ApiError(404, "Nothing is served here.", code="unknown_url")
    if status >= 500:
        return _lost()
    return ApiError(status, "The request was not answered in time, or its client has left.", code="not_answered")


def _lost() -> ApiError:
    return unavailable("The engine that had the request is gone. Send it again.", "replica_lost", RETRY_AFTER_S)
