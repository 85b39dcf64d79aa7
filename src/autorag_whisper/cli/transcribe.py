"""`autorag-whisper transcribe`: the options, and nothing that is not needed to show their help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autorag_whisper.cli import quiet_option, verbose_option
from autorag_whisper.cli.recognition_options import SectionedCommand, options_of, recognition_options
from autorag_whisper.cli.subtitle_options import FORMATS_EPILOG, formats_of, subtitle_options, subtitles_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.archive.naming import Marks
    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.cli.request import Request
    from autorag_whisper.domain.request import TranscribeOptions

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


@click.command(cls=SectionedCommand, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("arguments", metavar="FILE...", nargs=-1, required=True)
@recognition_options
@click.option("-f", "--format", "formats", multiple=True, metavar="NAME[,NAME...]", help="As listed below; srt,json.")
@click.option("-o", "--output-dir", type=click.Path(), help="Folder for the outputs; - prints one format.")
@click.option("--name-with", metavar="WHAT[,WHAT...]", default="", help="stream, language: talk.2.srt, talk.de.srt.")
@subtitle_options
@click.option("--force", is_flag=True, help="Do again what is finished, replace files of others, with a copy.")
@click.option("--no-backup", is_flag=True, help="With --force: without a copy.")
@click.option("--show-text", is_flag=True, help="Print segments with times on standard error while working.")
@quiet_option
@verbose_option
@click.pass_obj
def transcribe(context: CommandContext | None, /, **given: Any) -> int:
    """Turn media FILEs into subtitles, text and words with times."""
    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.cli.ledger import Ledger
    from autorag_whisper.cli.planning import jobs_of
    from autorag_whisper.cli.progress import can_draw
    from autorag_whisper.cli.work import do

    context = context or CommandContext()
    request = _request(given, context)
    ledger = Ledger()
    jobs = jobs_of(request, ledger, name_skipped=not can_draw(context.environ))
    do(jobs, request, context, ledger)
    return ledger.close()


def _request(given: dict[str, Any], context: CommandContext) -> Request:
    """The command line as a checked request; the first thing in it that is wrong is raised."""
    from dataclasses import replace

    from autorag_whisper.cli.exits import BadUsage
    from autorag_whisper.cli.request import Request
    from autorag_whisper.settings import Settings

    if given["output_dir"] == "":  # an unset variable in a script
        raise BadUsage("--output-dir is empty", "name a folder, or - to print")
    settings = Settings.from_env(context.environ)
    overrides = {name: given[name] for name in ("engine", "compute_type", "threads") if given[name] is not None}
    printing = _is_printed(given["arguments"], given["output_dir"])
    options = options_of(given)
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
        show_text=given["show_text"],
    )


def _is_printed(arguments: Sequence[str], output_dir: str | None) -> bool:
    """Whether the result goes to standard output: asked for, or standard input is all there is to read."""
    from autorag_whisper.archive.inputs import STANDARD_INPUT
    from autorag_whisper.cli.exits import BadUsage

    if output_dir is not None or STANDARD_INPUT not in arguments:
        return output_dir == "-"
    if set(arguments) != {STANDARD_INPUT}:
        raise BadUsage("standard input has no place beside which its outputs could lie", "add --output-dir")
    return True


def _marks(given: dict[str, Any], options: TranscribeOptions) -> Marks:
    from autorag_whisper.archive.naming import Marks
    from autorag_whisper.domain.clips import file_name_part
    from autorag_whisper.domain.errors import InvalidOption

    names = {name.strip().lower() for name in given["name_with"].split(",")} - {""}
    if not names <= {"stream", "language"}:
        raise InvalidOption("--name-with", given["name_with"], "stream, language or both with a comma between them")
    selector = "" if options.audio_stream is None else str(options.audio_stream).casefold()
    return Marks(selector, "stream" in names, "language" in names, file_name_part(options.clips))


def _device(text: str) -> str:
    """`auto` or a device. The Python API takes an unknown one for the CPU; a person at a terminal mistyped it."""
    from autorag_whisper.domain.device import parse_device
    from autorag_whisper.domain.errors import InvalidOption

    device = parse_device(text)
    if device is None and text.strip().lower() != "auto":
        raise InvalidOption("--device", text, "auto, cpu, cuda or cuda:N")
    return str(device or "auto")
