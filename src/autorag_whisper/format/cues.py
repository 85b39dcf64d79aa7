"""Words to subtitle cues by the field's rules: 42 characters a line, 2 lines, 17 characters a second, 1-7 s.

Hard, whatever the words are: none is lost or moved, cues do not overlap, 0 <= start < end, inside the file as long as
it holds one tick a cue. Soft, and counted by `violations`: a line is too wide only where one word is; every other limit
is broken only where each cutting of these words that keeps the lines has as heavy a fault (`format.cutting.FAULTS`),
given that a cue begins with its first word and ends before the next cue (speech is sometimes faster than anyone reads).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.transcript import Word, join_words
from autorag_whisper.format.cutting import Cutter
from autorag_whisper.format.glue import pieces
from autorag_whisper.format.layout import Layout
from autorag_whisper.format.text import columns, one_line
from autorag_whisper.format.timing import Timeline, too_fast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from autorag_whisper.format.presets import Preset


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle: half-open [start_ms, end_ms), its lines, and the same text without the line break.

    `words` are those of each line, with the times at which they are spoken; one that is wider than a line is in pieces.
    """

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    text: str
    words: tuple[tuple[Word, ...], ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.start_ms < self.end_ms:
            raise InvalidOption("cue times", (self.start_ms, self.end_ms), "0 <= start < end")

    @property
    def shown_ms(self) -> int:
        return self.end_ms - self.start_ms


@dataclass(frozen=True, slots=True)
class Violations:
    """How many cues break each limit (`wide`: how many lines; `flickering`: how many gaps)."""

    wide: int = 0
    lines: int = 0
    fast: int = 0
    short: int = 0
    long: int = 0
    overlapping: int = 0
    flickering: int = 0

    @property
    def total(self) -> int:
        return self.wide + self.lines + self.fast + self.short + self.long + self.overlapping + self.flickering


def make_cues(
    words: Sequence[Word], duration_s: float, preset: Preset, *, tick_ms: int = 1, language: str = ""
) -> tuple[Cue, ...]:
    """The cues for `words`, whose starts are in order, in a file of `duration_s` seconds.

    Args:
        words: every one of them is in exactly one cue, in order. Only in scripts without blanks may what the recogniser
            takes for a word be cut, between two phrases (if a phrase is longer than a line, between characters).
            Characters that no subtitle file can hold (line breaks, control characters, lone surrogates) are replaced
            (`format.text.one_line`).
        duration_s: no cue ends later, unless the file is shorter than one tick a cue.
        preset: the limits of the script.
        tick_ms: the format's resolution; every time is a multiple of it.
        language: of the text (a Whisper code): its function words and phrases are kept with what they belong to.
    """
    if not words:
        return ()
    whole = [replace(word, text=one_line(word.text)) for word in words]
    clean, glue = pieces(whole, language, preset.line_columns)
    layout = Layout(clean, preset, language=language, glue=glue)
    timeline = Timeline.of(clean, duration_s, tick_ms, preset)
    runs = Cutter(layout, timeline, preset).cut()
    starts, limit = timeline.distinct([timeline.starts_ms[first] for first, _ in runs])
    cues = []
    for (first, stop), start, following in zip(runs, starts, [*starts[1:], limit], strict=True):
        reading = preset.reading_ms(layout.width(first, stop))
        until = timeline.shown_until_ms(start, stop, following, reading)
        lines = tuple(tuple(clean[begin:end]) for begin, end in layout.runs(first, stop))
        texts = tuple(join_words(line) for line in lines)
        cues.append(Cue(start, until, texts, join_words(clean[first:stop]), lines))
    return tuple(cues)


def violations(cues: Iterable[Cue], preset: Preset) -> Violations:
    """Counts the limits that `cues` break. Blanks count as characters, a line break as the blank it stands for."""
    all_cues = list(cues)
    gaps = [later.start_ms - earlier.end_ms for earlier, later in pairwise(all_cues)]
    return Violations(
        wide=sum(columns(line) > preset.line_columns for cue in all_cues for line in cue.lines),
        lines=sum(len(cue.lines) > preset.max_lines for cue in all_cues),
        fast=sum(too_fast(columns(cue.text), cue.shown_ms, preset) for cue in all_cues),
        short=sum(cue.shown_ms < preset.min_ms for cue in all_cues),
        long=sum(cue.shown_ms > preset.max_ms for cue in all_cues),
        overlapping=sum(gap < 0 for gap in gaps),
        flickering=sum(0 <= gap < preset.chain_ms and gap != preset.gap_ms for gap in gaps),
    )
