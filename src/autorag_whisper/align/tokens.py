"""Text tokens to words: which tokens make which word, and what belongs to a word though it is no letter.

Splitting follows `openai/whisper`, `tokenizer.py` and `timing.py`.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.domain.language import WITHOUT_SPACES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Decode = Callable[[Sequence[int]], str]

_OPENING = frozenset("\"'“‘¿¡([{-«「『（《〈【$€£¥₹#@")  # noqa: RUF001 - marks as they are written
_HYPHENS = frozenset("-\u2010\u2013")
_REPLACEMENT = "\ufffd"
_MAX_PIECES = 8
"""Tokens of one character at most: bytes that never make one are given up after that many."""


@dataclass(frozen=True, slots=True)
class WordTokens:
    """A word as decoded (outer whitespace included) and its tokens [first, stop)."""

    text: str
    first: int
    stop: int


def split_words(token_ids: Sequence[int], decode: Decode, language: str) -> list[WordTokens]:
    """Tokens as words with their punctuation attached: every token is in one word, and every word has a visible text.

    A word is what stands between blanks ("O'Brien" is one, which Whisper's own splitting cuts in two), and a number
    of a row joined by hyphens ("555-0199", "2-6-9"), which are said one after the other. Where a script has no blanks a
    word is what a token says, no less than a character.
    """
    pieces = _characters(token_ids, decode)
    if language not in WITHOUT_SPACES:
        pieces = _join(pieces, lambda left, right: not right.text[:1].isspace() and not _next_number(left, right))
    return _attach(pieces)


def _next_number(left: WordTokens, right: WordTokens) -> bool:
    return right.text[:1].isdecimal() and left.text[-1:] in _HYPHENS and left.text[-2:-1].isdecimal()


def _characters(token_ids: Sequence[int], decode: Decode) -> list[WordTokens]:
    """Runs of tokens that decode to whole characters."""
    pieces: list[WordTokens] = []
    first = 0
    for stop in range(1, len(token_ids) + 1):
        text = decode(token_ids[first:stop])
        if _REPLACEMENT in text and stop < len(token_ids) and stop - first < _MAX_PIECES:
            continue
        pieces.append(WordTokens(text.replace(_REPLACEMENT, ""), first, stop))
        first = stop
    return pieces


def _join(pieces: list[WordTokens], belongs: Callable[[WordTokens, WordTokens], bool]) -> list[WordTokens]:
    joined: list[WordTokens] = []
    for piece in pieces:
        if joined and belongs(joined[-1], piece):
            last = joined.pop()
            piece = WordTokens(last.text + piece.text, last.first, piece.stop)  # noqa: PLW2901 - the joined one goes on
        joined.append(piece)
    return joined


def _attach(pieces: list[WordTokens]) -> list[WordTokens]:
    """Give what has no letter, digit or symbol of its own to its neighbour: opening marks to the next, others back."""
    blank = _join(pieces, lambda left, _right: not left.text.strip())
    ahead = _join(blank, lambda left, right: _opens(left.text) and not right.text[:1].isspace())
    behind = _join(ahead, lambda _left, right: _closes(right.text))
    return [word for word in behind if word.text.strip()]


def _opens(text: str) -> bool:
    mark = text.strip()
    return bool(mark) and all(character in _OPENING for character in mark)


def _closes(text: str) -> bool:
    """Blank, or marks alone that do not stand free before a word (` (` does)."""
    mark = text.strip()
    if not mark:
        return True
    return all(unicodedata.category(character)[0] in "PM" for character in mark) and not (
        text[:1].isspace() and _opens(text)
    )
