"""The application: routes, and the way from a request to an answer.

```
access (page, key, size, slot) -> receive (body to a file) -> read (fields)
    -> join (one recognition for equal requests) -> answer
```
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import shutil
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException

from autorag_whisper import __version__
from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.server import (
    asr,
    catalogue,
    documents,
    edited,
    events,
    jobs,
    page,
    recordings,
    resumable,
    take_out,
    uploads,
)
from autorag_whisper.server.access import Access, Gate
from autorag_whisper.server.admission import Admission
from autorag_whisper.server.answers import Json, as_bytes
from autorag_whisper.server.bodies import CONTENT_TYPES, body_of
from autorag_whisper.server.draining import Draining
from autorag_whisper.server.errors import ApiError, answer_to
from autorag_whisper.server.fields import INTERACTIVE, Asked, read
from autorag_whisper.server.health import Health
from autorag_whisper.server.links import MediaLinks, secret_of
from autorag_whisper.server.metrics import Metrics
from autorag_whisper.server.observing import Observed, Observers, add_metrics, note_audio
from autorag_whisper.server.openapi import document
from autorag_whisper.server.probe import keep_warm
from autorag_whisper.server.work import Recognitions, unless_gone
from autorag_whisper.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.server.jobs import Jobs
    from autorag_whisper.server.settings import ServerSettings
    from autorag_whisper.server.work import Recognition
    from autorag_whisper.transcriber.protocol import TranscriberProtocol

_log = logging.getLogger(__name__)

_COUNTED_WITHIN_S = 2.0
"""Jobs that are not counted by then are left out of the metrics: who asks for these waits for some seconds at most."""
MODEL_HEADER = "X-Autorag-Whisper-Model"
"""With which model it was done, where the request named another or none."""


class Engine(NamedTuple):
    """What the service works with. `local_models()`: names of those that are here; `free_bytes` of a folder's disk."""

    transcriber: TranscriberProtocol
    local_models: Callable[[], list[str]]
    clock: Callable[[], float]
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free


class Service:
    """The state behind the routes; belongs to the event loop's thread."""

    def __init__(self, engine: Engine, settings: ServerSettings, observers: Observers | None = None) -> None:
        self.engine, self.settings = engine, settings
        self.observers = observers or Observers(Metrics(), engine.clock, engine.clock, Telemetry())
        self.health = Health(engine.clock)
        self.draining = Draining(settings.drain_s)
        self.admission = Admission(settings.waiting, settings.quota, engine.clock)
        self.recognitions = Recognitions(engine.transcriber, settings.waiting, self.health.beat)

    def begin_to_end(self) -> None:
        """The end is asked for: nothing new is begun, what is in flight may finish. A second time it is stopped."""
        self.health.draining = True
        self.draining.begin()

    async def model_for(self, asked: str) -> str:
        """The model that is meant, if it is here; else the default, as clients send stale and foreign names.

        Raises ApiError (404) for those where the settings are `strict`.
        """
        if asked in ("", self.settings.model) or asked in await asyncio.to_thread(self.engine.local_models):
            return asked or self.settings.model
        if self.settings.strict:
            raise _no_model(asked)
        return self.settings.model

    @asynccontextmanager
    async def recognised(
        self, upload: uploads.Upload, options: TranscribeOptions, model: str, priority: int = INTERACTIVE
    ) -> AsyncIterator[Recognition]:
        """The recognition of an upload, in work."""
        told = await asyncio.to_thread(upload.digest)
        key = hashlib.sha256(f"{told} {upload.pcm} {model} {priority} {options!r}".encode()).hexdigest()
        self.health.begin()
        try:
            with self.recognitions.join(key, upload, model, options, priority) as work:
                try:
                    yield work
                finally:
                    note_audio(work.audio_s)
        finally:
            self.health.end()


class Beside(Protocol):
    """Something that serves other protocols than HTTP, for as long as the application runs."""

    def serving(self, service: Service) -> AbstractAsyncContextManager[None]: ...


