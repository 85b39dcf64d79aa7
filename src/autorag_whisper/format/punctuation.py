"""Where a sentence or a clause ends, as far as a subtitle needs to know: by the last characters of a word."""

# ruff: noqa: RUF001 - the look-alikes are the point: every script has its own stops
from __future__ import annotations

from enum import IntEnum

_CLOSERS = "\"'”’»›)]}」』）】》〉”’"
_SENTENCE_ENDS = ".!?…。！？｡؟۔।॥։።"
_CLAUSE_ENDS = ",;:—–،؛、，；：､"
_NEVER_FIRST = frozenset("、。，．・：；？！」』）】》〉ー々ゝゞぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ,.!?;:)]}»”％%")
_TITLES = frozenset({"mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "vs.", "no.", "nr.", "hr.", "fr.", "e.g.", "i.e."})


class Stop(IntEnum):
    """How strong a stop a word ends with."""

    NONE = 0
    CLAUSE = 1
    SENTENCE = 2


def stop_after(word: str) -> Stop:
    """The stop at the end of `word`; the dot of a title ("Dr.") or an initial ("J.") is none."""
    bare = word.rstrip(_CLOSERS) or word
    if bare[-1] in _CLAUSE_ENDS:
        return Stop.CLAUSE
    if bare[-1] not in _SENTENCE_ENDS or bare.lower() in _TITLES:
        return Stop.NONE
    initial = len(bare) == 2 and bare[0].isupper() and bare[1] == "."
    return Stop.NONE if initial else Stop.SENTENCE


def may_begin_line(word: str) -> bool:
    """Whether a line may begin with `word`: not with closing punctuation, nor (kinsoku) with a small kana."""
    return word[0] not in _NEVER_FIRST
