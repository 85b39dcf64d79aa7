"""When a cue is shown: whole milliseconds on the format's grid, in order, inside the file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from autorag_whisper.format.presets import MAX_MS, MIN_MS, Preset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.transcript import Word


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where the words are in milliseconds, all of them multiples of `tick_ms` and inside [0, limit_ms].

    `starts_ms` are in order, `ends_ms` are not earlier than their starts.
    """

    starts_ms: Sequence[int]
    ends_ms: Sequence[int]
    limit_ms: int
    tick_ms: int

    @classmethod
    def of(cls, words: Sequence[Word], duration_s: float, tick_ms: int) -> Timeline:
        """The timeline of `words` in a file of `duration_s`."""
        # A millionth of a tick: 1.001 s are 1000.9999999999999 ms to a float.
        limit = max(tick_ms, tick_ms * math.floor(duration_s * 1000 / tick_ms + 1e-6))
        starts = accumulate((min(_on_grid(word.start_s, tick_ms), limit - tick_ms) for word in words), max)
        starts_ms = list(starts)
        ends_ms = [
            max(start, min(_on_grid(word.end_s, tick_ms), limit)) for start, word in zip(starts_ms, words, strict=True)
        ]
        return cls(starts_ms, ends_ms, limit, tick_ms)

    def next_start_ms(self, stop: int) -> int:
        """When the words after [.., stop) begin, or the file ends."""
        return self.starts_ms[stop] if stop < len(self.starts_ms) else self.limit_ms

    def can_be_shown(self, first: int, stop: int) -> bool:
        """Whether the words [first, stop) can be on the screen together for at most `MAX_MS`.

        The last one must be seen while it is spoken, but not for longer than `MIN_MS`: a word that the aligner
        stretched over a silence need not be given a cue of its own.
        """
        last = stop - 1
        spoken_ms = min(self.ends_ms[last] - self.starts_ms[last], MIN_MS)
        return stop - first == 1 or self.starts_ms[last] + spoken_ms <= self.starts_ms[first] + MAX_MS

    def shown_until_ms(self, start_ms: int, spoken_until_ms: int, next_ms: int, reading_ms: int) -> int:
        """The end of a cue: when its words are spoken and can be read, but not beyond the next cue or `MAX_MS`."""
        wanted = max(spoken_until_ms, start_ms + max(MIN_MS, reading_ms))
        wanted += -wanted % self.tick_ms
        return max(start_ms + self.tick_ms, min(wanted, next_ms, start_ms + MAX_MS))

    def distinct(self, starts_ms: Sequence[int]) -> tuple[list[int], int]:
        """`starts_ms` at least one tick apart, and the time by which all are over.

        The file's end gives way only where it holds fewer ticks than there are starts.
        """
        tick, count = self.tick_ms, len(starts_ms)
        limit = max(self.limit_ms, count * tick)
        ahead = accumulate((start - rank * tick for rank, start in enumerate(starts_ms)), max)
        pushed = (start + rank * tick for rank, start in enumerate(ahead))
        # Both sequences rise by at least a tick, so their minimum does.
        return [min(start, limit - (count - rank) * tick) for rank, start in enumerate(pushed)], limit


def too_fast(columns: int, shown_ms: int, preset: Preset) -> bool:
    """Whether `columns` of text are on the screen for less time than they take to read."""
    return shown_ms < preset.reading_ms(columns)


def _on_grid(time_s: float, tick_ms: int) -> int:
    return tick_ms * round(time_s * 1000 / tick_ms)
