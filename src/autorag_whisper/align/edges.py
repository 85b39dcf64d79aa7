"""The edges of words between silences: every word has its place in the sound, and none in a pause.

```
seconds    0         1         2         3         4        A silence takes no time of the sound: all that a path places
sound      ▂▇▆▇▇▅▂............................▂▆▇▇▅         in it lies at one moment, on no side more than on the other.
silence           [--------------------------)              What starts at that moment starts behind the silence, what
its clock  0      7                          7    12        ends there ends before it: no word lies in a pause.
                       ^ "I", seen in the pause
```
The path is worst next to a pause: letters are seen before it, behind it and anywhere in it. So of all starts in order
those are taken that are nearest to the path and leave each word room for its sounds, before the next word and before
the next long silence (dynamic programming over the sound's own clock). A closed mouth inside a word (the stop of "p",
"t", "k") is a silence too: a short one may lie in a word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.characters import END_EARLY_S
from autorag_whisper.align.words import LEAST_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.align.characters import Marks

    Spans = Sequence[tuple[float, float]]
    Floats = NDArray[np.float64]

_LINGERS_S, _LETTER_S = 0.25, 0.09
"""A first letter that takes longer than this began in a pause or in the word before: it is given the usual length."""
_STEP_S = 0.005
_CLOSURE_S = 0.15
"""A silence that is shorter may lie in a word."""
_BEFORE_S, _BEHIND_S, _EARLY_S = 0.08, 0.15, 0.2
"""How much too early and too late a start at a silence is seen, at most, and how much too early the last word's end."""
_ONSET_S, _SOUND_S = 0.03, 0.015
"""The least room of a word: so much, and so much for each of its letters."""
_TAIL_S, _TAIL_WEIGHT = 0.1, 0.5
"""A word's last letter sounds for so long; for the next word to start earlier costs this share of the seconds."""
_NO_MARK_S = 0.1
"""What a long silence between two words costs where the text has no mark there: as much as moving a word by that."""
_SPOT_S, _SPOT_WORDS = 0.05, 4
"""So many words within so much of the sound's clock have no sound of their own: they take none from others."""


