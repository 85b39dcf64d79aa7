"""Where to cut a stream of words into cues: the best of all cuttings, by dynamic programming.

A cutting is judged first by its faults, weighed as in `FAULTS`, then by how it reads. The first figure is exact: no
other cutting that keeps the lines has lighter faults. Limits of lines are kept by construction; only a single word that
is wider than a line breaks one. (Where cues begin at the same instant they are moved apart afterwards, by ticks that
this count does not foresee.)
"""

from __future__ import annotations

from enum import StrEnum
from itertools import accumulate
from typing import TYPE_CHECKING

from autorag_whisper.format.glue import Glue
from autorag_whisper.format.punctuation import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autorag_whisper.format.layout import Layout, Run
    from autorag_whisper.format.presets import Preset
    from autorag_whisper.format.timing import Timeline


class Fault(StrEnum):
    """What is wrong with a cue."""

    BROKEN_WORD = "its end breaks a word, or a phrase of a script without blanks"
    BROKEN_PIECE = "its end breaks what the recogniser gave as a word, between two phrases"
    TORN = "it ends a sentence and begins the next without ending it"
    BOUND = "it ends with a word that belongs to the next (an article, a preposition, a title)"
    BOUND_LINE = "its lines can only break behind a word that belongs to the next"
    CUT_OFF = "it is taken away before its last word is over"
    VERY_FAST = "nobody can read it: it needs a quarter more time"
    FAST = "it takes longer to read than it is shown"
    VERY_SHORT = "it flashes: it is shown for less than 80 % of the shortest time"
    SHORT = "it is shown for less than the shortest time"
    FLICKER = "the gap behind it is neither the least one nor wide enough to be seen"


FAULTS = {
    Fault.BROKEN_WORD: 1_000,
    Fault.FLICKER: 100,
    Fault.BROKEN_PIECE: 30,
    Fault.VERY_FAST: 6,
    Fault.VERY_SHORT: 6,
    Fault.TORN: 5,
    Fault.BOUND: 4,
    Fault.CUT_OFF: 3,
    Fault.FAST: 2,
    Fault.SHORT: 2,
    Fault.BOUND_LINE: 1,
}
"""How heavy each is. A fault of the first two is there only where no cutting is without it."""

_BREAKING = {Glue.PIECE: Fault.BROKEN_PIECE, Glue.WORD: Fault.BROKEN_WORD}
_VERY = 1.25
_CUE_COST = 30
_PAUSE_COSTS = ((700, 0), (300, 15), (150, 35))
"""A pause of so many milliseconds makes a cut cost at most so much."""
_INNER_SENTENCE_COST = 10
_SLACK_COST = 20
_INNER_PAUSE_FREE_MS = 500
_INNER_PAUSE_MS_PER_COST = 20
_EXCESS_MS_PER_COST = 10

Cost = tuple[int, int]
"""(weight of the faults, how badly it reads): compared in this order, summed by component."""


