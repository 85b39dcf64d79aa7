"""The edges of words moved to the silences between them: the path is worst next to a pause.

```
energy     ▂▇▆▇▇▅▂......................▂▆▇▇▅     first letter of the next word:   ^ seen anywhere in the pause
silence           [--------------------)
words      [--------)        [-------------)      as the path has them
           [------)                      [---)    edges at the silence
```
A closed mouth inside a word (the stop of "p", "t", "k") is a silence too: short ones stay with the word around them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.characters import END_EARLY_S
from autorag_whisper.align.pauses import HOP_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.align.characters import Marks

    Spans = Sequence[tuple[float, float]]

_TOLERANCE_S, _INSIDE_S, _CLOSURE_S = 0.1, 0.08, 0.15
_LATE_S, _EARLY_S = 0.15, 0.2
_LEAST_S = 0.02


def word_spans(marks: Marks, quiet: Spans, duration_s: float) -> NDArray[np.float64]:
    """float64[n, 2]: start and end of n words, from the path's marks and the silences in `duration_s` of audio.

    Starts are non-decreasing. In running speech a word ends where the next one starts: the first letter is what the
    path places best.
    """
    words = _Words(marks)
    for start_s, end_s in quiet:
        words.part(start_s, end_s, is_last=end_s >= duration_s - 2 * HOP_S)
    return words.spans()


class _Words:
    """Word edges while silences are taken out of them, one after the other, in order."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._starts = marks.starts
        self._ends = np.append(self._starts[1:], marks.end[-1:])
        self._heard_until = np.maximum.accumulate(marks.end - END_EARLY_S)

    def part(self, start_s: float, end_s: float, *, is_last: bool) -> None:
        """Words end before this silence or start after it, unless it lies inside one.

        Nothing starts after the last one, at the end of the audio: words that the path has in there stay there.
        """
        after = self._first_after(start_s, end_s)
        if after is None:
            return
        if after > 0:
            self._end_before(after - 1, start_s)
        if after < len(self._starts) and not is_last:
            self._start_at(after, end_s)

    def _first_after(self, start_s: float, end_s: float) -> int | None:
        """The first word behind a silence, None if it is part of a word.

        A word's last letter tells on which side it is: the first one is often seen before the pause, or in it. What is
        said as several words ("2-6-9", "$25") may have been said with a pause in it.
        """
        tolerance = min(_TOLERANCE_S, (end_s - start_s) / 2)
        after = int(np.searchsorted(self._heard_until, start_s + tolerance, side="right"))
        if after == len(self._starts):
            return after
        marks = self._marks
        if marks.second[after] >= start_s - _LEAST_S or marks.first[after] >= start_s - _INSIDE_S:
            return after
        if end_s - start_s < _CLOSURE_S or after in marks.several:
            return None
        return after + int(np.mean(marks.letters[after] < start_s) > 0.5)

    def _end_before(self, word: int, silence_s: float) -> None:
        if silence_s - self._ends[word] >= _EARLY_S:
            return
        self._ends[word] = silence_s
        while word >= 0 and self._starts[word] > silence_s - _LEAST_S:
            self._starts[word] = max(0.0, silence_s - 2 * _LEAST_S)
            word -= 1

    def _start_at(self, word: int, speech_s: float) -> None:
        """Start a word where speech begins again, and move those that it overtakes behind it, by their letters."""
        starts, ends = self._starts, self._ends
        if starts[word] - speech_s >= _LATE_S:
            return
        starts[word] = speech_s
        stop = word + 1
        while stop < len(starts) and starts[stop] < speech_s + 1.5 * _LEAST_S * (stop - word):
            stop += 1
        moved = stop - word
        limit = starts[stop] if stop < len(starts) else max(ends[-1], speech_s + 4 * _LEAST_S * moved)
        share = np.cumsum([len(letters) for letters in self._marks.letters[word:stop]])
        starts[word + 1 : stop] = speech_s + (limit - speech_s) * share[:-1] / share[-1]
        ends[word : stop - 1] = starts[word + 1 : stop]
        ends[stop - 1] = max(ends[stop - 1], starts[stop - 1] + _LEAST_S)

    def spans(self) -> NDArray[np.float64]:
        starts = np.maximum.accumulate(self._starts)
        return np.stack((starts, np.maximum(starts, self._ends)), axis=1)
