"""Words that begin with a sound that none of their letters stands for, spelled with it: "one" with its w.

Else a classifier of letters takes that sound for speech that is no word, and the word starts 0.1 to 0.2 s late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_ONSETS = {
    "en": {"w": ("one", "ones", "one's", "once"), "a": ("eight", "eights", "eighth", "eighteen", "eighty", "eighties")}
}
_OF = {
    language: {word: onset + word for onset, words in onsets.items() for word in words}
    for language, onsets in _ONSETS.items()
}


def with_onsets(readings: Iterable[Iterable[tuple[str, ...]]], language: str) -> list[list[tuple[str, ...]]]:
    """The ways in which written words may be said, with such words spelled as they sound."""
    known = _OF.get(language, {})
    return [[tuple(known.get(word.lower(), word) for word in way) for way in ways] for ways in readings]
