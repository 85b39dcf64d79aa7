"""Words with times from an aligner's path, or from nothing but the speech around them (interpolation)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.align.gaps import shares
from autorag_whisper.align.tokens import split_words
from autorag_whisper.align.word_time import WordTime
from autorag_whisper.domain.transcript import Word, WordSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from autorag_whisper.align.tokens import Decode, WordTokens


LEAST_S = 0.02
"""Seconds that every word has where there is room for them: an aligner may give it none."""


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word and the tokens that it was decoded from."""

    word: Word
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text was said: seconds on the file's timeline, and the stretches of speech in between, in order."""

    start_s: float
    end_s: float
    speech: tuple[tuple[float, float], ...] = ()

    def clamp(self, time_s: float) -> float:
        """`time_s` inside the place; a time that is no number is its start."""
        return min(max(time_s, self.start_s), self.end_s) if math.isfinite(time_s) else self.start_s


def words_from_path(
    token_ids: Sequence[int], decode: Decode, language: str, path: NDArray[np.float64], place: Place
) -> list[TimedWord]:
    """Words timed by their tokens.

    `path`: float64[2, n + 1]; row 0 holds the second (on the file's timeline) at which each token starts, the last one
    the end of the text; row 1 the tokens' probabilities (its last value is not used).
    """
    groups = split_words(token_ids, decode, language)
    times = [WordTime(float(path[0, g.first]), float(path[0, g.stop]), WordSource.TOKENS) for g in groups]
    probabilities = [float(path[1, group.first : group.stop].mean()) for group in groups]
    return words_timed(token_ids, groups, times, probabilities, place)


def words_interpolated(
    token_ids: Sequence[int], decode: Decode, language: str, probability: float, place: Place
) -> list[TimedWord]:
    """Words spread over the speech in `place` by their number of characters: the last way down, which never fails."""
    groups = split_words(token_ids, decode, language)
    lengths = [max(1, len(group.text.strip())) for group in groups]
    times = [
        WordTime(_moment(first, place), _moment(last, place), WordSource.INTERPOLATED)
        for first, last in shares(lengths)
    ]
    return words_timed(token_ids, groups, times, [probability] * len(groups), place)


def _moment(share: float, place: Place) -> float:
    """The second by which `share` of the place's speech has passed."""
    speech = place.speech or ((place.start_s, place.end_s),)
    left = share * sum(stop - start for start, stop in speech)
    for start, stop in speech:
        if left <= stop - start:
            return start + left
        left -= stop - start
    return speech[-1][1]


def words_timed(
    token_ids: Sequence[int],
    groups: Sequence[WordTokens],
    times: Sequence[WordTime],
    probabilities: Sequence[float],
    place: Place,
) -> list[TimedWord]:
    """The words of `groups` with their `times`, on the file's timeline: inside `place`, in order, none into the next.

    Each has a length where the place has room for it. `probabilities` are the recogniser's.
    """
    timed: list[TimedWord] = []
    known = times[: len(groups)]
    spans = in_order([(time.start_s, time.end_s) for time in known], place)
    for group, time, (start_s, end_s), probability in zip(groups, known, spans, probabilities, strict=True):
        score = None if time.score is None else _share(time.score)
        space_before = _has_space_before(group, groups)
        word = Word(group.text.strip(), start_s, end_s, _share(probability), time.source, score, space_before)
        timed.append(TimedWord(word, tuple(token_ids[group.first : group.stop])))
    return timed


def in_order(spans: Sequence[tuple[float, float]], place: Place) -> list[tuple[float, float]]:
    """`spans` inside `place`: each starts where the one before it ends, or later.

    A start is pushed back by as much as those before it need, `LEAST_S` each, and forward by what those behind it need
    up to the end of the place: nothing where every word has its length. A word ends where the next one starts at the
    latest.
    """
    least_s = min(LEAST_S, (place.end_s - place.start_s) / max(1, len(spans)))
    starts: list[float] = []
    earliest_s = place.start_s
    for start_s, _ in spans:
        starts.append(max(earliest_s, place.clamp(start_s)))
        earliest_s = starts[-1] + least_s
    found: list[tuple[float, float]] = []
    latest_s = place.end_s
    for start_s, (_, end_s) in zip(reversed(starts), reversed(spans), strict=True):
        begins_s = max(place.start_s, min(start_s, latest_s - least_s))
        # An end that is no number loses against the one before it: `max` keeps what nothing is greater than.
        found.append((begins_s, min(latest_s, max(begins_s + least_s, end_s))))
        latest_s = begins_s
    return found[::-1]


def _share(value: float) -> float:
    """`value` within 0..1; what is no number is 0."""
    return min(1.0, max(0.0, value)) if math.isfinite(value) else 0.0


def _has_space_before(group: WordTokens, groups: Sequence[WordTokens]) -> bool:
    """Whether the text has a blank there. The first word of a text has one where its script has any."""
    if group is groups[0] and not group.text[:1].isspace():
        return any(other.text[:1].isspace() for other in groups[1:])
    return group.text[:1].isspace()
