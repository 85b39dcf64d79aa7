"""`autorag-whisper convert`: a result in JSON in other formats, without recognising again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autorag_whisper.cli import verbose_option
from autorag_whisper.cli.subtitle_options import FORMATS_EPILOG, formats_of, subtitle_options, subtitles_of

if TYPE_CHECKING:
    from autorag_whisper.cli.context import CommandContext

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
def convert(_edge: CommandContext | None, /, **given: Any) -> int:
    """Turn results in JSON into subtitles and text, without recognising again."""
    from autorag_whisper.archive.inputs import STANDARD_INPUT
    from autorag_whisper.cli.conversion import Conversion, do
    from autorag_whisper.cli.exits import BadUsage
    from autorag_whisper.domain.language import parse_language

    if given["output_dir"] == "":  # an unset variable in a script
        raise BadUsage("--output-dir is empty", "name a folder, or - to print")
    only_stdin = set(given["arguments"]) == {STANDARD_INPUT}
    printing = given["output_dir"] == "-" or (given["output_dir"] is None and only_stdin)
    if given["output_dir"] is None and STANDARD_INPUT in given["arguments"] and not only_stdin:
        raise BadUsage("standard input has no place beside which its outputs could lie", "add --output-dir")
    parse_language(given["language"])
    return do(
        Conversion(
            arguments=given["arguments"],
            formats=formats_of(given["formats"], ("srt",), printing=printing),
            output_dir=None if printing or given["output_dir"] is None else Path(given["output_dir"]),
            printing=printing,
            language=given["language"],
            subtitles=subtitles_of(given),
            force=given["force"],
            backup=not given["no_backup"],
        )
    )
