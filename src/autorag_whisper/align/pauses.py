"""Where nobody speaks, to 5 ms, and word edges moved there: the path is worst next to a pause.

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
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.align.characters import Marks
    from autorag_whisper.domain.audio import Samples

    Spans = Sequence[tuple[float, float]]

_HOP = 80
_HOP_S = _HOP / SAMPLE_RATE_HZ
_DEPTH_DB, _SHARE, _CONTRAST_DB = 40.0, 0.35, 22.0
"""Silence lies this far under the loud parts, or in this share of the way up from the floor, far below them."""
_ABOVE_FLOOR_DB = 8.0
_CLICK_HOPS = 2
_MIN_S = 0.1
_VETO_S = 0.4
"""A silence so long that voice activity would have noticed it: if it did not, someone speaks softly."""
_VOICE_EDGE_S = 0.1
"""How far the edges of voice activity are off, at most, most of the time."""

_TOLERANCE_S, _INSIDE_S, _CLOSURE_S = 0.1, 0.08, 0.15
_LATE_S, _EARLY_S = 0.15, 0.2
_LEAST_S = 0.02


def silences(samples: Samples, speech: Spans) -> list[tuple[float, float]]:
    """Spans without speech of `samples`, in seconds from their start, in order.

    By energy where it tells speech from the rest; else what voice activity leaves between `speech`, its spans in the
    same seconds, less what its edges are off.
    """
    level = _level_db(samples)
    if not len(level):
        return []
    loud, floor = np.percentile(level, (95, 3))
    if loud - floor < _CONTRAST_DB:
        return _between(speech, len(samples) / SAMPLE_RATE_HZ)
    quiet = level < max(loud - _DEPTH_DB, floor + _SHARE * (loud - floor))
    found = [_to_floor(level, first, stop) for first, stop in _runs(_without_clicks(quiet))]
    spans = [(first * _HOP_S, (stop + 1) * _HOP_S) for first, stop in found]
    return [(a, b) for a, b in spans if b - a >= _MIN_S and not _is_soft_speech(a, b, speech)]


def _level_db(samples: Samples) -> NDArray[np.float64]:
    """float64[n]: level of every 10 ms, each 5 ms; high frequencies raised, for "f" and "s" are quiet otherwise."""
    count = len(samples) // _HOP
    raised = np.diff(samples, prepend=samples[:1])[: count * _HOP].astype(np.float64)
    energy = (raised.reshape(count, _HOP) ** 2).sum(axis=1)
    return np.asarray(10 * np.log10((energy[:-1] + energy[1:]) / (2 * _HOP) + 1e-10))


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False]))))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]


def _without_clicks(quiet: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Sounds too short to be speech, inside silence, count as silence."""
    calm = quiet.copy()
    for first, stop in _runs(~quiet):
        if stop - first <= _CLICK_HOPS and first > 0 and stop < len(quiet):
            calm[first:stop] = True
    return calm


def _to_floor(level: NDArray[np.float64], first: int, stop: int) -> tuple[int, int]:
    """The silence without what fades in or out at its edges: a quiet consonant belongs to the word."""
    inside = np.flatnonzero(level[first:stop] < np.median(level[first:stop]) + _ABOVE_FLOOR_DB)
    start = first if first == 0 else first + int(inside[0])
    return start, stop if stop == len(level) else first + int(inside[-1]) + 1


def _is_soft_speech(start_s: float, end_s: float, speech: Spans) -> bool:
    voiced = sum(max(0.0, min(end_s, stop) - max(start_s, start)) for start, stop in speech)
    return end_s - start_s > _VETO_S and voiced > 0.7 * (end_s - start_s)


def _between(speech: Spans, duration_s: float) -> list[tuple[float, float]]:
    if not speech:
        return []
    edges = [0.0, *(edge for span in speech for edge in span), duration_s]
    gaps = [(edges[n] + _VOICE_EDGE_S, edges[n + 1] - _VOICE_EDGE_S) for n in range(0, len(edges), 2)]
    return [(a, b) for a, b in gaps if b - a >= _MIN_S]


def word_spans(marks: Marks, quiet: Spans, duration_s: float) -> NDArray[np.float64]:
    """float64[n, 2]: start and end of n words, from the path's marks and the silences in `duration_s` of audio.

    Starts are non-decreasing. In running speech a word ends where the next one starts: the first letter is what the
    path places best.
    """
    words = _Words(marks)
    for start_s, end_s in quiet:
        words.part(start_s, end_s, is_last=end_s >= duration_s - 2 * _HOP_S)
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
