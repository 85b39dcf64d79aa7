"""Words to lines: does a run of words fit on a screen, and where do its line breaks read best?"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from autorag_whisper.domain.transcript import Word, join_words
from autorag_whisper.format.breaks import Breaks
from autorag_whisper.format.glue import Glue
from autorag_whisper.format.text import columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.format.presets import Preset

_COST_PER_COLUMN = 4
_BOUND_COST = 100
_LONE_WORD_COST = 12
_TOP_HEAVY_COST = 2
_GLUE_COST = {Glue.NONE: 0, Glue.PIECE: 200, Glue.WORD: 10_000}

Run = tuple[int, int]
"""Words [first, stop)."""


class Layout:
    """Runs [first, stop) of `words`, measured against the lines of `preset`.

    ```
    words      We  went  home
    blanks      0     1     1
    edges    0  2     7    12      width(1, 3) = edges[3] - edges[1] - blanks[1] = 9 = len("went home")
    ```
    """

    def __init__(
        self, words: Sequence[Word], preset: Preset, *, language: str = "", glue: Sequence[Glue] | None = None
    ) -> None:
        self.words = words
        self.preset = preset
        self.limit = preset.line_columns
        self.breaks = Breaks(words, glue or [Glue.NONE] * len(words), language)
        self._blanks = [int(word.space_before) for word in words]
        # At least one column each, so that the number of words on a screen is bounded.
        widths = (blank + max(1, columns(word.text)) for blank, word in zip(self._blanks, words, strict=True))
        self._edges = [0, *accumulate(widths)]
        self._reach = self._longest_lines()
        self._good_reach = self._longest_good_lines()

    def width(self, first: int, stop: int) -> int:
        """Columns of the words [first, stop) on one line."""
        return self._edges[stop] - self._edges[first] - self._blanks[first]

    def fits(self, first: int, stop: int) -> bool:
        """Whether the words fit on the screen. A single word always counts as fitting: nothing can be done."""
        return self._lines_needed(first, stop) <= self.preset.max_lines

    def breaks_well(self, first: int, stop: int) -> bool:
        """Whether lines of these words, if there are two, need not break behind a word that belongs to the next."""
        if self.preset.max_lines != 2 or self.width(first, stop) <= self.limit:
            return True
        turn = self._good_reach[first]
        return first < turn < stop and self.width(turn, stop) <= self.limit

    def runs(self, first: int, stop: int) -> tuple[Run, ...]:
        """The words as as few lines as hold them, broken where it reads best; they must fit."""
        return self._best(first, stop, self._lines_needed(first, stop))[1]

    def lines(self, first: int, stop: int) -> tuple[str, ...]:
        """The text of `runs`."""
        return tuple(join_words(list(self.words[begin:end])) for begin, end in self.runs(first, stop))

    def _lines_needed(self, first: int, stop: int) -> int:
        """How many lines the words take, at most one more than there may be."""
        count, at = 0, first
        while at < stop and count <= self.preset.max_lines:
            count += 1
            if self.width(at, stop) <= self.limit or stop - at == 1:
                return count if count == 1 or not self._bare_number(at, stop) else self._with_number(first, stop, count)
            at = min(stop - 1, self._reach[at])
        return count

    def _with_number(self, first: int, stop: int, count: int) -> int:
        """As `_lines_needed`, where the longest lines would leave a bare number for the last."""
        found = self._best(first, stop, count)[1]
        return count if found else self.preset.max_lines + 1

    def _longest_lines(self) -> list[int]:
        """For each word, the stop of the longest line that begins with it and breaks no word.

        Where there is none, a word gives way: it is wider than a line.
        """
        reach, stop = [], 0
        for first in range(len(self.words)):
            stop = max(stop, first + 1)
            while stop < len(self.words) and self.width(first, stop + 1) <= self.limit:
                stop += 1
            reach.append(self._clean_stop(first, stop))
        return reach

    def _longest_good_lines(self) -> list[int]:
        """As `_longest_lines`, of lines that do not end with a word that belongs to the next."""
        good = [0]
        for cut in range(1, len(self.words) + 1):
            whole = self.breaks.glue[cut] is Glue.NONE and not self.breaks.bound[cut]
            good.append(cut if whole else good[-1])
        return [good[stop] for stop in self._reach]

    def _clean_stop(self, first: int, stop: int) -> int:
        for worst in (Glue.NONE, Glue.PIECE):
            for cut in range(stop, first, -1):
                if self.breaks.glue[cut] <= worst:
                    return cut
        return stop

    def _best(self, first: int, stop: int, count: int) -> tuple[int, tuple[Run, ...]]:
        """(cost, lines) of the best way to put the words on `count` lines; no lines where there is none."""
        known: dict[tuple[int, int], tuple[int, tuple[Run, ...]]] = {}

        def best(first: int, count: int) -> tuple[int, tuple[Run, ...]]:
            if (first, count) not in known:
                known[first, count] = self._one_line(first, stop) if count == 1 else broken(first, count)
            return known[first, count]

        def broken(first: int, count: int) -> tuple[int, tuple[Run, ...]]:
            options = []
            for turn in range(first + 1, stop):
                if self.width(first, turn) > self.limit and turn > first + 1:
                    break
                cost, rest = best(turn, count - 1)
                if rest and not (count == 2 and self._bare_number(turn, stop)):
                    options.append((cost + self._break_cost(first, turn, stop, count), ((first, turn), *rest)))
            return min(options, default=(0, ()))

        return best(first, count)

    def _one_line(self, first: int, stop: int) -> tuple[int, tuple[Run, ...]]:
        fits = stop - first == 1 or self.width(first, stop) <= self.limit
        return 0, (((first, stop),) if fits else ())

    def _bare_number(self, first: int, stop: int) -> bool:
        """A last line of digits alone: subtitle readers take it for the number of the next cue and drop it."""
        digits = all(word.text.isdecimal() for word in self.words[first:stop])
        return digits and not any(self._blanks[first + 1 : stop])

    def _break_cost(self, first: int, turn: int, stop: int, count: int) -> int:
        """How badly a break before `turn` reads, the first of `count - 1`."""
        upper, lower = self.width(first, turn), self.width(turn, stop) // (count - 1)
        lone = turn - first == 1 or stop - turn == 1
        return (
            _COST_PER_COLUMN * abs(upper - lower)
            + self.breaks.costs[turn]
            + _BOUND_COST * self.breaks.bound[turn]
            + _COST_PER_COLUMN * (_LONE_WORD_COST * lone + _TOP_HEAVY_COST * (upper > lower))
            + _GLUE_COST[self.breaks.glue[turn]]
        )
