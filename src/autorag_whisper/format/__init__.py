"""A transcript as text: one table of formats, each rendered by a pure function that is imported when it is used.

`parse` is the way back from JSON; `format.schema.json_schema()` describes it. Nothing here opens a user's file. What
comes out of `render` can always be encoded as UTF-8.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from autorag_whisper.domain.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.format.options import SubtitleOptions


@dataclass(frozen=True, slots=True)
class FormatInfo:
    """One output format. `renderer` is "module:function", imported on its first use.

    `is_subtitles`: it takes `SubtitleOptions`.
    """

    suffix: str
    description: str
    renderer: str
    is_subtitles: bool = False


_HERE = "autorag_whisper.format"

FORMATS: dict[str, FormatInfo] = {
    "srt": FormatInfo(".srt", "SubRip subtitles", f"{_HERE}.subtitles:srt", is_subtitles=True),
    "vtt": FormatInfo(".vtt", "WebVTT subtitles", f"{_HERE}.subtitles:vtt", is_subtitles=True),
    "ass": FormatInfo(".ass", "Advanced SubStation Alpha subtitles", f"{_HERE}.subtitles:ass", is_subtitles=True),
    "txt": FormatInfo(".txt", "plain text, one segment a line", f"{_HERE}.plain:txt"),
    "tsv": FormatInfo(".tsv", "start and end in milliseconds, text", f"{_HERE}.plain:tsv"),
    "json": FormatInfo(".json", "everything: OpenAI's verbose_json and more", f"{_HERE}.structured:verbose_json"),
    "words": FormatInfo(".words.json", "a JSON list of words with times", f"{_HERE}.structured:words_json"),
}
"""Every output format by its name."""


def render(transcript: Transcript, name: str, options: SubtitleOptions | None = None) -> str:
    """`transcript` in the format called `name`, as text that ends with a newline unless it is empty.

    Args:
        transcript: what was recognised, or read by `parse`.
        name: a key of `FORMATS`.
        options: line length, reading speed and the like of the subtitle formats; the others have none.

    Raises:
        InvalidOption: `name` is no key of `FORMATS`.
    """
    info = FORMATS.get(name)
    if info is None:
        raise InvalidOption("format", name, " or ".join(FORMATS))
    module, _, function = info.renderer.partition(":")
    renderer = cast("Callable[..., str]", getattr(import_module(module), function))
    return renderer(transcript, options) if info.is_subtitles and options else renderer(transcript)


def parse(data: str | bytes, *, name: str = "transcript", language: str | None = None) -> Transcript:
    """The transcript in the text of a JSON file: ours, of any version, or another tool's with word times.

    Args:
        data: the file's content.
        name: what errors call it, and the result where the file does not say of which media it is.
        language: of the text (code or English name) where the file does not say; None goes by its letters.

    Raises:
        InvalidTranscript: it is no JSON, holds no words with times, or what it holds makes no sense.
        InvalidOption: no language is called `language`.
    """
    from autorag_whisper.format.reading import parse as read

    return read(data, name=name, language=language)
