"""Parts of a recording, by time: what is to be heard of it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALLOWED = "a start before an end, such as 1:30-2:45, 90-165.5 or 1:02:03-; without an end it is the file's"
_TIME = re.compile(r"(?:(?:(\d+):([0-5]?\d)|(\d+)):([0-5]?\d(?:\.\d*)?)|(\d+(?:\.\d*)?|\.\d+))$", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Clip:
    """Half-open part of a recording, in seconds on its own timeline; `end_s` infinite is its end.

    Raises InvalidOption unless 0 <= start_s < end_s.
    """

    start_s: float
    end_s: float = math.inf

    def __post_init__(self) -> None:
        bounds: tuple[Any, ...] = (self.start_s, self.end_s)
        numbers = all(isinstance(bound, Real) and not isinstance(bound, bool) for bound in bounds)
        if not (numbers and 0 <= bounds[0] < bounds[1]):
            raise InvalidOption("clip", bounds, _ALLOWED)
        object.__setattr__(self, "start_s", float(self.start_s))
        object.__setattr__(self, "end_s", float(self.end_s))

    @classmethod
    def parse(cls, text: str) -> Clip:
        """A clip as people write it: `1:30-2:45`, `90-165.5`, `1:02:03-`, `-30`.

        Seconds behind minutes are below 60, minutes behind hours too.
        """
        start, dash, end = text.partition("-")
        times = [_seconds(part.strip()) if part.strip() else None for part in (start, end)]
        if not dash or times == [None, None] or any(time is not None and math.isnan(time) for time in times):
            raise InvalidOption("clip", text, _ALLOWED)
        try:
            return cls(times[0] or 0.0, math.inf if times[1] is None else times[1])
        except InvalidOption:
            raise InvalidOption("clip", text, _ALLOWED) from None

    def __str__(self) -> str:
        end = "" if math.isinf(self.end_s) else clock(self.end_s)
        return f"{clock(self.start_s)}-{end}"


ClipLike = Clip | str | tuple[float, float | None]
"""A clip, one as people write it, or its start and end in seconds; an end of None is the recording's."""


def clock(time_s: float) -> str:
    """Seconds as minutes and seconds, with hours where there are some: 90.5 is 1:30.5."""
    milliseconds = round(time_s * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest / 1000:06.3f}".rstrip("0").rstrip(".")
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds}" if hours else f"{minutes}:{seconds}"


def file_name_part(clips: Iterable[Clip]) -> str:
    """`clips` as a part of a file's name, in the order of the recording: `1m30s-2m45s`, `1h02m03s-end`; "" for none."""
    return "+".join(
        f"{_in_a_name(clip.start_s)}-{'end' if math.isinf(clip.end_s) else _in_a_name(clip.end_s)}"
        for clip in merged(clips)
    )


def _in_a_name(time_s: float) -> str:
    """90.5 is 1m30.5s, without a dot: 1m30s500."""
    minutes, milliseconds = divmod(round(time_s * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds, thousandths = divmod(milliseconds, 1000)
    rest = f"{thousandths:03}" if thousandths else ""
    return f"{hours}h{minutes:02}m{seconds:02}s{rest}" if hours else f"{minutes}m{seconds:02}s{rest}"


def merged(clips: Iterable[Clip]) -> tuple[Clip, ...]:
    """`clips` in the order of the recording; those that overlap or touch are one."""
    found: list[Clip] = []
    for clip in sorted(clips):
        if found and clip.start_s <= found[-1].end_s:
            found[-1] = Clip(found[-1].start_s, max(found[-1].end_s, clip.end_s))
        else:
            found.append(clip)
    return tuple(found)


def parse_clips(given: Any) -> tuple[Clip, ...]:
    """Clips from what callers give: a text with commas, or a sequence of texts, pairs of seconds and clips.

    A pair's end may be None: the recording's end. Raises InvalidOption.
    """
    parts = given.split(",") if isinstance(given, str) else given
    try:
        return merged(_clip(part) for part in parts)
    except TypeError:
        raise InvalidOption("clips", given, _ALLOWED) from None


def _clip(given: Any) -> Clip:
    if isinstance(given, Clip):
        return given
    if isinstance(given, str):
        return Clip.parse(given.strip())
    try:
        start_s, end_s = given
    except (TypeError, ValueError):
        raise InvalidOption("clip", given, _ALLOWED) from None
    return Clip(start_s, math.inf if end_s is None else end_s)


def _seconds(text: str) -> float:
    """A time in seconds; NaN for what is none."""
    match = _TIME.match(text)
    if match is None:
        return math.nan
    hours, minutes, only_minutes, seconds, alone = match.groups()
    if alone is not None:
        return float(alone)
    return round(3600 * int(hours or 0) + 60 * int(minutes or only_minutes) + float(seconds), 6)
