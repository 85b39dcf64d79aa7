"""Letters of another alphabet as the Latin ones that sound like them, for a classifier that knows the Latin alone.

What is heard has no script: a classifier that learnt twelve languages in Latin letters hears Russian as it would be
written in them. One that learnt Cyrillic letters from a synthesiser heard Latin ones in a natural voice (dev/LOG.md).
"""

from __future__ import annotations

_CYRILLIC = (
    "а a б b в v г g д d е e ж zh з z и i к k л l м m н n о o п p р r с s т t у u ф f х h ц ts ч ch ш sh щ sh ъ _ ы y "
    "ь _ э e ю yu я ya є ye і i ґ g ђ d ј y љ l њ n ћ ch џ d ѕ z қ k ғ g ү u ұ u ө o ң n һ h ә a җ zh ҳ h ҷ ch"
)
_PAIRS = _CYRILLIC.split()
LATIN_OF = {letter: latin.strip("_") for letter, latin in zip(_PAIRS[::2], _PAIRS[1::2], strict=True)}
"""Lower-case letters in the form of NFKD, without their marks; "" for one that has no sound of its own."""


def romanized(letter: str) -> str:
    """The Latin letters that sound like `letter` (lower case, NFKD); the letter itself where none are known."""
    return LATIN_OF.get(letter, letter)