@dataclass(frozen=True, slots=True)
class _Clock:
    """The sound's own clock, which stands still in silences.

    `silences`: float64[n, 2] seconds, in order. `points`: float64[n], where on this clock they lie.
    """

    silences: Floats
    duration_s: float
    points: Floats

    @classmethod
    def of(cls, quiet: Spans, duration_s: float) -> _Clock:
        spans = np.asarray(quiet, np.float64).reshape(-1, 2).clip(0.0, duration_s)
        spans = spans[spans[:, 1] > spans[:, 0]]
        lengths = spans[:, 1] - spans[:, 0]
        return cls(spans, duration_s, spans[:, 0] - (np.cumsum(lengths) - lengths))

    @property
    def lengths(self) -> Floats:
        """float64[n]: seconds that each silence lasts."""
        return np.asarray(self.silences[:, 1] - self.silences[:, 0])

    @property
    def sound_s(self) -> float:
        return self.duration_s - float(self.lengths.sum())

    @property
    def bounds(self) -> Floats:
        """float64[stretches + 1]: where the stretches of sound between long silences begin and end."""
        long = self.points[self.lengths >= _CLOSURE_S]
        return np.concatenate(([0.0], long, [self.sound_s]))

    def at(self, seconds: Floats) -> Floats:
        moments = [0.0, *np.repeat(self.points, 2), self.sound_s]
        return np.asarray(np.interp(seconds, [0.0, *self.silences.ravel(), self.duration_s], moments))

    def is_silent(self, seconds: Floats) -> NDArray[np.bool_]:
        return np.asarray(np.searchsorted(self.silences.ravel(), seconds, side="right") % 2 == 1)

    def seconds(self, moments: Floats, *, behind: bool) -> Floats:
        """Seconds of moments of this clock; of those at a silence where it ends (`behind`) or where it begins."""
        passed = np.concatenate(([0.0], np.cumsum(self.lengths)))
        return np.asarray(moments + passed[np.searchsorted(self.points, moments, side="right" if behind else "left")])


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the path says of n words, on the sound's clock.

    `starts`: float64[n], when a word's first letter begins. `tails`: float64[n], until when its last one sounds, at
    least; 0 for one that was seen in a silence. `after`: for each word when its letters after the first begin, and what
    follows it. `room`: float64[n], the least that each word takes.
    """

    starts: Floats
    tails: Floats
    after: tuple[Floats, ...]
    room: Floats
    end: float
    several: frozenset[int]
    marked: frozenset[int]

    @classmethod
    def of(cls, marks: Marks, clock: _Clock) -> _Seen:
        last = np.asarray([letters[-1] for letters in marks.letters])
        heard = np.maximum(marks.end - END_EARLY_S, last)
        after = [np.append(letters[1:], end) for letters, end in zip(marks.letters, heard, strict=True)]
        first, second = clock.at(marks.first), clock.at(marks.second)
        lingers = marks.second - marks.first > _LINGERS_S
        starts = np.maximum.accumulate(np.where(lingers, np.maximum(first, second - _LETTER_S), first))
        return cls(
            starts=starts,
            tails=_tails(last, clock),
            after=tuple(clock.at(moments) for moments in after),
            room=_rooms(starts, [len(letters) for letters in marks.letters]),
            end=float(clock.at(marks.end[-1:])[0]),
            several=marks.several,
            marked=marks.marked,
        )

    def first(self, count: int) -> _Seen:
        """The first `count` words alone; the next one starts where they end."""
        end = float(self.starts[count]) if count < len(self.starts) else self.end
        parts = (self.starts[:count], self.tails[:count], self.after[:count], self.room[:count])
        return _Seen(*parts, end, self.several, self.marked)


def _tails(last: Floats, clock: _Clock) -> Floats:
    """float64[n]: until when letters that begin at `last` seconds sound: up to the next long silence at most."""
    moments, bounds = clock.at(last), clock.bounds
    stop = bounds[np.clip(np.searchsorted(bounds, moments, side="right"), 1, len(bounds) - 1)]
    return np.where(clock.is_silent(last), 0.0, np.minimum(moments + _TAIL_S, stop))


def _rooms(starts: Floats, letters: Sequence[int]) -> Floats:
    """float64[n]: the least that each word takes; those of which many are seen on one spot take next to nothing."""
    rooms = _ONSET_S + _SOUND_S * np.asarray(letters)
    for first in range(len(starts) - _SPOT_WORDS + 1):
        if starts[first + _SPOT_WORDS - 1] - starts[first] <= _SPOT_S:
            rooms[first : first + _SPOT_WORDS] = LEAST_S
    return rooms


_ASTRAY_S, _ASTRAY_WORDS = 0.25, 3
"""So far from the tokens, and so many words of it in a row: the path lost its place, it does not know better."""


def steadied(path: Marks, tokens_s: Floats, quiet: Spans, duration_s: float) -> Marks:
    """The marks, with the tokens' times instead for words of which several in a row are far from their tokens.

    There the path has lost its place. `tokens_s`: float64[n, 2], start and end of each word by its tokens, in the same
    seconds. Distances are on the sound's clock: in a pause neither path nor tokens know where a word is.
    """
    clock = _Clock.of(quiet, duration_s)
    off = np.abs(clock.at(path.first) - clock.at(tokens_s[:, 0]))
    far = np.concatenate(([False], off > _ASTRAY_S, [False]))
    first, second, end, letters = path.first.copy(), path.second.copy(), path.end.copy(), list(path.letters)
    for start, stop in np.flatnonzero(np.diff(far)).reshape(-1, 2):
        if stop - start < _ASTRAY_WORDS:
            continue
        for n in range(start, stop):
            spread = np.linspace(tokens_s[n, 0], max(tokens_s[n]), len(letters[n]) + 1)
            first[n], second[n], end[n], letters[n] = spread[0], spread[1], spread[-1], spread[:-1]
    return replace(path, first=first, second=second, end=end, letters=tuple(letters))


def word_spans(marks: Marks, quiet: Spans, duration_s: float) -> Floats:
    """float64[n, 2]: start and end of n words, from the path's marks and the silences in `duration_s` of audio.

    In order, and none reaches into the next. In running speech a word ends where the next one starts: the first letter
    is what the path places best. Two words and more that the path has heaped up at the end of the audio stay there.
    """
    clock = _Clock.of(quiet, duration_s)
    seen = _Seen.of(marks, clock)
    count = _heard(seen, clock)
    heard = seen.first(count)
    spans = _spans(_at_silences(_placed(heard, clock), heard, clock), heard, clock)
    begin = np.maximum.accumulate(np.maximum(marks.first[count:], spans[-1, 1]))
    ends = np.minimum(np.maximum(begin, marks.end[count:]), np.append(begin[1:], np.inf))
    return np.concatenate((spans, np.stack((begin, ends), axis=1)))


def _heard(seen: _Seen, clock: _Clock) -> int:
    """How many words are not in a heap of two and more at the end of the sound: these nobody said, most of the time."""
    count = len(seen.starts)
    while count > 1 and seen.starts[count - 1] >= clock.sound_s - _SPOT_S:
        count -= 1
    return count if len(seen.starts) - count > 1 else len(seen.starts)


def _placed(seen: _Seen, clock: _Clock) -> Floats:
    """float64[n]: the starts nearest to what was seen that leave every word its room, or a part where it must be."""
    grid = _Grid.of(clock)
    costs = [_costs(seen, word, grid) for word in range(len(seen.starts))]
    for share in (1.0, 0.5, 0.25, 0.0):
        steps = [int(share * room / _STEP_S) for room in seen.room]
        found = _cheapest(seen, grid, costs, steps)
        if found is not None:
            break
    assert found is not None  # without a length every word has room
    # The grid has steps; what was seen is finer.
    stretch = grid.stretch[found]
    seen_there = np.clip(seen.starts, grid.lows[stretch], grid.highs[stretch])
    starts = grid.moments[found]
    return np.where(np.abs(starts - seen_there) <= _STEP_S, seen_there, starts)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Moments of the clock, `_STEP_S` apart, and the stretches of sound between long silences that they lie in.

    `stretch`: int[moments]. `lows`, `highs`: float64[stretches].
    """

    moments: Floats
    stretch: NDArray[np.int64]
    lows: Floats
    highs: Floats

    @classmethod
    def of(cls, clock: _Clock) -> _Grid:
        moments: Floats = np.arange(int(clock.sound_s / _STEP_S) + 1, dtype=np.float64) * _STEP_S
        lows, highs = clock.bounds[:-1], clock.bounds[1:]
        return cls(moments, np.searchsorted(lows[1:], moments + 1e-9, side="right"), lows, highs)


