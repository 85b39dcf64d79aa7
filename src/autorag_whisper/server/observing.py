"""Each request is counted, logged and traced, around all else: what is refused before its body is read too.

A request's span goes on in what it has done: the context goes into the thread of its recognition, into the worker's
spans, and with a durable job's row into whatever process takes that up (W3C `traceparent`).
"""

from __future__ import annotations

import asyncio
import re
import uuid
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse
from opentelemetry.trace import SpanKind, Status, StatusCode
from starlette.routing import Match

from autorag_whisper.server.errors import ApiError
from autorag_whisper.server.metrics import CONTENT_TYPE, PROBES, Metrics
from autorag_whisper.telemetry import Telemetry, traceparent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.trace import Span

    from autorag_whisper.server.access import Application, Message, Receive, Scope, Send
    from autorag_whisper.server.access_log import AccessLog

UNKNOWN_ROUTE = "other"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CARRIED = (b"traceparent", b"tracestate")


@dataclass(slots=True)
class Record:
    """What is noted of a request while it is on."""

    request_id: str
    status: int = 0
    received: int = 0
    sent: int = 0
    audio_s: float = 0.0


_current: ContextVar[Record | None] = ContextVar("autorag_whisper_request", default=None)


def note_audio(seconds: float) -> None:
    """So much audio was recognised for the request that this task belongs to."""
    if (record := _current.get()) is not None:
        record.audio_s = seconds


@dataclass(frozen=True, slots=True)
class Observers:
    """Who is told of requests. `clock`: seconds that only grow; `now`: seconds since the epoch."""

    metrics: Metrics
    clock: Callable[[], float]
    now: Callable[[], float]
    telemetry: Telemetry
    log: AccessLog | None = None
    names: Callable[[str], str] = str

    def log_line(self, record: Record, client: str, about: Mapping[str, object], seconds: float) -> None:
        """One request that is over. `client` is an id, logged by its key's name; `about` says what was asked."""
        if self.log is None:
            return
        self.log.tell(
            {
                "time": datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="milliseconds"),
                "request_id": record.request_id,
                "client": self.names(client),
                **about,
                "bytes_in": record.received,
                "bytes_out": record.sent,
                "ms": round(seconds * 1000, 1),
                "audio_s": round(record.audio_s, 3),
            }
        )

    @contextmanager
    def wyoming_request(self) -> Iterator[Record]:
        """A request that did not come by HTTP: the same figures, span and line."""
        record, began, outcome = Record(uuid.uuid4().hex), self.clock(), "gone"
        token = _current.set(record)
        try:
            with self.telemetry.around("wyoming transcribe", SpanKind.SERVER, {}):
                yield record
            outcome = "done"
        except ApiError as error:
            outcome = error.code or "error"
            raise
        finally:
            _current.reset(token)
            self.metrics.wyoming.labels(outcome).inc()
            about = {"method": "WYOMING", "route": "wyoming", "status": outcome}
            self.log_line(record, "", about, self.clock() - began)


class Observed:
    """ASGI middleware, the outermost."""

    def __init__(self, application: Application, observers: Observers) -> None:
        self._application, self._observers = application, observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note a request and its answer."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        record = Record(_request_id(headers.get(b"x-request-id", b"")))
        began, token = self._observers.clock(), _current.set(record)
        self._observers.metrics.in_flight.inc()
        try:
            await self._traced(scope, _Counted(record, receive, send), headers)
        finally:
            _current.reset(token)
            self._observers.metrics.in_flight.dec()
            self._tell(scope, record, self._observers.clock() - began)

    async def _traced(self, scope: Scope, counted: _Counted, headers: dict[bytes, bytes]) -> None:
        if scope["path"] in PROBES:
            await self._application(scope, counted.receive, counted.send)
            return
        method = scope["method"]
        carrier = {name.decode(): headers[name].decode("latin-1") for name in _CARRIED if name in headers}
        attributes = {"http.request.method": method, "url.scheme": scope["scheme"]}
        with self._observers.telemetry.around(method, SpanKind.SERVER, attributes, carrier) as span:
            counted.traceresponse = traceparent()
            try:
                await self._application(scope, counted.receive, counted.send)
            finally:
                _name(span, scope, counted.record)

    def _tell(self, scope: Scope, record: Record, seconds: float) -> None:
        told, route, status = self._observers, route_of(scope), record.status or 500
        told.metrics.answered(scope["method"], route, status, seconds)
        told.metrics.received.labels(route).inc(record.received)
        told.metrics.sent.labels(route).inc(record.sent)
        if scope["path"] not in PROBES or status >= 400:
            about = {"method": scope["method"], "route": route, "status": status}
            told.log_line(record, str(scope.get("client_id", "")), about, seconds)


class _Counted:
    """A request's `receive` and `send`, counted; the answer's head says which request it was."""

    def __init__(self, record: Record, receive: Receive, send: Send) -> None:
        self.record, self._receive, self._send = record, receive, send
        self.traceresponse = ""

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.record.received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.record.status = message["status"]
            told = [(b"x-request-id", self.record.request_id.encode())]
            if self.traceresponse:
                told.append((b"traceresponse", self.traceresponse.encode()))
            message = {**message, "headers": [*message.get("headers", ()), *told]}
        elif message["type"] == "http.response.body":
            self.record.sent += len(message.get("body", b""))
        await self._send(message)


def add_metrics(app: FastAPI, metrics: Metrics) -> None:
    """The route that Prometheus asks."""

    @app.get("/metrics", response_class=PlainTextResponse)
    async def all_metrics() -> Response:
        """Figures of the service, as Prometheus reads them."""
        return Response(await asyncio.to_thread(metrics.text), media_type=CONTENT_TYPE)


def route_of(scope: Scope) -> str:
    """The pattern of a request's route, also of one that was refused before it got there."""
    route = scope.get("route")
    path: object = getattr(route, "path", None)
    if path is None:
        path = next(_matching(scope), UNKNOWN_ROUTE)
    return str(path)


def _matching(scope: Scope) -> Iterator[str]:
    application = scope.get("app")
    for route in getattr(application, "routes", ()):
        if route.matches(scope)[0] is not Match.NONE:
            yield route.path


def _name(span: Span, scope: Scope, record: Record) -> None:
    route = route_of(scope)
    span.update_name(f"{scope['method']} {route}")
    span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", record.status or 500)
    if record.audio_s:
        span.set_attribute("audio.duration_s", round(record.audio_s, 3))
    if (record.status or 500) >= 500:
        span.set_status(Status(StatusCode.ERROR))


def _request_id(given: bytes) -> str:
    """The client's own, where it is one that can be logged as it is; else a new one."""
    told = given.decode("latin-1")
    return told if _REQUEST_ID.fullmatch(told) else uuid.uuid4().hex
