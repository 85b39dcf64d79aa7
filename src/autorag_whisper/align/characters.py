"""Words to single letters for Whisper's own aligner, and its path back to the words.

A decoder that is made to spell attends to one sound after the other, and a few of its heads do so within tens of
milliseconds ("Whisper has an internal word aligner", arXiv 2509.09987). Marks are left out: they are not said. Numbers
are spelled as they are said, so that a long number has as many letters as it takes time.

```
written    "The"      "$25"                            token  0   1 2 3   4   5 6  7   8   9 ...
said       The        twenty five dollars                     _   T h e   _   t w ent y   _ ...
firsts     1          5      (its first letter)        the middle of a long word is one piece: that costs no accuracy
stops      4          n      (one past its last)       and saves an eighth of the tokens
```
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Encode = Callable[[str], Sequence[int]]

MAX_TOKENS = 440
"""Tokens that one call takes: the decoder's context of 448 less the start sequence and the end."""

END_EARLY_S = 0.04
"""What follows a word's last letter is seen so long before the word ends (both models measured, 1,300 words)."""

_LEVELS = ((2, 1), (1, 1), (1, 0))
"""Letters that stay single at the (start, end) of a word; the next level for a text that is too long for one call."""

_MARKS = frozenset(".?!,;:…—。？！，；：、،؛؟۔।")  # noqa: RUF001 - marks as they are written
_CLOSING = "\"'”’»」』)]）】"  # noqa: RUF001 - marks as they are written


@dataclass(frozen=True, slots=True)
class Spelled:
    """A text's tokens for the aligner; word n has the tokens [firsts[n], stops[n]), at least one.

    `several`: the words that are said as more than one. `marked`: those with a mark at which one pauses.
    """

    token_ids: tuple[int, ...]
    firsts: tuple[int, ...]
    stops: tuple[int, ...]
    several: frozenset[int] = frozenset()
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """What the path says of n words, in seconds from the start of the audio.

    `first`, `second`, `end`: float64[n], when a word's first letter, the token after it, and what follows it are seen.

    `letters`: for each word the start of each of its tokens, non-decreasing. `several`: the words that are said as more
    than one, so that a pause may lie in them. `marked`: those with a mark behind them at which one pauses.
    """

    first: NDArray[np.float64]
    second: NDArray[np.float64]
    end: NDArray[np.float64]
    letters: tuple[NDArray[np.float64], ...]
    several: frozenset[int] = frozenset()
    marked: frozenset[int] = frozenset()


def spell(
    words: Sequence[str], said: Sequence[Sequence[str]], encode: Encode, below: int | None = None
) -> Spelled | None:
    """Written words and what is said for each of them (nothing: the word itself) as tokens.

    A piece with a token that is not `below` is spelled letter by letter. None where there is no word, or the text is
    too long for one call even with words shortened to a letter.
    """
    if not words:
        return None
    texts = [list(spoken) or [word] for word, spoken in zip(words, said, strict=True)]
    for at_start, at_end in _LEVELS:
        spelled = _spell(texts, _spelled_out(encode, below), at_start, at_end)
        if len(spelled.token_ids) <= MAX_TOKENS:
            stops = frozenset(n for n, word in enumerate(words) if word.rstrip(_CLOSING)[-1:] in _MARKS)
            return replace(spelled, marked=stops)
    return None


def _spelled_out(encode: Encode, below: int | None) -> Encode:
    if below is None:
        return encode

    def piecewise(text: str) -> Sequence[int]:
        tokens = encode(text)
        if max(tokens, default=0) < below:
            return tokens
        return [token for letter in text for token in encode(letter)]

    return piecewise


def _spell(texts: list[list[str]], encode: Encode, at_start: int, at_end: int) -> Spelled:
    tokens: list[int] = []
    firsts: list[int] = []
    space = tuple(encode(" "))
    for spoken in texts:
        first = -1
        for word in spoken:
            tokens += space
            first = len(tokens) if first < 0 else first
            for piece in _pieces(word, at_start, at_end):
                tokens += encode(piece)
        firsts.append(first)
    # A word ends where the blank before the next one begins.
    stops = [first - len(space) for first in firsts[1:]] + [len(tokens)]
    several = frozenset(n for n, spoken in enumerate(texts) if len(spoken) > 1)
    stops = [max(first + 1, stop) for first, stop in zip(firsts, stops, strict=True)]
    return Spelled(tuple(tokens), tuple(firsts), tuple(stops), several)


def _pieces(word: str, at_start: int, at_end: int) -> Iterator[str]:
    """Single letters at both ends of a word, and what is between them."""
    letters = list(_letters(word)) or list(word)
    if len(letters) <= at_start + at_end + 1:
        yield from letters
        return
    yield from letters[:at_start]
    yield "".join(letters[at_start : len(letters) - at_end])
    yield from letters[len(letters) - at_end :]


def _letters(word: str) -> Iterator[str]:
    """Letters and digits; accents and vowel signs that are characters of their own stay with the letter before."""
    held = ""
    for character in unicodedata.normalize("NFC", word):
        kind = unicodedata.category(character)[0]
        if kind == "M" and held:
            held += character
        elif kind in "LN":
            if held:
                yield held
            held = character
    if held:
        yield held


def marks(spelled: Spelled, starts_s: NDArray[np.float64], late_s: float) -> Marks:
    """The path of the spelled text as marks of its words.

    `starts_s`: float64[tokens + 1], seconds at which each token begins, the last one the end of the text. `late_s`: how
    much later than a word its first letter is seen.
    """
    starts = np.maximum.accumulate(np.asarray(starts_s, np.float64))
    firsts = np.asarray(spelled.firsts)
    stops = np.asarray(spelled.stops)
    return Marks(
        first=starts[firsts] - late_s,
        second=starts[firsts + 1] - late_s,
        end=starts[stops] + END_EARLY_S,
        letters=tuple(starts[f:s] - late_s for f, s in zip(spelled.firsts, spelled.stops, strict=True)),
        several=spelled.several,
        marked=spelled.marked,
    )


def scores(spelled: Spelled, probabilities: NDArray[np.float32]) -> list[float]:
    """For each word the mean probability of its letters, 0..1: how well the text fits what is heard there."""
    known = np.clip(np.nan_to_num(probabilities, nan=0.0), 0.0, 1.0)
    return [float(known[f:s].mean()) for f, s in zip(spelled.firsts, spelled.stops, strict=True)]
