"""What a caller may ask of subtitles; what is not asked for has the value of the script and the style guide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from autorag_whisper.domain.accepts import Accepts  # noqa: TC001 - typing.get_type_hints looks for it here
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.format.presets import STYLES, Preset, preset_for

if TYPE_CHECKING:
    from typing import Any


class Highlight(StrEnum):
    """How the word that is spoken stands out.

    UNDERLINE: one cue a word in which it is underlined; every player shows that. KARAOKE: `\\k` in ASS, times inside
    the cue in WebVTT, for players that know them; SubRip has no such thing and is underlined.
    """

    NONE = "none"
    UNDERLINE = "underline"
    KARAOKE = "karaoke"


HighlightName = Literal["none", "underline", "karaoke"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleOptions:
    """Options of `srt`, `vtt` and `ass`. None takes the value of the text's script and of the guide `style`.

    Args:
        style: the style guide: `default`, `netflix`, `bbc` or `ted` (`format.presets` has their figures).
        line_length: characters in a line; full-width ones in Chinese, Japanese and Korean.
        lines: lines in a cue, at most.
        max_words: words in a cue, at most.
        reading_speed: characters a second that a viewer reads.
        min_duration_s, max_duration_s: how long a cue is shown where the words leave the choice.
        min_gap_s: between two cues that follow on each other; 0 leaves none. Wider gaps are half a second or more.
        highlight: whether and how the word that is spoken stands out.

    Raises:
        InvalidOption: a value that makes no sense.
    """

    style: str = "default"
    line_length: int | None = None
    lines: int | None = None
    max_words: int | None = None
    reading_speed: float | None = None
    min_duration_s: float | None = None
    max_duration_s: float | None = None
    min_gap_s: float | None = None
    highlight: Accepts[Highlight, HighlightName] = Highlight.NONE  # type: ignore[assignment]  # held as it is

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise InvalidOption("subtitle style", self.style, ", ".join(STYLES))
        _check_whole("line length", self.line_length, (4, 200))
        _check_whole("lines", self.lines, (1, 10))
        _check_whole("words a cue", self.max_words, (1, 10_000))
        _check_number("reading speed", self.reading_speed, (1, 1000))
        _check_number("shortest duration", self.min_duration_s, (0, 60))
        _check_number("longest duration", self.max_duration_s, (0.1, 60))
        _check_number("gap", self.min_gap_s, (0, 10))
        if self.highlight not in list(Highlight):
            raise InvalidOption("highlight", self.highlight, ", ".join(Highlight))
        object.__setattr__(self, "highlight", Highlight(self.highlight))
        limits = self.limits("en")
        if limits.min_ms > limits.max_ms:
            durations = (limits.min_ms / 1000, limits.max_ms / 1000)
            raise InvalidOption("shortest and longest duration", durations, "a shortest that is not above the longest")

    def limits(self, language: str) -> Preset:
        """The limits for text in `language` (a Whisper code)."""
        limits = preset_for(language, self.style)
        asked: dict[str, Any] = {
            "line_chars": self.line_length,
            "max_lines": self.lines,
            "max_words": self.max_words,
            "chars_per_s": self.reading_speed,
            "min_ms": _milliseconds(self.min_duration_s),
            "max_ms": _milliseconds(self.max_duration_s),
            "gap_ms": _milliseconds(self.min_gap_s),
        }
        limits = replace(limits, **{name: value for name, value in asked.items() if value is not None})
        return replace(limits, chain_ms=max(limits.chain_ms, limits.gap_ms))


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _check_whole(name: str, value: object, bounds: tuple[int, int]) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise InvalidOption(name, value, "a whole number")
    _check_number(name, value, bounds)


def _check_number(name: str, value: object, bounds: tuple[float, float]) -> None:
    if value is None:
        return
    # NaN is in no range.
    if isinstance(value, bool) or not isinstance(value, int | float) or not bounds[0] <= value <= bounds[1]:
        raise InvalidOption(name, value, f"a number from {bounds[0]:g} to {bounds[1]:g}")


DEFAULT_OPTIONS = SubtitleOptions()
