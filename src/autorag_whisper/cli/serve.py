"""`autorag-whisper serve`: the service over HTTP."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from autorag_whisper.cli import PYTHONS_THRESHOLDS
from autorag_whisper.cli.exits import BadUsage, Terminated, was_terminated
from autorag_whisper.cli.serving import PREFIX as _PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

_Command = TypeVar("_Command", bound="Callable[..., Any]")

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
@click.option(
    "--ray", is_flag=False, flag_value="local", metavar="[ADDRESS]", help="On Ray Serve; its own cluster, or ADDRESS."
)
@click.option("--replicas", default="", metavar="LEAST-MOST", help="With --ray: engines; default 1 to one a node.")
@click.option("--replica-cpus", type=click.FloatRange(0, min_open=True), help="With --ray: CPU slots of an engine.")
@click.option("--replica-gpus", type=click.FloatRange(0), help="With --ray: cards, or the part of one, of an engine.")
def serve(**given: Any) -> None:
    """Serve OpenAI's audio API, and Bazarr's, on one engine for all clients."""
    if given["watch"] is not None and given["data"] is None:
        raise BadUsage("--watch needs durable jobs", "give a folder for them: --data FOLDER")
    if given["output_dir"] is not None and given["watch"] is None:
        raise BadUsage("--output-dir is for a watched folder", "give that too: --watch FOLDER")
    if given["ray"] is not None:
        from autorag_whisper.cli.ray_serve import serve_on_ray

        serve_on_ray(given, os.environ, lambda where: click.echo(f"autorag-whisper serves {where}", file=sys.stderr))
        return
    from autorag_whisper.cli.serving import application

    with application(given, os.environ) as serving:
        from autorag_whisper.server.running import run

        about = serving.about
        if was_terminated.is_set():  # a library has swallowed it
            raise Terminated
        gc.set_threshold(*PYTHONS_THRESHOLDS)
        run(
            serving.app,
            serving.settings,
            lambda address: click.echo(f"autorag-whisper serves {address}/v1 {about}", file=sys.stderr),
        )


for _option in serve.params:
    if isinstance(_option, click.Option):
        _option.show_envvar = True