def _costs(seen: _Seen, word: int, grid: _Grid) -> Floats:
    """float64[moments]: what it costs to start a word there, in seconds that its letters are moved by."""
    start, after = seen.starts[word], seen.after[word]
    if word in seen.several:  # a silence may lie in it, but not behind its first letter alone
        begun = grid.lows[np.searchsorted(grid.lows, after[0] + 1e-9, side="right") - 1]
        cost = np.abs(grid.moments - max(start, begun))
    else:
        lows, highs = grid.lows[:, np.newaxis], grid.highs[:, np.newaxis]
        off = np.maximum(np.maximum(lows - after, after - highs), 0.0).mean(axis=1)
        # At a silence the first letter is seen early: in each stretch the word would start where that is nearest.
        nearest = np.clip(start, grid.lows, np.maximum(grid.lows, grid.highs - seen.room[word]))
        cost = np.abs(grid.moments - nearest[grid.stretch]) + off[grid.stretch]
    if word:
        cost += _TAIL_WEIGHT * np.maximum(seen.tails[word - 1] - grid.moments, 0.0)
    return np.asarray(cost)


def _cheapest(seen: _Seen, grid: _Grid, costs: Sequence[Floats], steps: Sequence[int]) -> NDArray[np.int64] | None:
    """int64[n]: the cheapest starts that leave every word its `steps`, as places of the grid; None without any."""
    left = grid.highs[grid.stretch] - grid.moments
    totals: list[Floats] = []
    for word, cost in enumerate(costs):
        length = 0 if word in seen.several else steps[word]
        total = np.where(left >= length * _STEP_S - 1e-6, cost, np.inf)
        if word:
            step, price = steps[word - 1], _price(seen, word - 1, grid)
            total[:step] = np.inf
            total[step:] += np.minimum.accumulate(totals[-1] - price)[: len(total) - step] + price[step:]
        totals.append(total)
    found = [int(np.argmin(totals[-1]))]
    if not np.isfinite(totals[-1][found[0]]):
        return None
    for word in range(len(costs) - 2, -1, -1):
        open_to = found[-1] - steps[word] + 1
        found.append(int(np.argmin((totals[word] - _price(seen, word, grid))[:open_to])))
    return np.asarray(found[::-1])


def _price(seen: _Seen, word: int, grid: _Grid) -> Floats:
    """float64[moments]: what the long silences before each moment cost if they lie behind this word."""
    return np.asarray(grid.stretch * (0.0 if word in seen.marked else _NO_MARK_S))


def _at_silences(starts: Floats, seen: _Seen, clock: _Clock) -> Floats:
    """The starts, of which the first behind a silence lies where it ends."""
    moved = starts.copy()
    for point, length in zip(clock.points, clock.lengths, strict=True):
        word = int(np.searchsorted(starts, point - 1e-6, side="left"))
        if length < _CLOSURE_S and word and seen.after[word - 1][-1] > point + LEAST_S:
            if not _is_behind(seen, word - 1, starts[word - 1], point):
                continue  # it lies in that word
            word -= 1
        if word < len(starts) and starts[word] - point < _BEHIND_S:
            moved[word] = point
    return np.asarray(np.maximum.accumulate(moved))


def _is_behind(seen: _Seen, word: int, start: float, point: float) -> bool:
    """Whether a word that was seen from before a short silence on is behind it."""
    follows, end = seen.after[word][0], seen.after[word][-1]
    return bool(follows >= point - LEAST_S or (start >= point - _BEFORE_S and end - point > point - start))


def _spans(starts: Floats, seen: _Seen, clock: _Clock) -> Floats:
    """float64[n, 2] seconds: each word up to the next one, or to the long silence before that."""
    end = max(seen.end, starts[-1])
    if len(clock.points) and clock.sound_s - clock.points[-1] < _STEP_S and clock.sound_s - end < _EARLY_S:
        end = clock.sound_s  # the audio ends in a silence
    said = starts.copy()
    for word in seen.several.intersection(range(len(starts))):  # up to its last letter, whatever silence lies in it
        said[word] = max([starts[word], *seen.after[word][-2:-1]])
    highs = clock.bounds[1:]
    limits = highs[np.minimum(np.searchsorted(highs, said, side="right"), len(highs) - 1)]
    ends = np.maximum(starts, np.minimum(np.append(starts[1:], end), limits))
    begin = clock.seconds(starts, behind=True)
    return np.stack((begin, np.maximum(begin, clock.seconds(ends, behind=False))), axis=1)
