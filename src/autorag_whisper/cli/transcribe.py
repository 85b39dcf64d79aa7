"""`autorag-whisper transcribe`: the options, and nothing that is not needed to show their help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autorag_whisper.cli import verbose_option
from autorag_whisper.cli.subtitle_options import FORMATS_EPILOG, formats_of, subtitle_options, subtitles_of
from autorag_whisper.domain.request import DEFAULT_TEMPERATURES, Aligner, Quality, Task, TranscribeOptions
from autorag_whisper.settings import COMPUTE_TYPES, ENGINES, MAX_THREADS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.cli.edge import Edge
    from autorag_whisper.cli.naming import Marks
    from autorag_whisper.cli.request import Request

DEFAULT_FORMATS = ("srt", "json")
PRINTED_FORMAT = "srt"

_EPILOG = (
    """\b
FILE may be a file, a folder with all media below it, a quoted pattern such as
'talks/**/*.mp3', or - for standard input. Hidden files are left out.

Outputs are called after the input (talk.mp3: talk.srt, talk.json) and lie beside it or, with --output-dir, in that
folder, where the tree of a given folder is mirrored. Files of a folder that differ in their ending only keep it
(talk.mp3.srt). What an earlier run finished with the same options is skipped.

- is printed unless --output-dir names a folder.

