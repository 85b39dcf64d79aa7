"""The options that `transcribe` and `convert` share: which formats, where they go, how subtitles are laid out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from autorag_whisper.format import FORMATS
from autorag_whisper.format.options import Highlight, SubtitleOptions
from autorag_whisper.format.presets import STYLES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Command = TypeVar("Command", bound="Callable[..., Any]")

ALL_FORMATS = "all"
FORMATS_EPILOG = "\b\nFormats (all: every one of them):\n" + "\n".join(
    f"  {name:<6} {info.description}" for name, info in FORMATS.items()
)

_OPTIONS = (
    click.option("--style", type=click.Choice(STYLES), default="default", show_default=True, help="Of subtitles."),
    click.option("--line-length", type=int, metavar="N", help="Characters in a line; by script, mostly 42."),
    click.option("--lines", type=int, metavar="N", help="Lines in a cue; 2."),
    click.option("--max-words", type=int, metavar="N", help="Words in a cue."),
    click.option("--reading-speed", type=float, metavar="N", help="Characters a second; by script, mostly 17."),
    click.option("--min-duration", type=float, metavar="S", help="Seconds that a cue is shown at least; 1."),
    click.option("--max-duration", type=float, metavar="S", help="Seconds that a cue is shown at most; 7."),
    click.option("--min-gap", type=float, metavar="S", help="Seconds between two cues that follow on each other; 0."),
    click.option(
        "--highlight-words",
        type=click.Choice([kind.value for kind in Highlight]),
        default=Highlight.NONE.value,
        show_default=True,
        help="Underline the spoken word, or time words for karaoke.",
    ),
)


def subtitle_options(command: Command) -> Command:
    """Give a command the options of subtitles; `subtitles_of` reads them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def subtitles_of(given: dict[str, Any]) -> SubtitleOptions:
    """The options of subtitles in a command line. Raises InvalidOption."""
    return SubtitleOptions(
        style=given["style"],
        line_length=given["line_length"],
        lines=given["lines"],
        max_words=given["max_words"],
        reading_speed=given["reading_speed"],
        min_duration_s=given["min_duration"],
        max_duration_s=given["max_duration"],
        min_gap_s=given["min_gap"],
        highlight=Highlight(given["highlight_words"]),
    )


def formats_of(given: Sequence[str], defaults: Sequence[str], *, printing: bool) -> tuple[str, ...]:
    """The formats that `--format` names, `defaults` where it names none; `all` is every one.

    Raises:
        InvalidOption: there is no such format.
        BadUsage: more than one is to be printed.
    """
    from autorag_whisper.cli.exits import BadUsage
    from autorag_whisper.domain.errors import InvalidOption

    names = tuple(dict.fromkeys(name.strip().lower() for value in given for name in value.split(",")))
    for name in names:
        if name not in FORMATS and name != ALL_FORMATS:
            raise InvalidOption("--format", name, ", ".join([*FORMATS, ALL_FORMATS]))
    if ALL_FORMATS in names:
        names = tuple(FORMATS)
    if printing and len(names) > 1:
        raise BadUsage("only one format can be printed", "name one, or an output folder")
    return names or tuple(defaults)


def is_printed(arguments: Sequence[str], output_dir: str | None) -> bool:
    """Whether the result goes to standard output: asked for, or standard input is all there is to read.

    Raises:
        BadUsage: outputs have no place.
    """
    from autorag_whisper.archive.inputs import STANDARD_INPUT
    from autorag_whisper.cli.exits import BadUsage

    if output_dir == "":  # an unset variable in a script
        raise BadUsage("--output-dir is empty", "name a folder, or - to print")
    if output_dir is not None or STANDARD_INPUT not in arguments:
        return output_dir == "-"
    if set(arguments) != {STANDARD_INPUT}:
        raise BadUsage("standard input has no place beside which its outputs could lie", "add --output-dir")
    return True
