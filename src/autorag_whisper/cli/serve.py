"""`autorag-whisper serve`: the service over HTTP."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from autorag_whisper.cli.exits import BadUsage
from autorag_whisper.cli.job_store import open_store
from autorag_whisper.cli.output_options import formats_of
from autorag_whisper.cli.tracing import traces
from autorag_whisper.domain.errors import ExtraNotInstalled, InvalidOption
from autorag_whisper.files import system_reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from autorag_whisper.server.app import Beside
    from autorag_whisper.server.jobs import Jobs, JobSettings
    from autorag_whisper.server.observing import Observers
    from autorag_whisper.server.settings import ServerSettings
    from autorag_whisper.settings import Settings
    from autorag_whisper.transcriber.protocol import ResumableTranscriber

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_KEYS, _PREFIX = "AUTORAG_WHISPER_API_KEYS", "AUTORAG_WHISPER_SERVE"
_EPILOG = """\b
GET /readyz says whether it can be used, POST /v1/audio/transcriptions is OpenAI's, /asr Bazarr's, /docs all of it.
Keys come from AUTORAG_WHISPER_API_KEYS: a file with a key a line, or SHA-256 digests set apart by commas.

\b
Exit codes: 0 ended, 1 it could not begin (the address is taken), 2 bad usage, 130 interrupted, 143 terminated
(what was in work is finished first, for --drain seconds at most)."""


def _limit(flag: str, kind: Any, default: float, meaning: str) -> Callable[[_Command], _Command]:
    """An option that a variable of the environment sets, too."""
    name = flag.removeprefix("--").replace("-", "_").upper()
    variables = [f"{_PREFIX}_{name}", f"AUTORAG_WHISPER_{name}"]  # as every option's, and as of old
    return click.option(flag, type=kind, default=default, envvar=variables, show_envvar=True, help=meaning)


_CONTEXT = {"help_option_names": ["-h", "--help"], "show_default": True, "auto_envvar_prefix": _PREFIX}


@click.command(epilog=_EPILOG, context_settings=_CONTEXT)
@click.option("--host", default="127.0.0.1", help="Address of this machine; others than loopback need keys.")
@click.option("--port", type=click.IntRange(0, 65535), default=8060, help="0 takes one that is free.")
@click.option("--model", "-m", default="base", metavar="NAME", help="For requests that name none that is here.")
@click.option("--insecure", is_flag=True, help="Let everybody in who reaches the address.")
@click.option("--max-upload-mb", type=click.IntRange(1, 1 << 20), default=1024, help="Of a request.")
@click.option("--max-audio-hours", type=click.FloatRange(0.01, 1000), default=6.0, help="Of a request's audio.")
@_limit("--max-channels", click.IntRange(1), 64, "Of audio.")
@_limit("--max-samples", click.IntRange(1), 20_000_000_000, "Decoded of a file, in all channels together.")
@_limit("--decode-memory-mb", click.IntRange(64), 1024, "That decoding a file may take.")
@_limit("--decode-cpu-s", click.FloatRange(1), 1800.0, "Processor time that decoding a file may take.")
@_limit("--upload-stall-s", click.FloatRange(1), 30.0, "Without a byte, an upload is ended.")
@click.option("--most", type=click.IntRange(1, 1000), default=64, help="Requests in work at a time.")
@click.option("--per-client", type=click.IntRange(0, 1000), default=0, help="Of one key's, or address's; 0: see docs.")
@click.option("--strict", is_flag=True, help="Refuse fields that would be ignored, and models that are not here.")
@click.option("--allow-host", multiple=True, metavar="NAME", help="Also reached by this name, without keys; * for any.")
@click.option("--allow-origin", multiple=True, metavar="URL", help="Web pages of this origin may send requests.")
@click.option("--drain", type=click.FloatRange(0, 3600), default=30.0, help="Seconds that work may take at the end.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of durable jobs; none has no /v1/jobs.")
@click.option(
    "--store", default="", envvar=[f"{_PREFIX}_STORE", "AUTORAG_WHISPER_JOB_STORE"], metavar="URL",
    show_default=False,
    help="Durable jobs in PostgreSQL, which servers with one --data may share; default: a file in --data.",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(1, 64), default=2, help="Durable jobs in work at a time.")
@click.option("--watch", type=click.Path(path_type=Path), help="Folder whose recordings become durable jobs.")
@click.option("--output-dir", type=click.Path(path_type=Path), help="For their results; none: beside them.")
@click.option("--watch-format", multiple=True, default=("srt", "json"), metavar="NAME", help="As for `transcribe -f`.")
@click.option("--watch-language", default="", metavar="CODE", help="Of these recordings; none detects it.")
@click.option("--watch-key", default="", metavar="NAME", help="Whose these jobs are: a key's name; none: nobody's.")
@click.option("--wyoming", type=click.IntRange(0, 65535), help="Port for Home Assistant's protocol; none has no such.")
@click.option("--wyoming-host", default="127.0.0.1", help="Its address; others than loopback need --insecure.")
@click.option("--access-log", default="-", metavar="FILE", help="A line of JSON a request; - standard output; none.")
@click.option(
    "--allow-path",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Jobs may name files below it, instead of sending them.",
)
@click.option("--max-queued", type=click.IntRange(1), default=100_000, help="Jobs that wait at a time.")
@click.option("--client-jobs", type=click.IntRange(0), default=0, help="Jobs of one client that are not over; 0: any.")
@click.option("--client-gb", type=click.FloatRange(0), default=0.0, help="Media and results of one client; 0: any.")
@click.option("--keep-gb", type=click.FloatRange(0), default=0.0, help="Media and results in all; 0: any.")
@click.option("--keep-media-days", type=click.FloatRange(0, 36_500), default=7.0, help="Recordings of done jobs.")
@click.option("--keep-media-gb", type=click.FloatRange(0), default=20.0, help="Of them in all; 0: any.")
@click.option("--webhook-allow", multiple=True, metavar="NETWORK", help="Private network that webhooks may lead to.")
@click.option("--keep-days", type=click.FloatRange(0, 36_500), default=30.0, help="Jobs that are over, and results.")
def serve(**given: Any) -> None:
    """Serve OpenAI's audio API, and Bazarr's, on one engine for all clients."""
    if given["watch"] is not None and given["data"] is None:
        raise BadUsage("--watch needs durable jobs", "give a folder for them: --data FOLDER")
    if given["output_dir"] is not None and given["watch"] is None:
        raise BadUsage("--output-dir is for a watched folder", "give that too: --watch FOLDER")
    try:
        import uvicorn  # noqa: F401 - is it there?

        from autorag_whisper.server.app import Engine, create_app
    except ImportError as error:
        raise ExtraNotInstalled("FastAPI, uvicorn or python-multipart", "server", str(error)) from error
    from autorag_whisper.models.store import ModelStore
    from autorag_whisper.server.running import run
    from autorag_whisper.settings import Settings
    from autorag_whisper.worker.client import WorkerTranscriber
    from autorag_whisper.worker.supervision import Limits

    server = _settings(given)
    settings = Settings.from_env(os.environ)
    store = ModelStore(cache_dir=settings.cache_dir, offline=settings.offline, environ=os.environ)

    def local_models() -> list[str]:
        return [status.name for status in store.status() if status.origin is not None]

    limits = Limits(idle_s=settings.idle_s or None)
    with ExitStack() as stack:
        stack.enter_context(traces(os.environ))
        observers = _observers(given, stack)
        transcriber = stack.enter_context(WorkerTranscriber(limits=limits, telemetry=observers.telemetry))
        observers.metrics.watch_process("worker", lambda: transcriber.process_id)
        transcriber.model(server.model)  # one that is not here is told before the address is taken
        durable = _durable(given, transcriber, stack)
        if given["watch"] is not None:
            stack.enter_context(_watching(given, server, settings, durable))
        beside = _beside(given, stack)
        app = create_app(Engine(transcriber, local_models, time.monotonic), server, durable, beside, observers)
        about = f"with {server.model} on {transcriber.resolved_device()}; weights are in {store.cache_dir}; "
        about += f"jobs and results are in {given['data'].absolute()}" if durable else "no durable jobs (--data FOLDER)"
        about += "".join(f"; {one}" for one in beside)
        run(app, server, lambda address: click.echo(f"autorag-whisper serves {address}/v1 {about}", file=sys.stderr))


for _option in serve.params:
    if isinstance(_option, click.Option):
        _option.show_envvar = True


def _watching(
    given: dict[str, Any], server: ServerSettings, settings: Settings, durable: Jobs | None
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
        lambda job: durable.runner.files.result(job).read_text(),
        durable.clock,
        key_of(given["watch_key"], os.environ.get(_KEYS, "")),
    )
    return watching(WatchedFolder(given["watch"], desk, request, told))


def _observers(given: dict[str, Any], stack: ExitStack) -> Observers:
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
    named = {keys.client_id(of): name for of, name in keys.read_keys(os.environ.get(_KEYS, "")).items() if name}
    telemetry = CountedTelemetry(metrics)
    return Observers(metrics, time.monotonic, time.time, telemetry, log, lambda client: named.get(client, client))


def _beside(given: dict[str, Any], stack: ExitStack) -> list[Beside]:
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


def _durable(given: dict[str, Any], transcriber: ResumableTranscriber, stack: ExitStack) -> Jobs | None:
    from autorag_whisper.jobs.runner import JobRunner
    from autorag_whisper.jobs.webhooks import WebhookHttp, WebhookSender, read_networks, read_secrets
    from autorag_whisper.server.jobs import Jobs

    secrets = read_secrets(os.environ.get("AUTORAG_WHISPER_WEBHOOK_SECRET", ""))
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


def _job_settings(given: dict[str, Any], *, tells: bool) -> JobSettings:
    from autorag_whisper.jobs.job import KeptMedia, QueueLimits
    from autorag_whisper.server.jobs import JobSettings

    for folder in given["allow_path"]:
        if not folder.is_dir():
            raise InvalidOption("--allow-path", folder, "a folder that is there")
    own, whole = (round(given[name] * 1e9) or None for name in ("client_gb", "keep_gb"))
    limits = QueueLimits(given["max_queued"], given["client_jobs"] or None, own, whole)
    kept = KeptMedia(given["keep_media_days"] * 86_400, round(given["keep_media_gb"] * 1e9) or None)
    return JobSettings(given["allow_path"], limits, whole, tells, kept)


def _settings(given: dict[str, Any]) -> ServerSettings:
    from autorag_whisper.domain.decoding import DecodingLimits
    from autorag_whisper.server.keys import read_digests
    from autorag_whisper.server.pace import Pace
    from autorag_whisper.server.settings import ServerSettings

    return ServerSettings(
        host=given["host"],
        port=given["port"],
        model=given["model"],
        key_digests=read_digests(os.environ.get(_KEYS, "")),
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
