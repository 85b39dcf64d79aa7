"""`autorag-whisper transcribe`: the options, and nothing that is not needed to show their help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autorag_whisper.cli import quiet_option, verbose_option
from autorag_whisper.cli.output_options import FORMATS_EPILOG, formats_of, is_printed, subtitle_options, subtitles_of
from autorag_whisper.cli.recognition_options import (
    SectionedCommand,
    device_of,
    options_of,
    recognition_options,
    settings_of,
)

if TYPE_CHECKING:
    from autorag_whisper.archive.naming import NameParts
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
@recognition_options()
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
    from autorag_whisper.cli.progress import can_draw
    from autorag_whisper.cli.summary import Summary
    from autorag_whisper.cli.work import do, planned_files

    context = context or CommandContext()
    request = _request(given, context)
    summary = Summary()
    files = planned_files(request, summary, name_finished=not can_draw(context.environ))
    do(files, request, context, summary)
    return summary.close()


def _request(given: dict[str, Any], context: CommandContext) -> Request:
    """The command line as a checked request. Raises the first error in it."""
    from autorag_whisper.archive import BatchRequest
    from autorag_whisper.cli.request import Request

    settings = settings_of(given, context.environ)
    printing = is_printed(given["arguments"], given["output_dir"])
    options = options_of(given)
    device = device_of(given["device"])
    formats = formats_of(given["formats"], (PRINTED_FORMAT,) if printing else DEFAULT_FORMATS, printing=printing)
    batch = BatchRequest(
        formats=() if printing else formats,
        output_dir=None if printing or given["output_dir"] is None else Path(given["output_dir"]),
        model=given["model"],
        device=device,
        options=options,
        subtitles=subtitles_of(given),
        settings=settings,
        parts=_name_parts(given, options),
        force=given["force"],
        backup=not given["no_backup"],
    )
    return Request(given["arguments"], batch, formats[0] if printing else None, given["show_text"])


def _name_parts(given: dict[str, Any], options: TranscribeOptions) -> NameParts:
    from autorag_whisper.archive.naming import NameParts
    from autorag_whisper.domain.clips import file_name_part
    from autorag_whisper.domain.errors import InvalidOption

    names = {name.strip().lower() for name in given["name_with"].split(",")} - {""}
    if not names <= {"stream", "language"}:
        raise InvalidOption("--name-with", given["name_with"], "stream, language or both with a comma between them")
    selector = "" if options.audio_stream is None else str(options.audio_stream).casefold()
    return NameParts(selector, "stream" in names, "language" in names, file_name_part(options.clips))
