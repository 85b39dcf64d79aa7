"""A second look at words with a letter that is held long: their letters may be heard elsewhere.

```
frames    . . u u m m m m m m m . . t t o o . .     "um", and then "two"
best path . . o o o o o o o o o . . ~ ~ ~ ~ . .     other speech costs a price a frame, a letter may be held for ever
instead   . . ~ ~ ~ ~ ~ ~ ~ ~ ~ . . t t o o . .     more of its letters are heard
```
Between the two ways the letters decide, each by the frame in which it is heard best, and a little the frames that sound
like another letter than they are given to. How long what is between words lasts does not count: it says nothing about
which of them was said where. A vowel that is drawn out stays where it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.letter_search import FOREIGN_FRAME, LEFT_OUT, runs, trellis_of
from autorag_whisper.align.letter_text import ANY, FOREIGN, GAP
from autorag_whisper.align.letters import SILENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from autorag_whisper.align.letter_text import LetterText
    from autorag_whisper.align.letters import LetterHearing

    States = NDArray[np.int64]

_HELD = 10
"""Frames that a letter has at most, most of the time: 0.2 s."""
_BETTER = 2.0
"""Nats by which the letters of a word and its neighbours are heard better elsewhere, at least."""
_UNLIKE = 0.1
"""Weight of a frame that sounds otherwise: a letter that is held over a pause and what follows it has many."""
_BARRED = 50.0
_TRIES = 3
"""Other speech that is left out at once, at most."""
_LOOKS = 3
"""At one word, at most: where one near it was moved there may be room for it."""
_REACH = 2
"""Words on either side whose searches a word has a part in: they reach to the words beyond their neighbours."""
_BETWEEN = 3
"""States between two words."""


def heard_elsewhere(
    states: States, heard: NDArray[np.float32], sounds: NDArray[np.float32], text: LetterText, by: LetterHearing
) -> States:
    """int64[frames]: `states`, the best path through `text`, with words that lie on other speech where they are heard.

    `heard`: float32[frames, symbols], the logarithms of the classifier `by`; `sounds`: what `sounds_of` makes of them.
    """
    search = _Search(states, heard, sounds, text, by)
    words = np.unique(text.owners[text.owners >= 0]).tolist()
    left, looks, has_moved = set(words), Counter[int](), False
    while found := (
        _held(search.states, heard, text, left)
        # What had no place between the words that were moved may have one now.
        or (_unheard(search.states, heard, text, left) if has_moved else None)
    ):
        word, sound = found
        left.discard(word)
        looks[word] += 1
        if search.move(word, sound):
            has_moved = True
            at = words.index(word)
            near = words[max(0, at - _REACH) : at + _REACH + 1]
            left.update(other for other in near if looks[other] < _LOOKS)
    return search.states


class _Search:
    """The best path, while words of it are moved. `barred`: frames that other speech has, whatever they sound like."""

    def __init__(
        self,
        states: States,
        heard: NDArray[np.float32],
        sounds: NDArray[np.float32],
        text: LetterText,
        by: LetterHearing,
    ) -> None:
        self.states = states
        self._heard, self._sounds, self._text, self._by = heard, sounds, text, by
        self._barred = np.zeros(len(states), np.bool_)

    def move(self, word: int, barred: slice) -> bool:
        """Move a word to where it and its neighbours are heard better, if there is such a place without `barred`."""
        frames, part = _around(self.states, self._text, word)
        now, some = self.states[frames] - part.start, _part(self._text, part)
        if not 0 <= now.min() <= now.max() < len(some.symbols):
            return False  # of a word further on that is not heard at all
        heard, sounds = self._heard[frames], self._sounds[frames]
        without = self._barred.copy()
        without[barred] = True
        best, is_moved = _fit(now, heard, some) + _BETTER, False
        for other, left_to_others in _instead(without[frames], heard, sounds, some, self._by):
            fit = _fit(other, heard, some)
            if fit > best and (some.owners[other] == word).any():
                self.states = np.concatenate(
                    (self.states[: frames.start], other + part.start, self.states[frames.stop :])
                )
                best, self._barred[frames], is_moved = fit, left_to_others, True
        return is_moved


def _unheard(states: States, heard: NDArray[np.float32], text: LetterText, among: set[int]) -> tuple[int, slice] | None:
    """The first word of `among` of which no letter is heard where it is, and no sound."""
    said = heard[np.arange(len(states)), np.maximum(text.symbols[states], 0)]
    is_heard = (text.symbols[states] >= 0) & (said > -LEFT_OUT)
    words = among.difference(map(int, text.owners[states[is_heard]]))
    return (min(words), slice(0)) if words else None


def _instead(
    barred: NDArray[np.bool_],
    heard: NDArray[np.float32],
    sounds: NDArray[np.float32],
    text: LetterText,
    by: LetterHearing,
) -> Iterator[tuple[States, NDArray[np.bool_]]]:
    """Best paths with the frames of `barred` left to other speech, and then with those on which a letter is held now.

    Each with the frames that it was found without.
    """
    words = set(map(int, text.owners[text.owners >= 0]))
    for _ in range(_TRIES):
        without = sounds.copy()
        without[barred, :FOREIGN] -= np.float32(_BARRED)  # letters, and any sound
        without[barred, FOREIGN] += np.float32(FOREIGN_FRAME)
        states, _ = by.best_path(trellis_of(without, text))
        yield states, barred
        again = _held(states, heard, text, words)
        if again is None or barred[again[1]].all():
            return
        barred = barred.copy()
        barred[again[1]] = True


def _held(states: States, heard: NDArray[np.float32], text: LetterText, among: set[int]) -> tuple[int, slice] | None:
    """The first word of `among` with a letter that is held long, and the sound of it around that letter."""
    edges = np.concatenate(([0], np.flatnonzero(np.diff(states)) + 1, [len(states)]))
    for n in np.flatnonzero(np.diff(edges) > _HELD):
        state, held = states[edges[n]], range(edges[n], edges[n + 1])
        word = int(text.owners[state])
        if word not in among or text.symbols[state] == ANY:
            continue
        symbols = np.maximum(text.symbols[states], SILENCE)
        is_silent = heard[:, SILENCE] > heard[np.arange(len(states)), symbols]
        pieces = runs((text.owners[states] == word) & ~is_silent)
        sounds = [(min(stop, held.stop) - max(first, held.start), first, stop) for first, stop in pieces]
        if sounds and max(sounds)[0] > 0:
            _, first, stop = max(sounds)
            return word, slice(first, stop)
    return None


def _around(states: States, text: LetterText, word: int) -> tuple[slice, slice]:
    """What a search for `word` alone has to cover: (frames, states).

    The states are those of the word and of its two neighbours, with a few on both sides; the frames are all between the
    words beyond these neighbours.
    """
    said = np.unique(text.owners[text.owners >= 0])
    at = int(np.searchsorted(said, word))
    low, high = said[max(0, at - 1)], said[min(len(said) - 1, at + 1)]
    owners = text.owners[states]
    before, behind = np.flatnonzero((owners >= 0) & (owners < low)), np.flatnonzero(owners > high)
    frames = slice(int(before[-1]) + 1 if len(before) else 0, int(behind[0]) if len(behind) else len(states))
    own = np.flatnonzero((text.owners >= low) & (text.owners <= high))
    return frames, slice(max(0, int(own[0]) - _BETWEEN), min(len(text.symbols), int(own[-1]) + 1 + _BETWEEN))


def _part(text: LetterText, part: slice) -> LetterText:
    return replace(text, symbols=text.symbols[part], owners=text.owners[part], expected=text.expected[part])


def _fit(states: States, heard: NDArray[np.float32], text: LetterText) -> float:
    """How well the letters are heard, in nats: each in its best frame, at least as badly as one that is left out."""
    symbols = text.symbols[states]
    said = heard[np.arange(len(states)), np.maximum(symbols, 0)]
    best = np.full(len(text.symbols), -LEFT_OUT)
    np.maximum.at(best, states, said)
    unlike = (heard.max(axis=1) - said)[(symbols >= 0) | (symbols == GAP)].sum()
    return float(best[(text.symbols >= 0) & text.expected].sum() - _UNLIKE * unlike)
