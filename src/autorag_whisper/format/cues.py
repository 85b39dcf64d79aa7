"""Words to subtitle cues by the field's rules: 42 characters a line, 2 lines, 17 characters a second, 1-7 s.

Hard, whatever the words are: none is lost or moved, cues do not overlap, 0 <= start < end, inside the file as long as
it holds one tick a cue. Soft, and counted by `violations`: a line is too wide only where one word is; a cue is too
fast or too short only where every cutting of these words that keeps the lines breaks as many limits of time, given
that a cue begins with its first word and ends before the next cue (speech is sometimes faster than anyone reads).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.transcript import Word, join_words
from autorag_whisper.format.cutting import Cutter
from autorag_whisper.format.layout import Layout
from autorag_whisper.format.presets import MAX_LINES, MAX_MS, MIN_MS, Preset
from autorag_whisper.format.text import columns, one_line
from autorag_whisper.format.timing import Timeline, too_fast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle: half-open [start_ms, end_ms), its lines, and the same text without the line break."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    text: str

    def __post_init__(self) -> None:
        if not 0 <= self.start_ms < self.end_ms:
            raise InvalidOption("cue times", (self.start_ms, self.end_ms), "0 <= start < end")

    @property
    def shown_ms(self) -> int:
        return self.end_ms - self.start_ms


@dataclass(frozen=True, slots=True)
class Violations:
    """How many cues break each limit (`wide`: how many lines)."""

    wide: int = 0
    lines: int = 0
    fast: int = 0
    short: int = 0
    long: int = 0
    overlapping: int = 0

    @property
    def total(self) -> int:
        return self.wide + self.lines + self.fast + self.short + self.long + self.overlapping


def make_cues(words: Sequence[Word], duration_s: float, preset: Preset, *, tick_ms: int = 1) -> tuple[Cue, ...]:
    """The cues for `words`, whose starts are in order, in a file of `duration_s` seconds.

    Args:
        words: every one of them is in exactly one cue, in order; characters that no subtitle file can hold (line
            breaks, control characters, lone surrogates) are replaced (`format.text.one_line`).
        duration_s: no cue ends later, unless the file is shorter than one tick a cue.
        preset: the limits of the script.
        tick_ms: the format's resolution; every time is a multiple of it.
    """
    if not words:
        return ()
    clean = [replace(word, text=one_line(word.text)) for word in words]
    layout = Layout(clean, preset)
    timeline = Timeline.of(clean, duration_s, tick_ms)
    runs = Cutter(layout, timeline, preset).cut()
    starts, limit = timeline.distinct([timeline.starts_ms[first] for first, _ in runs])
    cues = []
    for (first, stop), start, following in zip(runs, starts, [*starts[1:], limit], strict=True):
        reading = preset.reading_ms(layout.width(first, stop))
        until = timeline.shown_until_ms(start, timeline.ends_ms[stop - 1], following, reading)
        cues.append(Cue(start, until, layout.lines(first, stop), join_words(clean[first:stop])))
    return tuple(cues)


def violations(cues: Iterable[Cue], preset: Preset) -> Violations:
    """Counts the limits that `cues` break. Blanks count as characters, a line break as the blank it stands for."""
    all_cues = list(cues)
    return Violations(
        wide=sum(columns(line) > preset.line_columns for cue in all_cues for line in cue.lines),
        lines=sum(len(cue.lines) > MAX_LINES for cue in all_cues),
        fast=sum(too_fast(columns(cue.text), cue.shown_ms, preset) for cue in all_cues),
        short=sum(cue.shown_ms < MIN_MS for cue in all_cues),
        long=sum(cue.shown_ms > MAX_MS for cue in all_cues),
        overlapping=sum(later.start_ms < earlier.end_ms for earlier, later in pairwise(all_cues)),
    )