def create_app(
    engine: Engine,
    settings: ServerSettings,
    durable: Jobs | None = None,
    beside: Sequence[Beside] = (),
    observers: Observers | None = None,
) -> FastAPI:
    """The ASGI application. It loads the model when it starts, and closes neither the transcriber nor the store.

    `durable`: jobs that outlive the process; None has no routes for them. `beside`: what serves in the same event loop.
    `observers`: who is told of requests.
    """
    service = Service(engine, settings, observers)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(keep_warm(service.health, engine.transcriber, settings.model))]
        if durable is not None:
            tasks.append(asyncio.create_task(jobs.keep_tidy(durable, settings.keep_s)))
            tasks.append(asyncio.create_task(_hand_back(durable, service.draining)))
        try:
            async with AsyncExitStack() as stack:
                for one in beside:
                    await stack.enter_async_context(one.serving(service))
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if durable is not None:
                await asyncio.to_thread(durable.runner.close)
            await asyncio.to_thread(service.recognitions.close)

    # Spans are made by `observing`: FastAPI's own would tell queries and messages of errors.
    quiet: Any = {"tracing": False, "metrics": False, "logs": False}
    about = {"title": "autorag-whisper", "version": __version__, "telemetry": quiet}
    app = FastAPI(lifespan=lifespan, docs_url="/docs", redoc_url=None, **about)
    app.state.service = service
    app.openapi = lambda: document(app)  # type: ignore[method-assign]  # as FastAPI's manual has it
    _handle_errors(app)
    _add_doors(app, service)
    links = _add_jobs(app, service, durable) if durable is not None else None
    folders = [Path(tempfile.gettempdir()), *([durable.runner.files.uploads] if durable is not None else [])]
    _add_health(app, service, folders)
    _observe(app, service, durable)
    gate = Gate(service.admission, service.draining, lambda: service.health.draining)
    app.add_middleware(Access, settings=settings, gate=gate, links=links)
    if settings.allowed_origins:
        origins = list(settings.allowed_origins)
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    app.add_middleware(Observed, observers=service.observers)
    return app


def _add_jobs(app: FastAPI, service: Service, durable: Jobs) -> MediaLinks:
    """Routes of durable jobs, and of what becomes of their transcripts. What signs addresses of recordings."""
    durable.runner.watch, durable.runner.decoding = service.health, service.settings.decoding
    durable.runner.kept_media = durable.settings.kept_media
    made, clock = recordings.Recordings(durable), durable.clock
    links = MediaLinks(secret_of(durable.runner.files.uploads.parent), clock)
    catalogue.add_routes(app, service.settings, durable)
    jobs.add_routes(app, service, durable)
    resumable.add_routes(app, service.settings, durable)
    take_out.add_routes(app, service.settings, durable)
    recordings.add_routes(app, durable, made, links)
    edited.add_routes(app, service, durable, made)
    return links


async def _hand_back(durable: Jobs, draining: Draining) -> None:
    """Once the end is asked for, give durable jobs back at once: they go on from there at the next start."""
    await draining.begun.wait()
    await asyncio.to_thread(durable.runner.close)


def _observe(app: FastAPI, service: Service, durable: Jobs | None) -> None:
    metrics = service.observers.metrics
    metrics.gauge("requests_in_work", "Recognitions of requests that are in work", lambda: len(service.recognitions))
    metrics.gauge("ready", "1 if requests should come here", lambda: float(not service.health.why_not()))
    if durable is not None:
        metrics.watch_jobs(partial(durable.ask.within, _COUNTED_WITHIN_S, durable.store.usage))
    add_metrics(app, metrics)


def _add_doors(app: FastAPI, service: Service) -> None:
    """What is served without durable jobs."""
    _add_openai(app, service)
    asr.add_routes(app, service)
    page.add_routes(app)


