"""Words by their letters: the best path through the states of a text, given what a classifier hears in each frame.

```
frames    . . s s o o m e m . u m . w w o r r d d s . .      . silence       "um": speech that is no word of the text
words         [ some      )         [ words         )
```
Between two words there may be silence, or speech that the text leaves out (fillers, repetitions), which costs
a price a frame and belongs to no word (`letter_search`). A word that this puts on a filler has a second look
(`held_letters`). The decoder is not asked: its attention puts the next word on a filler.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.held_letters import heard_elsewhere
from autorag_whisper.align.letter_search import runs, sounds_of, trellis_of
from autorag_whisper.align.letter_text import ANY, FOREIGN, letter_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.align.letter_text import LetterText, Readings
    from autorag_whisper.align.letters import LetterHearing

_INTERRUPTED = 50
"""Frames of speech that is no word's, a second, which nobody says in the middle of a number."""
_NEIGHBOURS = 2


@dataclass(frozen=True, slots=True, eq=False)
class LetterPath:
    """Where n words are heard, in frames.

    `spans`: float64[n, 2], starts and ends, none after the next start. `scores`: for each word the mean probability of
    its letters, 0..1, 0 for one that is not heard. `foreign`: spans of speech between words that is none of them.
    `likelihood`: of the likeliest path, in nats; of two texts for the same frames the likelier one has more.
    """

    spans: NDArray[np.float64]
    scores: list[float]
    foreign: list[tuple[int, int]]
    likelihood: float


def words_by_letters(
    heard: NDArray[np.float32], classifier: LetterHearing, readings: Sequence[Readings], quiet: NDArray[np.float32]
) -> LetterPath | None:
    """Where written words are heard; None where the classifier does not know their script.

    `heard`: float32[frames, symbols], what `classifier` says of each of one frame and more; `quiet`: float32[frames],
    0..1, how silent energy says it is. `readings`: for each word the ways in which it may be said, of which the one
    is taken that fits best; none where it is not said.
    """
    text = letter_text(readings, classifier.alphabet)
    if text is None or not len(heard):
        return None
    path = letter_path(heard, classifier, text, quiet)
    if all(len(ways) <= 1 for ways in readings):
        return path
    text = letter_text(likeliest_readings(path, heard, classifier, readings, quiet), classifier.alphabet)
    return path if text is None else letter_path(heard, classifier, text, quiet)


def likeliest_readings(
    path: LetterPath,
    heard: NDArray[np.float32],
    classifier: LetterHearing,
    readings: Sequence[Readings],
    quiet: NDArray[np.float32],
) -> list[Readings]:
    """`readings` with the one that fits best for each word that has several. `path`: where they are heard."""
    chosen = list(readings)
    sounds = sounds_of(heard, classifier, quiet)
    for word, ways in enumerate(readings):
        if len(ways) <= 1:
            continue
        # With its neighbours, which tell how much of what is heard is its own.
        near = range(max(0, word - _NEIGHBOURS), min(len(readings), word + _NEIGHBOURS + 1))
        first = min(int(path.spans[near[0], 0]), len(heard) - 1)  # words that are not heard may lie behind all frames
        frames = slice(first, max(int(path.spans[near[-1], 1]), first + 1))
        found: list[tuple[float, Readings]] = []
        for way in ways:
            local = [[way] if n == word else chosen[n] for n in near]
            spelled = letter_text(local, classifier.alphabet)
            if spelled is not None:
                _, fit = classifier.best_path(trellis_of(sounds[frames], spelled))
                found.append((fit, [way]))
        if found:
            chosen[word] = max(found, key=lambda one: one[0])[1]
    return chosen


def letter_path(
    heard: NDArray[np.float32], classifier: LetterHearing, text: LetterText, quiet: NDArray[np.float32]
) -> LetterPath:
    """The path of `text` through `heard`, the classifier's logarithms for one frame and more.

    `quiet`: float32[frames], 0..1, how silent energy says each frame is.
    """
    sounds = sounds_of(heard, classifier, quiet)
    states, likelihood = classifier.best_path(trellis_of(sounds, text))
    states = heard_elsewhere(states, heard, sounds, text, classifier)
    return _read(states, heard, text, likelihood)


def _read(path: NDArray[np.int64], heard: NDArray[np.float32], text: LetterText, likelihood: float) -> LetterPath:
    of_word, symbols = text.owners[path], text.symbols[path]
    said = np.exp(heard[np.arange(len(path)), np.maximum(symbols, 0)])
    said[symbols == ANY] = np.exp(heard[symbols == ANY, 1:].max(axis=1, initial=-np.inf))
    spans, scores, at = np.zeros((text.words, 2)), [0.0] * text.words, 0
    for word in range(text.words):
        frames = _in_one_go(np.flatnonzero(of_word == word), symbols)
        if len(frames):
            at = int(frames[-1]) + 1
            spans[word] = frames[0], at
            scores[word] = float(said[frames].mean())
        else:  # not said, or not heard: it has no time of its own
            spans[word] = at, at
    _halve_shared_letters(spans, symbols)
    return LetterPath(spans, scores, runs(symbols == FOREIGN), likelihood)


def _in_one_go(frames: NDArray[np.int64], symbols: NDArray[np.int64]) -> NDArray[np.int64]:
    """The frames of a word, or the most of them that no long other speech parts: single letters are found anywhere."""
    breaks = [
        n + 1
        for n in np.flatnonzero(np.diff(frames) > _INTERRUPTED)
        if np.count_nonzero(symbols[frames[n] : frames[n + 1]] == FOREIGN) >= _INTERRUPTED
    ]
    return max(np.split(frames, breaks), key=len)


def _halve_shared_letters(spans: NDArray[np.float64], symbols: NDArray[np.int64]) -> None:
    """Where a word begins with the letter that the one before ends with ("at the"), each has half of its frames.

    Nothing in what is heard says where one ends and the other begins.
    """
    for before, after in itertools.pairwise(np.flatnonzero(spans[:, 1] > spans[:, 0])):
        edge = int(spans[after, 0])
        if spans[before, 1] != edge or symbols[edge - 1] != symbols[edge]:
            continue
        first, last = int(spans[before, 0]), int(spans[after, 1])
        differ = np.flatnonzero(symbols[first:last] != symbols[edge]) + first
        start = max([first, *(differ[differ < edge] + 1)])
        stop = min([last, *differ[differ > edge]])
        spans[before, 1] = spans[before + 1 : after] = spans[after, 0] = (start + stop) / 2
