"""The same again and again: a decoder that has lost its way says one run of words until it is stopped.

```
tokens   a b c d e d e d e d e d x          loop: start 3, period 2, stop 12, times 4.5
               [---)                        the first saying is what was said; [start + period, stop) is the loop's
```
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.recognition.pace import FAST_PER_S, FASTEST_PER_S, syllables

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

_LEAST_PERIOD = 4
"""Tokens of a text that is something to be said twice; "no no" is one word."""

RUNAWAY_RULE = "loop: the same words over and over, faster than anyone speaks; the first time was kept"
"""The documented rule by which the rest of a text is rejected."""


@dataclass(frozen=True, slots=True)
class Loop:
    """Items [start, stop) repeat themselves every `period` items."""

    start: int
    stop: int
    period: int

    @property
    def times(self) -> float:
        """How often its run of items is there, the last time perhaps in part."""
        return (self.stop - self.start) / self.period

    def is_of(self, shorter: Loop) -> bool:
        """Whether its run is that of a `shorter` loop several times over: no other fits into the same stretch."""
        return shorter.start <= self.start and self.stop <= shorter.stop


def loops(items: Sequence[Hashable]) -> list[Loop]:
    """Every stretch in which a run of items comes at least twice in a row, those of short runs first.

    Of a run that is itself a run several times over ("no no" in "no no no no") the shorter one alone.
    """
    found: list[Loop] = []
    for period in range(1, len(items) // 2 + 1):
        same = 0
        for at in range(period, len(items) + 1):
            if at < len(items) and items[at] == items[at - period]:
                same += 1
                continue
            if same >= period:
                loop = Loop(at - same - period, at, period)
                if not any(loop.is_of(shorter) for shorter in found):
                    found.append(loop)
            same = 0
    return found


def find_loop(items: Sequence[Hashable]) -> Loop | None:
    """The longest stretch in which a run of items comes at least twice in a row; the shortest run of those."""
    return max(loops(items), key=lambda loop: loop.stop - loop.start, default=None)


def runaway(tokens: Sequence[int], text: str, speech_s: float) -> Loop | None:
    """The loop in a chunk's `text`, which these tokens spell, that nobody can have said in its `speech_s` of speech.

    What is said again and again at a speaker's pace is speech. The pace is that of syllables (`recognition.pace`).
    """
    loop = find_loop(tokens)
    if loop is None:
        return None
    if loop.times >= 3:
        limit_per_s = FASTEST_PER_S
    elif _is_all_twice(loop, len(tokens)):
        limit_per_s = FAST_PER_S
    else:
        return None
    return loop if syllables(text) > limit_per_s * speech_s else None


def is_said_twice(tokens: Sequence[int]) -> bool:
    """Whether the whole text is there twice: what a decoder does that did not notice the end of the sound."""
    loop = find_loop(tokens)
    return loop is not None and _is_all_twice(loop, len(tokens))


def _is_all_twice(loop: Loop, tokens: int) -> bool:
    return loop.period >= _LEAST_PERIOD and loop.stop - loop.start >= 0.9 * tokens


def without(tokens: Sequence[int], loop: Loop) -> tuple[int, ...]:
    """`tokens` with the first saying of `loop` alone, and what comes before it: behind a loop nothing is heard."""
    return tuple(tokens[: loop.start + loop.period])
