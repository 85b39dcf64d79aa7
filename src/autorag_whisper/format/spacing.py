"""Whether a blank stands before a word, where a file gives the words and the text but does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.format.text import is_unspaced

if TYPE_CHECKING:
    from collections.abc import Sequence


_NEARBY = 1000
"""Characters in which a word is looked for that does not follow the one before it."""


def spaces_before(words: Sequence[str], text: str) -> list[bool]:
    """For each of `words` (without outer blanks) whether `text` has a blank before it; True for the first.

    Where a word cannot be found in what is left of the text, its script decides.
    """
    spaces, at, before = [], 0, ""
    for word in words:
        begin = at
        while begin < len(text) and text[begin].isspace():
            begin += 1
        if text.startswith(word, begin):
            spaces.append(begin > at or not before)
            at = begin + len(word)
        else:
            spaces.append(not before or separate(before, word))
            found = text.find(word, at, at + _NEARBY)
            at = at if found < 0 else found + len(word)
        before = word
    return spaces


def separate(before: str, word: str) -> bool:
    """Whether two words are written with a blank between them, by their script."""
    return not (is_unspaced(before[-1]) or is_unspaced(word[0]))
