"""Which of its repetitions a text is likeliest without: all combinations in one search.

```
text        Mary rolled the barrel.  Mary rolled the barrel.      each run may be left out, at next to no price
                                     [----- a run -----]
heard       . . m a r y . r o l l e d . t h e . b a r r e l .     likelier without it than with its letters missing
```
A text without some of its runs is a path through the states of the whole text that goes past these runs' states. So one
search over the whole text compares all of them; one path for each would be as many as there are sets of runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.best_path import forward
from autorag_whisper.align.letter_search import sounds_of, trellis_of
from autorag_whisper.align.letter_text import BETWEEN, letter_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.align.best_path import Trellis
    from autorag_whisper.align.letter_text import LetterText, Readings
    from autorag_whisper.align.letters import LetterHearing

    Run = tuple[int, int]
    """Half-open: of words, or of states."""

_PRICE = np.float32(1e-4)
"""Of each run that is left out, in nats: of texts that are as likely but for rounding, the longer one is taken."""


def likeliest_without(
    heard: NDArray[np.float32],
    classifier: LetterHearing,
    readings: Sequence[Readings],
    quiet: NDArray[np.float32],
    runs: Sequence[Run],
) -> list[Run]:
    """Those of `runs` of words without which the text is likelier than with them, and than without any others.

    `heard`, `quiet`: as for `letter_path.words_by_letters`. `readings`: one way in which each word is said, or none.
    The words that are in no run have letters. Of two texts that are as likely the longer one is taken.
    """
    text = letter_text(readings, classifier.alphabet)
    if text is None:
        return []
    run_of = {states: run for run in runs if (states := _states(text, run)) is not None}
    if not run_of:
        return []
    found = _Search(trellis_of(sounds_of(heard, classifier, quiet), text), list(run_of)).skipped()
    return sorted(run_of[skip] for skip in found)


def _states(text: LetterText, run: Run) -> Run | None:
    """The states of a run of words and those between it and the next word; None where it has no letters."""
    own = np.flatnonzero((text.owners >= run[0]) & (text.owners < run[1]))
    return (int(own[0]), int(own[-1]) + 1 + len(BETWEEN)) if len(own) else None


class _Search:
    """The best path through a text's states that may go past some runs of them."""

    def __init__(self, trellis: Trellis, skips: Sequence[Run]) -> None:
        self._trellis, self._paid = trellis, trellis.paid
        firsts_by_stop: dict[int, list[int]] = {}
        for first, stop in sorted(skips, key=lambda skip: (skip[1], skip[0])):
            firsts_by_stop.setdefault(stop, []).append(first)
        self._ends = [
            (stop - 1, np.asarray(firsts) - 1, self._paid[stop] - self._paid[firsts] - _PRICE)
            for stop, firsts in firsts_by_stop.items()
        ]
        """For each end of a skip its last state, the last states before its begins, and what it saves."""

    def skipped(self) -> list[Run]:
        """The runs of states that the best path goes past."""
        emitted = self._trellis.emitted
        best = forward(emitted, self._trellis, self._shorten)
        state, found = self._before(best[-1], best.shape[1] - 1)
        for frame in range(len(emitted) - 1, 0, -1):
            before = best[frame - 1]
            if before[state] + emitted[frame, state] < best[frame, state]:  # it came from another state
                state, more = self._before(before, state - 1)
                found += more
        return found + self._before(None, state - 1)[1]

    def _shorten(self, from_here: NDArray[np.float32]) -> list[tuple[int, float, Run]]:
        """Raise what is behind a skip to what is before it, where that is more; which did, and to what."""
        used = []
        for last, sources, saved in self._ends:  # in order, so that one skip may follow another
            values = from_here[sources] + saved
            value = values.max()
            if value > from_here[last]:
                np.maximum(from_here[last:], value, out=from_here[last:])
                used.append((last, value, (int(sources[values.argmax()]) + 1, last + 1)))
        return used

    def _before(self, best: NDArray[np.float32] | None, last: int) -> tuple[int, list[Run]]:
        """From which state, `last` or one before it, the best path goes on, and past which runs.

        `best`: of the frame before, None before the first; there the state is -1.
        """
        none = np.zeros(len(self._paid) - 1, np.float32)
        here = none if best is None else best + self._paid[1:]
        plain = np.maximum.accumulate(here)
        from_here = plain.copy()
        used, found = self._shorten(from_here), list[tuple[int, int]]()
        while last >= 0 and from_here[last] > plain[last]:
            skip = next(skip for end, value, skip in used if end <= last and value == from_here[last])
            found.append(skip)
            last = skip[0] - 1
        return (-1 if best is None else int(np.argmax(here[: last + 1]))), found
