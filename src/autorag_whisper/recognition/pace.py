"""How fast a text would have to be said: its syllables, estimated from its script.

Tokens say nothing of speed: a second of English has 4 of them, one of Burmese 47. Syllables do: languages have from 5 a
second (Mandarin, Thai) to 8 (Japanese, Spanish), whatever they are written in (Pellegrino, Coupé and Marsico,
"Across-language perspectives on speech information rate", Language 87, 2011).

| script | what counts as a syllable |
|---|---|
| Latin, Greek, Cyrillic, Armenian, Georgian | a run of vowels; a word without any is one |
| Chinese, Hangul, Ethiopic, Yi, Cherokee | a character |
| kana | three quarters of a character; small ones belong to the one before |
| Devanagari and its kin (vowels are marks on consonants) | a letter that no virama silences |
| Arabic, Hebrew, Thai, Lao (short vowels or vowel signs are letters or not written) | 1.8 letters |
| any other | 2.5 letters |
| a digit | 1.5 |

Mute vowels are counted, so English and French come out up to two fifths too fast.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from functools import lru_cache

FASTEST_PER_S = 13.0
"""Syllables a second, as estimated here, that nobody speaks. The fastest two seconds of the recordings that this was
measured on have 11 (French, whose mute vowels are counted), the fastest English 10."""
FAST_PER_S = 9.0
"""Syllables a second at which nobody says a whole text twice: read speech has 3 to 7."""

_VOWELS = frozenset("aeiouyæœøıəαεηιουωаеёиоуыэюяіїєѣաեէըիոօუოიეა")  # noqa: RUF001 - letters of other scripts
_ALPHABETIC_WORD = re.compile(r"[^\W\d_]+")
_ALPHABETS = frozenset({"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN"})
_WHOLE = frozenset({"CJK", "HANGUL", "ETHIOPIC", "YI", "CHEROKEE"})
_KANA = frozenset({"HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"})
_BRAHMIC = frozenset({
    "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA",
    "MYANMAR", "KHMER", "TIBETAN", "JAVANESE", "BALINESE", "SUNDANESE",
})  # fmt: skip
_VOWEL_POOR = frozenset({"ARABIC", "HEBREW", "THAI", "LAO", "SYRIAC", "THAANA"})
_SILENCING = ("VIRAMA", "SIGN ASAT", "SIGN COENG", "AL-LAKUNA", "HALANTA", "PULLI")
_DIGIT, _KANA_LETTER, _VOWEL_POOR_LETTER, _OTHER_LETTER = 1.5, 0.75, 1 / 1.8, 1 / 2.5


def syllables(text: str) -> float:
    """The syllables of `text`, estimated; 0.0 where it has neither a letter nor a digit."""
    return sum(map(_of_alphabetic, _ALPHABETIC_WORD.findall(_without_marks(text)))) + sum(map(_of_character, text))


def _without_marks(text: str) -> str:
    """`text` with its letters alone, without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.category(c).startswith("M"))


def _of_alphabetic(word: str) -> int:
    """Runs of vowels in the letters of an alphabet; 1 for an abbreviation, 0 where there are none of those letters."""
    is_vowel = [c.casefold() in _VOWELS for c in word if _script(c) in _ALPHABETS]
    runs = sum(now and not before for before, now in itertools.pairwise([False, *is_vowel]))
    return max(runs, 1) if is_vowel else 0


@lru_cache(4096)
def _of_character(character: str) -> float:
    """What a character adds that belongs to no alphabet; -1 for a sign that takes the vowel from the letter before."""
    category, name, script = unicodedata.category(character), unicodedata.name(character, ""), _script(character)
    if category == "Nd":
        return _DIGIT
    if category.startswith("M"):
        return -1.0 if any(sign in name for sign in _SILENCING) else 0.0
    if not category.startswith("L") or script in _ALPHABETS:
        return 0.0
    if script in _WHOLE or script in _BRAHMIC:
        return 1.0
    if script in _KANA:
        return 0.0 if "SMALL" in name else _KANA_LETTER
    return _VOWEL_POOR_LETTER if script in _VOWEL_POOR else _OTHER_LETTER


@lru_cache(4096)
def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]