def _add_openai(app: FastAPI, service: Service) -> None:
    async def recognise(request: Request, task: str) -> Response:
        upload = await uploads.receive(request, service.settings)
        try:
            asked = read(upload.fields, task, service.settings.max_audio_s, strict=service.settings.strict)
            model = await service.model_for(asked.model)
        except ApiError:
            upload.file.close()
            raise
        headers = {MODEL_HEADER: quote(model, safe="/")} if model != asked.model else {}
        if asked.stream:
            return await _streamed(service, request, (upload, asked, model), headers)
        async with service.recognised(upload, asked.options, model, asked.priority) as work:
            transcript = await work.unless_gone(request)
        content = await asyncio.to_thread(body_of, transcript, asked)
        return Response(content, media_type=CONTENT_TYPES[asked.response_format], headers=headers)

    @app.post("/v1/audio/transcriptions", openapi_extra=documents.FORM)
    async def transcriptions(request: Request) -> Response:
        """Text of speech, in its language."""
        return await recognise(request, "transcribe")

    @app.post("/v1/audio/translations", openapi_extra=documents.FORM)
    async def translations(request: Request) -> Response:
        """English text of speech in any language."""
        return await recognise(request, "translate")

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The models that are on this machine, the default first."""
        names = dict.fromkeys([service.settings.model, *await asyncio.to_thread(service.engine.local_models)])
        return {"object": "list", "data": [_model(name) for name in names]}

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """One of them."""
        if name not in [service.settings.model, *await asyncio.to_thread(service.engine.local_models)]:
            raise _no_model(name)
        return _model(name)


def _no_model(name: str) -> ApiError:
    return ApiError(404, f"The model {name[:100]!r} is not here.", param="model", code="model_not_found")


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "autorag-whisper"}


async def _streamed(
    service: Service, request: Request, given: tuple[uploads.Upload, Asked, str], headers: dict[str, str]
) -> Response:
    """Events as they come. What is wrong before the first of them has its own status: that one is waited for."""
    upload, asked, model = given
    async with AsyncExitStack() as stack:
        work = await stack.enter_async_context(service.recognised(upload, asked.options, model, asked.priority))
        source = events.stream(work, logprobs=asked.logprobs)
        first = await unless_gone(request, anext(source))
        if work.failed:
            await work.transcript()
        kept = stack.pop_all()

    async def body() -> AsyncIterator[bytes]:
        yield as_bytes(first)
        async for event in source:
            yield as_bytes(event)

    return events.EventStream(kept, body(), headers)


def _add_health(app: FastAPI, service: Service, folders: Sequence[Path]) -> None:
    free = service.engine.free_bytes

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        """Whether the web process answers."""
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz() -> Response:
        """Whether requests should come here: the engine gets on, the model is loaded, it is not ending."""
        reason = service.health.why_not() or await asyncio.to_thread(service.health.full_disk, folders, free)
        body = {"status": "not ready", "reason": reason} if reason else {"status": "ready"}
        return Json(body, status_code=503 if reason else 200)


def _handle_errors(app: FastAPI) -> None:
    async def answer(_: Request, error: Exception) -> Response:
        told = answer_to(error)
        if told.code == "internal_error":
            _log.error("a request failed", exc_info=error)
        return Json(told.body(), status_code=told.status, headers=dict(told.headers))

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.url.path
        if error.status_code == 404:
            message = f"There is nothing at {path[:200]}. The base URL of the API is {_base(request)}."
            told = ApiError(404, message, code="unknown_url")
        else:
            told = ApiError(error.status_code, str(error.detail), code="invalid_request")
        return Json(told.body(), status_code=told.status, headers=dict(error.headers or {}))

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        param = str(first["loc"][-1])
        told = ApiError(400, f"{param}: {first['msg']}.", param=param, code="invalid_value")
        return Json(told.body(), status_code=told.status)

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(ApiError, answer)
    app.add_exception_handler(AutoragWhisperError, answer)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, answer)


_NETLOC = re.compile(r"[A-Za-z0-9._\[\]:-]{1,255}")


def _base(request: Request) -> str:
    """The API's base URL as this client reaches it: an address that is listened on may be no address to ask."""
    host = request.headers.get("host", "")
    if not _NETLOC.fullmatch(host):
        name, port = request.scope.get("server") or ("localhost", 80)
        host = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    return f"{request.scope['scheme']}://{host}{request.scope.get('root_path', '')}/v1"
