"""`autorag-whisper convert`: a result in JSON in other formats, without recognising again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autorag_whisper.cli import verbose_option
from autorag_whisper.cli.output_options import FORMATS_EPILOG, formats_of, is_printed, subtitle_options, subtitles_of

if TYPE_CHECKING:
    from autorag_whisper.archive import ConversionRequest, Input
    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.cli.summary import Summary

_EPILOG = (
    """\b
FILE is a result of `transcribe -f json` or `-f words`, the JSON of whisper,
faster-whisper, whisperX or OpenAI with the times of words, or - for standard input.

Outputs are called after it (talk.json: talk.srt) and lie beside it or, with --output-dir, in that folder. What this
command or `transcribe` wrote there and nobody changed is replaced; all else is kept and named, unless --force is given.

"""
    + FORMATS_EPILOG
)


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("arguments", metavar="FILE...", nargs=-1, required=True)
@click.option("-f", "--format", "formats", multiple=True, metavar="NAME[,NAME...]", help="As listed below; srt.")
@click.option("-o", "--output-dir", type=click.Path(), help="Folder for the outputs; - prints one format.")
@click.option("-l", "--language", help="Of the text, where the file does not say; default: by its letters.")
@subtitle_options
@click.option("--force", is_flag=True, help="Replace also what was changed or is not ours, with a copy.")
@click.option("--no-backup", is_flag=True, help="With --force: without a copy.")
@verbose_option
@click.pass_obj
def convert(_context: CommandContext | None, /, **given: Any) -> int:
    """Turn results in JSON into subtitles and text, without recognising again."""
    from autorag_whisper.archive import ConversionRequest, find_results
    from autorag_whisper.cli.progress import say
    from autorag_whisper.cli.summary import Summary
    from autorag_whisper.domain.language import parse_language

    printing = is_printed(given["arguments"], given["output_dir"])
    parse_language(given["language"])
    request = ConversionRequest(
        formats=formats_of(given["formats"], ("srt",), printing=printing),
        output_dir=None if printing or given["output_dir"] is None else Path(given["output_dir"]),
        subtitles=subtitles_of(given),
        force=given["force"],
        backup=not given["no_backup"],
    )
    summary = Summary()
    found = find_results(given["arguments"])
    for note in found.notes:
        say(note)
    for item in found.inputs:
        _convert(item, request, given["language"], summary, printing=printing)
    return summary.close()


def _convert(
    item: Input, request: ConversionRequest, language: str | None, summary: Summary, *, printing: bool
) -> None:
    """Convert one file, and record what became of it."""
    from autorag_whisper import archive
    from autorag_whisper.cli.printing import print_bytes
    from autorag_whisper.cli.progress import say
    from autorag_whisper.cli.summary import reason_of
    from autorag_whisper.domain.transcript_errors import InvalidTranscript
    from autorag_whisper.files import system_reason
    from autorag_whisper.format import parse, render

    try:
        data = sys.stdin.buffer.read() if item.path is None else item.path.read_bytes()
        transcript = parse(data, name=item.name, language=language)
    except InvalidTranscript as error:
        summary.fail(item.shown, f"{error.where} {error.reason}; {error.remedy}".lstrip())
        return
    except OSError as error:
        summary.fail(item.shown, system_reason(error))
        return
    if printing:
        print_bytes(render(transcript, request.formats[0], request.subtitles).encode())
        summary.done += 1
        return
    written = archive.convert(archive.JsonFile(item, data), transcript, request)
    if written.error is not None:
        summary.fail(item.shown, reason_of(written.error))
        return
    summary.done += 1
    if written.kept:
        summary.keep(item.shown, written.kept)
    if written.names:
        say("; ".join([f"{item.shown} -> {', '.join(written.names)}", *written.remarks]))
