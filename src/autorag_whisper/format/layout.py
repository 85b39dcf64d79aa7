"""Words to lines: does a run of words fit on a screen, and where does its line break read best?"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from autorag_whisper.domain.transcript import Word, join_words
from autorag_whisper.format.punctuation import Stop, may_begin_line, stop_after
from autorag_whisper.format.text import columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.format.presets import Preset

_STOP_COST = {Stop.SENTENCE: 0, Stop.CLAUSE: 4, Stop.NONE: 14}
_LONE_WORD_COST = 12
_TOP_HEAVY_COST = 2
_KINSOKU_COST = 40


class Layout:
    """Runs [first, stop) of `words`, measured against the lines of `preset`.

    ```
    words      We  went  home
    blanks      0     1     1
    edges    0  2     7    12      width(1, 3) = edges[3] - edges[1] - blanks[1] = 9 = len("went home")
    ```
    """

    def __init__(self, words: Sequence[Word], preset: Preset) -> None:
        self.words = words
        self.limit = preset.line_columns
        self._blanks = [int(word.space_before) for word in words]
        # At least one column each, so that the number of words on a screen is bounded.
        widths = (blank + max(1, columns(word.text)) for blank, word in zip(self._blanks, words, strict=True))
        self._edges = [0, *accumulate(widths)]
        self._reach = self._longest_lines()

    def width(self, first: int, stop: int) -> int:
        """Columns of the words [first, stop) on one line."""
        return self._edges[stop] - self._edges[first] - self._blanks[first]

    def fits(self, first: int, stop: int) -> bool:
        """Whether the words fit on two lines. A single word always counts as fitting: nothing can be done."""
        if stop - first == 1 or self.width(first, stop) <= self.limit:
            return True
        if self.words[stop - 1].text.isdecimal():
            return any(True for _ in self._breaks(first, stop))
        turn = self._reach[first]
        return turn > first and self.width(turn, stop) <= self.limit

    def lines(self, first: int, stop: int) -> tuple[str, ...]:
        """The words as one line, or as two at the best break; they must fit."""
        if stop - first == 1 or self.width(first, stop) <= self.limit:
            return (join_words(list(self.words[first:stop])),)
        turn = min(self._breaks(first, stop), key=lambda at: self._break_cost(first, at, stop))
        return join_words(list(self.words[first:turn])), join_words(list(self.words[turn:stop]))

    def _longest_lines(self) -> list[int]:
        """For each word, the stop of the longest line that begins with it."""
        reach, stop = [], 0
        for first in range(len(self.words)):
            stop = max(stop, first)
            while stop < len(self.words) and self.width(first, stop + 1) <= self.limit:
                stop += 1
            reach.append(stop)
        return reach

    def _breaks(self, first: int, stop: int) -> list[int]:
        return [
            turn
            for turn in range(first + 1, self._reach[first] + 1)
            if turn < stop and self.width(turn, stop) <= self.limit and not self._bare_number(turn, stop)
        ]

    def _bare_number(self, first: int, stop: int) -> bool:
        """A last line of digits alone: subtitle readers take it for the number of the next cue and drop it."""
        digits = all(word.text.isdecimal() for word in self.words[first:stop])
        return digits and not any(self._blanks[first + 1 : stop])

    def _break_cost(self, first: int, turn: int, stop: int) -> int:
        upper, lower = self.width(first, turn), self.width(turn, stop)
        lone = turn - first == 1 or stop - turn == 1
        return (
            abs(upper - lower)
            + _STOP_COST[stop_after(self.words[turn - 1].text)]
            + _LONE_WORD_COST * lone
            + _TOP_HEAVY_COST * (upper > lower)
            + _KINSOKU_COST * (not may_begin_line(self.words[turn].text))
        )
