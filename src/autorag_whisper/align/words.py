"""Words with times from an aligner's path, or from nothing but the speech around them (interpolation)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.align.tokens import split_words
from autorag_whisper.domain.transcript import Word, WordSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from autorag_whisper.align.tokens import Decode, WordTokens


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
    the end of the text; row 1 the tokens' probabilities (its last value is not used). Starts come out non-decreasing
    and inside `place`.
    """
    groups = split_words(token_ids, decode, language)
    spans = [(float(path[0, group.first]), float(path[0, group.stop])) for group in groups]
    probabilities = [float(path[1, group.first : group.stop].mean()) for group in groups]
    return _words(token_ids, groups, spans, probabilities, WordSource.TOKENS, place)


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
    return _words(token_ids, groups, spans, [probability] * len(groups), WordSource.INTERPOLATED, place)


def _moment(share: float, place: Place) -> float:
    """The second by which `share` of the place's speech has passed."""
    speech = place.speech or ((place.start_s, place.end_s),)
    left = share * sum(stop - start for start, stop in speech)
    for start, stop in speech:
        if left <= stop - start:
            return start + left
        left -= stop - start
    return speech[-1][1]


def _words(
    token_ids: Sequence[int],
    groups: list[WordTokens],
    spans: list[tuple[float, float]],
    probabilities: list[float],
    source: WordSource,
    place: Place,
) -> list[TimedWord]:
    timed: list[TimedWord] = []
    earliest = place.start_s
    for group, (start, end), probability in zip(groups, spans, probabilities, strict=True):
        start_s = max(earliest, place.clamp(start))
        end_s = max(start_s, place.clamp(end))
        known = min(1.0, max(0.0, probability)) if math.isfinite(probability) else 0.0
        text = group.text.strip()
        word = Word(text, start_s, end_s, known, source, space_before=_has_space_before(group, groups))
        timed.append(TimedWord(word, tuple(token_ids[group.first : group.stop])))
        earliest = start_s
    return timed


def _has_space_before(group: WordTokens, groups: list[WordTokens]) -> bool:
    """Whether the text has a blank there. The first word of a text has one where its script has any."""
    if group is groups[0] and not group.text[:1].isspace():
        return any(other.text[:1].isspace() for other in groups[1:])
    return group.text[:1].isspace()
