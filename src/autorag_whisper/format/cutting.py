"""Where to cut a stream of words into cues: the best of all cuttings, by dynamic programming.

A cutting is judged first by how many limits of time its cues break, then by how it reads. The first figure is exact:
a cue is fast or short in the result only if every cutting that keeps the lines has as many such faults. Limits of
lines are kept by construction; only a single word that is wider than a line breaks one. (Where cues begin at the same
instant they are moved apart afterwards, by ticks that this count does not foresee.)
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from autorag_whisper.format.presets import MAX_LINES, MIN_MS, Preset
from autorag_whisper.format.punctuation import Stop, may_begin_line, stop_after

if TYPE_CHECKING:
    from autorag_whisper.format.layout import Layout
    from autorag_whisper.format.timing import Timeline

_CUE_COST = 30
_CUT_COST = {Stop.SENTENCE: 0, Stop.CLAUSE: 15, Stop.NONE: 60}
_KINSOKU_COST = 200
_PAUSE_MS = 300
_LONG_PAUSE_MS = 700
_INNER_SENTENCE_COST = 10
_TORN_SENTENCE_COST = 50
_SLACK_COST = 20
_INNER_PAUSE_FREE_MS = 500
_INNER_PAUSE_MS_PER_COST = 20
_EXCESS_MS_PER_COST = 10

Cost = tuple[int, int]
"""(limits of time broken, how badly it reads): compared in this order, summed by component."""


class Cutter:
    """Finds the cutting of one stream of words."""

    def __init__(self, layout: Layout, timeline: Timeline, preset: Preset) -> None:
        self.layout, self.timeline, self.preset = layout, timeline, preset
        cuts = range(len(layout.words) + 1)
        self._stops = [Stop.NONE, *(stop_after(word.text) for word in layout.words)]
        self._cut_costs = [self._cut_cost(cut) for cut in cuts]
        self._inner_pause_costs = list(accumulate(map(self._inner_pause_cost, cuts)))
        self._sentences = list(accumulate(stop is Stop.SENTENCE for stop in self._stops))

    def cut(self) -> list[tuple[int, int]]:
        """Runs [first, stop) of words, one a cue, in order and without a gap."""
        best: list[Cost] = [(0, 0)]
        previous = [0]
        for stop in range(1, len(self.layout.words) + 1):
            choices = []
            for first in self._firsts(stop):
                broken, cost = self._cue_cost(first, stop)
                choices.append((best[first][0] + broken, best[first][1] + cost, first))
            broken, cost, first = min(choices)
            best.append((broken, cost))
            previous.append(first)
        return _runs(previous)

    def _firsts(self, stop: int) -> list[int]:
        """The words with which a cue may begin that ends before word `stop`."""
        firsts = []
        for first in range(stop - 1, -1, -1):
            if stop - first > 1 and (
                self.layout.width(first, stop) > MAX_LINES * self.layout.limit + 1
                or not self.timeline.can_be_shown(first, stop)
            ):
                break
            if self.layout.fits(first, stop):
                firsts.append(first)
        return firsts

    def _cue_cost(self, first: int, stop: int) -> Cost:
        width = self.layout.width(first, stop)
        start = self.timeline.starts_ms[first]
        reading = self.preset.reading_ms(width)
        until = self.timeline.shown_until_ms(
            start, self.timeline.ends_ms[stop - 1], self.timeline.next_start_ms(stop), reading
        )
        shown = until - start
        broken = (shown < reading) + (shown < MIN_MS)
        excess = max(0, max(reading, MIN_MS) - shown) // _EXCESS_MS_PER_COST
        return broken, excess + self._reading_cost(first, stop, width)

    def _reading_cost(self, first: int, stop: int, width: int) -> int:
        """How badly the words [first, stop) read as a cue; what is inside lies at the cuts first + 1 .. stop - 1."""
        sentences = self._sentences[stop - 1] - self._sentences[first]
        pauses = self._inner_pause_costs[stop - 1] - self._inner_pause_costs[first]
        room = MAX_LINES * self.layout.limit
        slack = max(0, room - width)
        cost = _CUE_COST + self._cut_costs[stop] + pauses + _INNER_SENTENCE_COST * sentences
        # Quadratic: of two cues for one sentence neither should be left with a single word.
        cost += _SLACK_COST * slack * slack // (room * room)
        torn = sentences and self._cut_costs[stop] >= _CUT_COST[Stop.NONE]
        return cost + _TORN_SENTENCE_COST * bool(torn)

    def _pause_ms(self, cut: int) -> int:
        return max(0, self.timeline.next_start_ms(cut) - self.timeline.ends_ms[cut - 1])

    def _cut_cost(self, cut: int) -> int:
        """How bad it is to cut after `cut` words."""
        words = self.layout.words
        if cut in (0, len(words)):
            return 0
        pause = self._pause_ms(cut)
        by_pause = 0 if pause >= _LONG_PAUSE_MS else _CUT_COST[Stop.CLAUSE if pause >= _PAUSE_MS else Stop.NONE]
        cost = min(by_pause, _CUT_COST[self._stops[cut]])
        return cost + _KINSOKU_COST * (not may_begin_line(words[cut].text))

    def _inner_pause_cost(self, cut: int) -> int:
        """How bad it is not to cut after `cut` words if someone pauses there."""
        pause = self._pause_ms(cut) if cut else 0
        return max(0, pause - _INNER_PAUSE_FREE_MS) // _INNER_PAUSE_MS_PER_COST


def _runs(previous: list[int]) -> list[tuple[int, int]]:
    runs = []
    stop = len(previous) - 1
    while stop:
        runs.append((previous[stop], stop))
        stop = previous[stop]
    return runs[::-1]
