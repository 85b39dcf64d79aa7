"""A text as the letters that are to be heard, in the alphabet of a classifier.

```
written     "The"         "$25"                                     "😀"
said         the           twenty five dollars                       (nothing)
states    .  T h e  .      T W E N T Y . F I V E . D O L L A R S  .        .      "." may be silence or other speech
```
Accents go (NFKD), and letters that NFKD leaves whole are written in others (`_AS`). What is said but cannot be spelled
(a number in a language without rules for it) is `ANY` letter.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.romanization import romanized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Readings = Sequence[Sequence[str]]
    """The ways in which a written word may be said, each as one spoken word or more."""

GAP, FOREIGN, ANY = -1, -2, -3
"""States that are no letter: silence, speech that is no word of the text, any sound of speech."""
BETWEEN = (GAP, FOREIGN, GAP)
"""The states between two words."""

_LEAST_KNOWN = 0.9
"""Share of a text's letters that must be in the alphabet: the others are in another script."""

_AS = {
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ŋ": "ng", "ĸ": "k",
    "ŧ": "t", "ə": "a", "\u0131": "i", "\u03c2": "\u03c3", "\u02bb": "", "\u02bc": "", "\u30fc": "",
}  # fmt: skip
"""Letters that an alphabet has not got, in others: a Turkish i, a final sigma. Apostrophes and lengths are none."""
_SIGNS = frozenset({"Nd", "Nl", "No", "Sc", "Sm"})
"""Categories of characters that are said, if by nobody knows which letters."""


@dataclass(frozen=True, slots=True, eq=False)
class LetterText:
    """The states of n words: `GAP` before, between and behind them all; inside a word where it is said as several.

    `symbols`: int64[states], a letter's symbol, `GAP` or `ANY`. `owners`: int64[states], the word that each belongs
    to, -1 for none. `expected`: bool[states], the letters that must be missed if they are not heard: of a word that
    may be said in several ways none is. A word that is not said has no state.
    """

    symbols: NDArray[np.int64]
    owners: NDArray[np.int64]
    expected: NDArray[np.bool_]
    words: int


def letter_text(readings: Sequence[Readings], alphabet: Sequence[str]) -> LetterText | None:
    """Written words as states; None where `alphabet` is not that of their script.

    `readings`: for each word the ways in which it may be said, each as one spoken word or more.
    """
    symbol_of = {letter: n for n, letter in enumerate(alphabet, 1)}
    between = [(state, -1, False) for state in BETWEEN]
    states = [*between]
    unknown = 0
    for word, ways in enumerate(readings):
        parts = [_symbols(part, symbol_of) for way in ways for part in way]
        unknown += sum(missing for _, missing in parts)
        for letters in filter(None, (letters for letters, _ in parts)):
            states += [(symbol, word, len(ways) == 1) for symbol in letters]
            states += between
    symbols = np.asarray([symbol for symbol, _, _ in states])
    count = int(np.count_nonzero(symbols > 0))
    if count == unknown or not _are_known(count, unknown):
        return None
    return LetterText(
        symbols, np.asarray([word for _, word, _ in states]), np.asarray([must for *_, must in states]), len(readings)
    )


def knows_script(text: str, alphabet: Sequence[str]) -> bool:
    """Whether `alphabet` is that of a text as it is written: of its letters, if it has any."""
    symbols, unknown = _symbols(text, {letter: n for n, letter in enumerate(alphabet, 1)})
    return _are_known(len(symbols) - symbols.count(ANY), unknown)


def _are_known(letters: int, unknown: int) -> bool:
    return unknown <= (1 - _LEAST_KNOWN) * letters


def _symbols(word: str, symbol_of: dict[str, int]) -> tuple[list[int], int]:
    """The symbols of a word's letters, and how many of these are of another alphabet."""
    other, found, unknown = len(symbol_of) + 1, list[int](), 0
    for character in unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", word).lower()):
        letters = [symbol_of[part] for part in _spelled(character, symbol_of) if part in symbol_of]
        if letters:
            found += letters
        elif unicodedata.category(character) in _SIGNS:
            if found[-1:] != [ANY]:  # of a number nobody knows how many sounds it has
                found.append(ANY)
        elif unicodedata.category(character)[0] == "L" and character not in _AS and romanized(character) == character:
            found.append(other)
            unknown += 1
    return found, unknown


def _spelled(character: str, symbol_of: dict[str, int]) -> str:
    """A letter as the alphabet has it: as it is, in others, katakana in hiragana, or Cyrillic in Latin letters."""
    if character in symbol_of:
        return character
    if "\u30a1" <= character <= "\u30f6":
        return chr(ord(character) - 0x60)
    return _AS.get(character, romanized(character))
