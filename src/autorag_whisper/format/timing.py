"""When a cue is shown: whole milliseconds on the format's grid, in order, inside the file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from autorag_whisper.format.times import Clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.transcript import Word
    from autorag_whisper.format.presets import Preset


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where the words are in milliseconds, all of them multiples of `tick_ms` and inside [0, limit_ms].

    `starts_ms` are in order, `ends_ms` are not earlier than their starts. Two cues are `gap_ms` apart or at least
    `chain_ms`.
    """

    starts_ms: Sequence[int]
    ends_ms: Sequence[int]
    limit_ms: int
    tick_ms: int
    preset: Preset
    gap_ms: int
    chain_ms: int

    @classmethod
    def of(cls, words: Sequence[Word], duration_s: float, tick_ms: int, preset: Preset) -> Timeline:
        """The timeline of `words` in a file of `duration_s`."""
        clock = Clock(duration_s)  # as every other format: what is read back from JSON has the same times
        # A millionth of a tick: 1.001 s are 1000.9999999999999 ms to a float.
        limit = max(tick_ms, tick_ms * math.floor(duration_s * 1000 / tick_ms + 1e-6))
        begin = [_on_grid(clock.seconds(word.start_s), tick_ms) for word in words]
        end = [_on_grid(clock.seconds(word.end_s), tick_ms) for word in words]
        starts_ms = list(accumulate((min(time, limit - tick_ms) for time in begin), max))
        ends_ms = [max(start, min(time, limit)) for start, time in zip(starts_ms, end, strict=True)]
        gap, chain = (time + -time % tick_ms for time in (preset.gap_ms, preset.chain_ms))
        return cls(starts_ms, ends_ms, limit, tick_ms, preset, gap, chain)

    def next_start_ms(self, stop: int) -> int:
        """When the words after [.., stop) begin, or the file ends."""
        return self.starts_ms[stop] if stop < len(self.starts_ms) else self.limit_ms

    def can_be_shown(self, first: int, stop: int) -> bool:
        """Whether the words [first, stop) can be on the screen together: the last begins before the first has to go."""
        return stop - first == 1 or self.starts_ms[stop - 1] < self.starts_ms[first] + self.preset.max_ms

    def shown_until_ms(self, start_ms: int, stop: int, following_ms: int, reading_ms: int) -> int:
        """The end of a cue that begins at `start_ms` and holds the words up to `stop`.

        When its words are spoken and can be read, but not beyond the next cue (less the gap) or the longest time.
        A gap that would flicker is closed, or where the cue would be shown too long, widened.
        """
        longest = start_ms + max(self.tick_ms, self.preset.max_ms - self.preset.max_ms % self.tick_ms)
        spoken = self.ends_ms[stop - 1]
        wanted = max(spoken, start_ms + max(self.preset.min_ms, reading_ms))
        wanted += -wanted % self.tick_ms
        last = stop == len(self.starts_ms)
        closed = following_ms - (0 if last else self.gap_ms)
        until = max(start_ms + self.tick_ms, min(wanted, closed, longest))
        if last or not self.gap_ms < following_ms - until < self.chain_ms:
            return until
        if closed <= longest:
            return closed
        widened = following_ms - self.chain_ms
        # What is longer than a cue may be shown is taken away while it is spoken, one way or the other.
        return widened if widened > start_ms and (spoken <= widened or spoken > longest) else until

    def flickers(self, until_ms: int, stop: int, following_ms: int) -> bool:
        """Whether the gap between a cue's end and the next is neither the least one nor wide enough to be seen."""
        gap = following_ms - until_ms
        return stop < len(self.starts_ms) and gap != self.gap_ms and gap < self.chain_ms

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
