"""Words with times from an aligner's path, or from nothing but the speech around them (interpolation)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autorag_whisper.align.tokens import split_words
from autorag_whisper.domain.transcript import Word, WordSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from autorag_whisper.align.tokens import Decode, WordTokens


_LEAST_S = 0.02


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word and the tokens that it was decoded from."""

    word: Word
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """What an aligner says of n words: spans in seconds, the recogniser's probabilities, and its own scores if any.

    `sources`: how each of them was found, where that is not `source` for all.
    """

    source: WordSource
    spans: Sequence[tuple[float, float]]
    probabilities: Sequence[float]
    scores: Sequence[float] = ()
    sources: Sequence[WordSource] = ()


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
    the end of the text; row 1 the tokens' probabilities (its last value is not used). Starts come out non-decreasing
    and inside `place`.
    """
    groups = split_words(token_ids, decode, language)
    spans = [(float(path[0, group.first]), float(path[0, group.stop])) for group in groups]
    probabilities = [float(path[1, group.first : group.stop].mean()) for group in groups]
    return words_timed(token_ids, groups, Timing(WordSource.TOKENS, spans, probabilities), place)


def words_interpolated(
    token_ids: Sequence[int], decode: Decode, language: str, probability: float, place: Place
) -> list[TimedWord]:
    """Words spread over the speech in `place` by their number of characters: the last way down, which never fails."""
    groups = split_words(token_ids, decode, language)
    lengths = [max(1, len(group.text.strip())) for group in groups]
    total, done, spans = sum(lengths), 0, []
    for length in lengths:
        spans.append((_moment(done / total, place), _moment((done + length) / total, place)))
        done += length
    return words_timed(token_ids, groups, Timing(WordSource.INTERPOLATED, spans, [probability] * len(groups)), place)


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
    token_ids: Sequence[int], groups: Sequence[WordTokens], timing: Timing, place: Place
) -> list[TimedWord]:
    """The words of `groups` with the times of `timing`: inside `place`, starts in order, none without length.

    A word is moved by `_LEAST_S` at most to get one. They may reach into each other: `apart` parts them.
    """
    timed: list[TimedWord] = []
    earliest = place.start_s
    for n, group in enumerate(groups):
        start_s = max(earliest, place.clamp(timing.spans[n][0]))
        end_s = max(min(start_s + _LEAST_S, place.end_s), place.clamp(timing.spans[n][1]))
        start_s = max(earliest, min(start_s, end_s - _LEAST_S))
        source = timing.sources[n] if timing.sources else timing.source
        score = _share(timing.scores[n]) if timing.scores and source is not WordSource.INTERPOLATED else None
        space_before = _has_space_before(group, groups)
        word = Word(group.text.strip(), start_s, end_s, _share(timing.probabilities[n]), source, score, space_before)
        timed.append(TimedWord(word, tuple(token_ids[group.first : group.stop])))
        earliest = start_s
    return timed


def apart(words: Sequence[TimedWord]) -> tuple[TimedWord, ...]:
    """`words`, in their order, of which none reaches into the next; all stay between the first start and the last end.

    A word ends where the next one starts; of those that start at one moment each has `_LEAST_S` while there is room.
    """
    found: list[TimedWord] = []
    last_s = max((timed.word.end_s for timed in words), default=0.0)
    earliest_s = 0.0
    for n, timed in enumerate(words):
        word = timed.word
        next_s = words[n + 1].word.start_s if n + 1 < len(words) else last_s
        start_s, end_s = max(word.start_s, earliest_s), word.end_s
        if start_s > word.start_s or end_s > next_s:
            end_s = max(min(end_s, next_s), min(start_s + _LEAST_S, last_s))
            timed = replace(timed, word=replace(word, start_s=start_s, end_s=end_s))  # noqa: PLW2901 - the same word, moved
        found.append(timed)
        earliest_s = end_s
    return tuple(found)


def _share(value: float) -> float:
    """`value` within 0..1; what is no number is 0."""
    return min(1.0, max(0.0, value)) if math.isfinite(value) else 0.0


def _has_space_before(group: WordTokens, groups: Sequence[WordTokens]) -> bool:
    """Whether the text has a blank there. The first word of a text has one where its script has any."""
    if group is groups[0] and not group.text[:1].isspace():
        return any(other.text[:1].isspace() for other in groups[1:])
    return group.text[:1].isspace()