"""
    + FORMATS_EPILOG
)


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("arguments", metavar="FILE...", nargs=-1, required=True)
@click.option("-m", "--model", default="base", show_default=True, help="Size, hub id (owner/name) or folder.")
@click.option("-l", "--language", help="Code or English name; found out if not given. zh-Hans, zh-TW: characters too.")
@click.option("--allowed-languages", default="", metavar="CODE[,CODE...]", help="Among which it is found out.")
@click.option("--code-switching", is_flag=True, help="Find the language of every piece, not of the file.")
@click.option(
    "--task",
    type=click.Choice([task.value for task in Task]),
    default=Task.TRANSCRIBE.value,
    show_default=True,
    help="Or into English.",
)
@click.option("--device", default="auto", show_default=True, metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")
@click.option("--engine", type=click.Choice(ENGINES), help="Default: ctranslate2; whisperx is an extra.")
@click.option("--compute-type", type=click.Choice(COMPUTE_TYPES), help="Default: the best that the device has.")
@click.option("--threads", type=click.IntRange(0, MAX_THREADS), help="CPU workers; 0: one for each core.")
@click.option("--batch-size", type=int, help="Pieces of audio at a time.")
@click.option(
    "--quality",
    type=click.Choice([quality.value for quality in Quality]),
    default=Quality.BALANCED.value,
    show_default=True,
    help="Speed against accuracy.",
)
@click.option("--beam-size", type=int, help="Instead of the quality's; 1 is fastest.")
@click.option("--temperature", multiple=True, metavar="T[,T...]", help="Tried in order while an attempt fails.")
@click.option(
    "--aligner",
    type=click.Choice([aligner.value for aligner in Aligner]),
    default=Aligner.AUTO.value,
    show_default=True,
    help="How words get their times.",
)
@click.option("--prompt", default="", help="Text that sets style and spelling.")
@click.option("--hotwords", default="", help="Words that are likely to occur.")
@click.option("-f", "--format", "formats", multiple=True, metavar="NAME[,NAME...]", help="As listed below; srt,json.")
@click.option("-o", "--output-dir", type=click.Path(), help="Folder for the outputs; - prints one format.")
@click.option(
    "--audio-stream",
    metavar="N|LANGUAGE",
    help="Which of a file's audio streams: number from 0, language or title; default: as players choose.",
)
@click.option("--name-with", metavar="WHAT[,WHAT...]", default="", help="stream, language: talk.2.srt, talk.de.srt.")
@subtitle_options
@click.option("--force", is_flag=True, help="Do again what is finished, replace files of others, with a copy.")
@click.option("--no-backup", is_flag=True, help="With --force: without a copy.")
@verbose_option
@click.pass_obj
def transcribe(edge: Edge | None, /, **given: Any) -> int:
    """Turn media FILEs into subtitles, text and words with times."""
    from autorag_whisper.cli.edge import Edge
    from autorag_whisper.cli.ledger import Ledger
    from autorag_whisper.cli.planning import jobs_of
    from autorag_whisper.cli.progress import can_draw
    from autorag_whisper.cli.work import do

    edge = edge or Edge()
    request = _request(given, edge)
    ledger = Ledger()
    jobs = jobs_of(request, ledger, name_skipped=not can_draw(edge.environ))
    do(jobs, request, edge, ledger)
    return ledger.close()


def _request(given: dict[str, Any], edge: Edge) -> Request:
    """The command line as a checked request; the first thing in it that is wrong is raised."""
    from dataclasses import replace

    from autorag_whisper.cli.exits import BadUsage
    from autorag_whisper.cli.request import Request
    from autorag_whisper.settings import Settings

    if given["output_dir"] == "":  # an unset variable in a script
        raise BadUsage("--output-dir is empty", "name a folder, or - to print")
    settings = Settings.from_env(edge.environ)
    overrides = {name: given[name] for name in ("engine", "compute_type", "threads") if given[name] is not None}
    printing = _is_printed(given["arguments"], given["output_dir"])
    options = _options(given)
    return Request(
        arguments=given["arguments"],
        model=given["model"],
        device=_device(given["device"]),
        formats=formats_of(given["formats"], (PRINTED_FORMAT,) if printing else DEFAULT_FORMATS, printing=printing),
        output_dir=None if printing or given["output_dir"] is None else Path(given["output_dir"]),
        printing=printing,
        force=given["force"],
        backup=not given["no_backup"],
        marks=_marks(given, options),
        options=options,
        subtitles=subtitles_of(given),
        settings=replace(settings, **overrides),
    )


def _is_printed(arguments: Sequence[str], output_dir: str | None) -> bool:
    """Whether the result goes to standard output: asked for, or standard input is all there is to read."""
    from autorag_whisper.cli.exits import BadUsage
    from autorag_whisper.cli.inputs import STANDARD_INPUT

    if output_dir is not None or STANDARD_INPUT not in arguments:
        return output_dir == "-"
    if set(arguments) != {STANDARD_INPUT}:
        raise BadUsage("standard input has no place beside which its outputs could lie", "add --output-dir")
    return True


def _marks(given: dict[str, Any], options: TranscribeOptions) -> Marks:
    from autorag_whisper.cli.naming import Marks
    from autorag_whisper.domain.errors import InvalidOption

    names = {name.strip().lower() for name in given["name_with"].split(",")} - {""}
    if not names <= {"stream", "language"}:
        raise InvalidOption("--name-with", given["name_with"], "stream, language or both with a comma between them")
    selector = "" if options.audio_stream is None else str(options.audio_stream).casefold()
    return Marks(selector, "stream" in names, "language" in names)


def _device(text: str) -> str:
    """`auto` or a device. The Python API takes an unknown one for the CPU; a person at a terminal mistyped it."""
    from autorag_whisper.domain.device import parse_device
    from autorag_whisper.domain.errors import InvalidOption

    device = parse_device(text)
    if device is None and text.strip().lower() != "auto":
        raise InvalidOption("--device", text, "auto, cpu, cuda or cuda:N")
    return str(device or "auto")


def _options(given: dict[str, Any]) -> TranscribeOptions:
    return TranscribeOptions(
        language=given["language"],
        allowed_languages=tuple(name for name in given["allowed_languages"].split(",") if name.strip()),
        code_switching=given["code_switching"],
        task=given["task"],
        quality=given["quality"],
        beam_size=given["beam_size"],
        temperatures=_temperatures(given["temperature"]),
        initial_prompt=_text(given["prompt"]),
        hotwords=_text(given["hotwords"]),
        batch_size=given["batch_size"],
        audio_stream=given["audio_stream"],
        aligner=given["aligner"],
    )


def _temperatures(given: Sequence[str]) -> tuple[float, ...]:
    from autorag_whisper.domain.errors import InvalidOption

    try:
        return tuple(float(number) for value in given for number in value.split(",")) or DEFAULT_TEMPERATURES
    except ValueError:
        raise InvalidOption("--temperature", ",".join(given), "numbers from 0 to 2 with commas between them") from None


def _text(argument: str) -> str:
    """An argument for the model: bytes that are no UTF-8 become U+FFFD."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
