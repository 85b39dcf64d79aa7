"""What `serve` serves: the application over a supervised worker, put together from the command's options."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autorag_whisper.cli.exits import BadUsage
from autorag_whisper.cli.job_store import open_store
from autorag_whisper.cli.output_options import formats_of
from autorag_whisper.cli.tracing import traces
from autorag_whisper.domain.errors import ExtraNotInstalled, InvalidOption
from autorag_whisper.files import system_reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from fastapi import FastAPI

    from autorag_whisper.server.app import Beside
    from autorag_whisper.server.jobs import Jobs, JobSettings
    from autorag_whisper.server.observing import Observers
    from autorag_whisper.server.settings import ServerSettings
    from autorag_whisper.settings import Settings
    from autorag_whisper.transcriber.protocol import ResumableTranscriber

KEYS, PREFIX = "AUTORAG_WHISPER_API_KEYS", "AUTORAG_WHISPER_SERVE"


@dataclass(frozen=True, slots=True)
class Serving:
    """The application, what the operator decided, and a line about it for people."""

    app: FastAPI
    settings: ServerSettings
    about: str


@contextmanager
def application(given: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Serving]:
    """The application for as long as a `with` lasts, with the process of its engine; `given`: the command's options.

    Raises ExtraNotInstalled, InvalidOption, the Model* errors, StoreUnavailable.
    """
    try:
        import uvicorn  # noqa: F401 - is it there?

        from autorag_whisper.server.app import Engine, create_app
    except ImportError as error:
        raise ExtraNotInstalled("FastAPI, uvicorn or python-multipart", "server", str(error)) from error
    from autorag_whisper.models.store import ModelStore
    from autorag_whisper.settings import Settings
    from autorag_whisper.worker.client import WorkerTranscriber
    from autorag_whisper.worker.supervision import Limits

    server = server_settings(given, environ)
    settings = Settings.from_env(environ)
    store = ModelStore(cache_dir=settings.cache_dir, offline=settings.offline, environ=environ)

    def local_models() -> list[str]:
        return [status.name for status in store.status() if status.origin is not None]

    limits = Limits(idle_s=settings.idle_s or None)
    with ExitStack() as stack:
        stack.enter_context(traces(environ))
        observers = _observers(given, environ, stack)
        transcriber = stack.enter_context(
            WorkerTranscriber(environ=environ, limits=limits, telemetry=observers.telemetry)
        )
        observers.metrics.watch_process("worker", lambda: transcriber.process_id)
        transcriber.model(server.model)  # one that is not here is told before the address is taken
        durable = _durable(given, environ, transcriber, stack)
        if given["watch"] is not None:
            stack.enter_context(_watching(given, environ, server, settings, durable))
        beside = _beside(given, stack)
        app = create_app(Engine(transcriber, local_models, time.monotonic), server, durable, beside, observers)
        about = f"with {server.model} on {transcriber.resolved_device()}; weights are in {store.cache_dir}; "
        about += f"jobs and results are in {given['data'].absolute()}" if durable else "no durable jobs (--data FOLDER)"
        about += "".join(f"; {one}" for one in beside)
        yield Serving(app, server, about)


def _watching(
    given: Mapping[str, Any],
    environ: Mapping[str, str],
    server: ServerSettings,
    settings: Settings,
    durable: Jobs | None,
) -> AbstractContextManager[None]:
    """Looks at the watched folder; its results are written as `transcribe` writes them."""
    from autorag_whisper.archive.request import BatchRequest
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.server.keys import key_of
    from autorag_whisper.server.watched import Desk, WatchedFolder, watching

    assert durable is not None
    told = {"language": given["watch_language"]} if given["watch_language"] else {}
    request = BatchRequest(
        formats_of(given["watch_format"], (), printing=False),
        given["output_dir"],
        server.model,
        options=TranscribeOptions(**told),
        settings=settings,
    )
    desk = Desk(
        durable.store,
        durable.runner.wake,
        lambda job: durable.runner.files.result(job).read_text(encoding="utf-8"),
        durable.clock,
        key_of(given["watch_key"], environ.get(KEYS, "")),
    )
    return watching(WatchedFolder(given["watch"], desk, request, told))


def _observers(given: Mapping[str, Any], environ: Mapping[str, str], stack: ExitStack) -> Observers:
    """Who is told of requests, and of what the engine does."""
    from autorag_whisper.server import keys
    from autorag_whisper.server.access_log import AccessLog, to_file, to_standard_output
    from autorag_whisper.server.metrics import CountedTelemetry, Metrics
    from autorag_whisper.server.observing import Observers

    metrics, log, to = Metrics(), None, given["access_log"]
    if to != "none":
        write = to_standard_output if to == "-" else to_file(Path(to))
        try:
            write("")
        except OSError as error:
            raise InvalidOption("--access-log", to, f"a file that can be written ({system_reason(error)})") from error
        log = stack.enter_context(AccessLog(write, metrics.unlogged.inc))
    named = {keys.client_id(of): name for of, name in keys.read_keys(environ.get(KEYS, "")).items() if name}
    telemetry = CountedTelemetry(metrics)
    return Observers(metrics, time.monotonic, time.time, telemetry, log, lambda client: named.get(client, client))


def _beside(given: Mapping[str, Any], stack: ExitStack) -> list[Beside]:
    """What serves other protocols than HTTP."""
    from autorag_whisper.server.listening import listen

    if given["wyoming"] is None:
        return []
    try:
        from autorag_whisper.server.wyoming import Wyoming
    except ImportError as error:
        raise ExtraNotInstalled("Wyoming's library", "wyoming", str(error)) from error
    listener = listen(given["wyoming_host"], given["wyoming"], insecure=given["insecure"])
    return [Wyoming(stack.enter_context(listener))]


def _durable(
    given: Mapping[str, Any], environ: Mapping[str, str], transcriber: ResumableTranscriber, stack: ExitStack
) -> Jobs | None:
    from autorag_whisper.jobs.runner import JobRunner
    from autorag_whisper.jobs.webhooks import WebhookHttp, WebhookSender, read_networks, read_secrets
    from autorag_whisper.server.jobs import Jobs

    secrets = read_secrets(environ.get("AUTORAG_WHISPER_WEBHOOK_SECRET", ""))
    networks = read_networks(given["webhook_allow"])
    if given["data"] is None:
        if given["store"]:
            raise BadUsage("--store needs a folder for uploads and results", "give it too: --data FOLDER")
        return None
    store = stack.enter_context(closing(open_store(given["data"], given["store"])))
    runner = stack.enter_context(closing(JobRunner(store, transcriber, given["data"], time.time, given["jobs"])))
    if secrets:
        stack.enter_context(closing(WebhookSender(store.deliveries, secrets, time.time, WebhookHttp(networks))))
    return Jobs(store, runner, time.time, _job_settings(given, tells=bool(secrets)))


def _job_settings(given: Mapping[str, Any], *, tells: bool) -> JobSettings:
    from autorag_whisper.jobs.job import KeptMedia, QueueLimits
    from autorag_whisper.server.jobs import JobSettings

    for folder in given["allow_path"]:
        if not folder.is_dir():
            raise InvalidOption("--allow-path", str(folder), "a folder that is there")
    own, whole = (round(given[name] * 1e9) or None for name in ("client_gb", "keep_gb"))
    limits = QueueLimits(given["max_queued"], given["client_jobs"] or None, own, whole)
    kept = KeptMedia(given["keep_media_days"] * 86_400, round(given["keep_media_gb"] * 1e9) or None)
    return JobSettings(given["allow_path"], limits, whole, tells, kept)


def server_settings(given: Mapping[str, Any], environ: Mapping[str, str]) -> ServerSettings:
    """What the options and the variables of the environment say. Raises InvalidOption."""
    from autorag_whisper.domain.decoding import DecodingLimits
    from autorag_whisper.server.keys import read_digests
    from autorag_whisper.server.pace import Pace
    from autorag_whisper.server.settings import ServerSettings

    return ServerSettings(
        host=given["host"],
        port=given["port"],
        model=given["model"],
        key_digests=read_digests(environ.get(KEYS, "")),
        insecure=given["insecure"],
        max_upload_bytes=given["max_upload_mb"] << 20,
        max_audio_s=given["max_audio_hours"] * 3600,
        waiting=given["most"],
        per_client=given["per_client"],
        strict=given["strict"],
        allowed_hosts=given["allow_host"],
        allowed_origins=given["allow_origin"],
        drain_s=given["drain"],
        keep_s=given["keep_days"] * 86_400,
        decoding=DecodingLimits(
            given["max_channels"], given["max_samples"], given["decode_memory_mb"], given["decode_cpu_s"]
        ),
        pace=Pace(given["upload_stall_s"]),
    )