class Cutter:
    """Finds the cutting of one stream of words."""

    def __init__(self, layout: Layout, timeline: Timeline, preset: Preset) -> None:
        self.layout, self.timeline, self.preset = layout, timeline, preset
        self.breaks = layout.breaks
        cuts = range(len(layout.words) + 1)
        self._cut_costs = [self._cut_cost(cut) for cut in cuts]
        self._inner_pause_costs = list(accumulate(map(self._inner_pause_cost, cuts)))
        self._sentences = list(accumulate(stop is Stop.SENTENCE for stop in self.breaks.stops))

    def cut(self) -> list[Run]:
        """Runs [first, stop) of words, one a cue, in order and without a gap."""
        best: list[Cost] = [(0, 0)]
        previous = [0]
        for stop in range(1, len(self.layout.words) + 1):
            choices = []
            for first in self.firsts(stop):
                weight, cost = self._cue_cost(first, stop)
                choices.append((best[first][0] + weight, best[first][1] + cost, first))
            weight, cost, first = min(choices)
            best.append((weight, cost))
            previous.append(first)
        return _runs(previous)

    def firsts(self, stop: int) -> list[int]:
        """The words with which a cue may begin that ends before word `stop`."""
        most = self.preset.max_words or len(self.layout.words)
        room = self.preset.max_lines * (self.layout.limit + 1)
        firsts = []
        for first in range(stop - 1, max(-1, stop - 1 - most), -1):
            if stop - first > 1 and (
                self.layout.width(first, stop) > room or not self.timeline.can_be_shown(first, stop)
            ):
                break
            if self.layout.fits(first, stop):
                firsts.append(first)
        return firsts

    def faults(self, first: int, stop: int) -> Iterator[Fault]:
        """What is wrong with the words [first, stop) as a cue."""
        if self.breaks.glue[stop] is not Glue.NONE:
            yield _BREAKING[self.breaks.glue[stop]]
        if self.breaks.bound[stop]:
            yield Fault.BOUND
        if not self.layout.breaks_well(first, stop):
            yield Fault.BOUND_LINE
        inner = self._sentences[stop - 1] - self._sentences[first]
        if inner and stop < len(self.layout.words) and self.breaks.stops[stop] is not Stop.SENTENCE:
            yield Fault.TORN
        yield from self._faults_of_time(first, stop)

    def _faults_of_time(self, first: int, stop: int) -> Iterator[Fault]:
        start, following = self.timeline.starts_ms[first], self.timeline.next_start_ms(stop)
        reading = self.preset.reading_ms(self.layout.width(first, stop))
        until = self.timeline.shown_until_ms(start, stop, following, reading)
        shown = until - start
        if shown < reading:
            yield Fault.VERY_FAST if shown * _VERY < reading else Fault.FAST
        if shown < self.preset.min_ms:
            yield Fault.VERY_SHORT if shown * _VERY < self.preset.min_ms else Fault.SHORT
        if until < min(self.timeline.ends_ms[stop - 1], following - self.timeline.gap_ms):
            yield Fault.CUT_OFF
        if self.timeline.flickers(until, stop, following):
            yield Fault.FLICKER

    def _cue_cost(self, first: int, stop: int) -> Cost:
        weight = sum(FAULTS[fault] for fault in self.faults(first, stop))
        start, width = self.timeline.starts_ms[first], self.layout.width(first, stop)
        needed = max(self.preset.reading_ms(width), self.preset.min_ms)
        room = min(self.timeline.next_start_ms(stop) - start, self.preset.max_ms)
        excess = max(0, needed - room) // _EXCESS_MS_PER_COST
        return weight, excess + self._reading_cost(first, stop, width)

    def _reading_cost(self, first: int, stop: int, width: int) -> int:
        """How badly the words [first, stop) read as a cue; what is inside lies at the cuts first + 1 .. stop - 1."""
        sentences = self._sentences[stop - 1] - self._sentences[first]
        pauses = self._inner_pause_costs[stop - 1] - self._inner_pause_costs[first]
        room = self.preset.max_lines * self.layout.limit
        slack = max(0, room - width)
        cost = _CUE_COST + self._cut_costs[stop] + pauses + _INNER_SENTENCE_COST * sentences
        # Quadratic: of two cues for one sentence neither should be left with a single word.
        return cost + _SLACK_COST * slack * slack // (room * room)

    def _pause_ms(self, cut: int) -> int:
        return max(0, self.timeline.next_start_ms(cut) - self.timeline.ends_ms[cut - 1])

    def _cut_cost(self, cut: int) -> int:
        """How bad it is to cut after `cut` words."""
        if cut in (0, len(self.layout.words)):
            return 0
        pause = self._pause_ms(cut)
        by_pause = next((cost for least_ms, cost in _PAUSE_COSTS if pause >= least_ms), None)
        cost = self.breaks.costs[cut]
        return cost if by_pause is None else min(cost, by_pause)

    def _inner_pause_cost(self, cut: int) -> int:
        """How bad it is not to cut after `cut` words if someone pauses there."""
        pause = self._pause_ms(cut) if cut else 0
        return max(0, pause - _INNER_PAUSE_FREE_MS) // _INNER_PAUSE_MS_PER_COST


def _runs(previous: list[int]) -> list[Run]:
    runs = []
    stop = len(previous) - 1
    while stop:
        runs.append((previous[stop], stop))
        stop = previous[stop]
    return runs[::-1]
