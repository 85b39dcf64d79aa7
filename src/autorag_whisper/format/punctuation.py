"""Where a sentence or a clause ends, as far as a subtitle needs to know: by the last characters of a word."""

# ruff: noqa: RUF001 - the look-alikes are the point: every script has its own stops
from __future__ import annotations

import re
from enum import IntEnum

_CLOSERS = "\"'”’»›)]}」』）】》〉”’"
_SENTENCE_ENDS = ".!?…。！？｡؟۔।॥։።"
_CLAUSE_ENDS = ",;:—–،؛、，；：､"
_NEVER_FIRST = frozenset("、。，．・：；？！」』）】》〉ー々ゝゞぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ,.!?;:)]}»”％%")
_TITLES = frozenset({
    "mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "vs.", "hr.", "fr.", "e.g.", "i.e.", "sra.", "mme.", "mlle.", "dott.",
    "sig.", "capt.", "lt.", "sgt.", "rev.", "z.b.", "d.h.", "u.a.", "bzw.", "ca.", "dipl.", "approx.",
})  # fmt: skip
_NUMBER_SIGNS = frozenset({"no.", "nos.", "nr.", "núm.", "n.", "č.", "art.", "fig.", "vol.", "p.", "pp.", "col."})
_OFTEN_INSIDE = frozenset({"etc.", "jr.", "sr.", "inc.", "ltd.", "co.", "corp.", "usw.", "ecc.", "gen.", "hon."})
_DOTTED = re.compile(r"(?:\w\.){2,}")
_ORDINAL = re.compile(r"\d{1,2}\.")
_WITH_ORDINAL_DOT = frozenset(
    {"de", "da", "no", "nn", "fi", "cs", "sk", "pl", "hu", "et", "lv", "hr", "sl", "is", "lb"}
)


class Stop(IntEnum):
    """How strong a stop a word ends with."""

    NONE = 0
    CLAUSE = 1
    SENTENCE = 2


def stop_after(word: str, following: str = "", language: str = "") -> Stop:
    """The stop at the end of `word`, as far as `following`, the next word, and the language tell.

    The dot of a title ("Dr."), an initial ("J.") or a number sign ("No. 5") is none.
    """
    bare = word.rstrip(_CLOSERS) or word
    if bare[-1] in _CLAUSE_ENDS:
        return Stop.CLAUSE
    if bare[-1] not in _SENTENCE_ENDS:
        return Stop.NONE
    return Stop.NONE if bare[-1] == "." and _abbreviates(bare, following, language) else Stop.SENTENCE


def is_title(word: str) -> bool:
    """Whether `word` is an abbreviation or an initial that belongs to what follows."""
    bare = word.strip(_CLOSERS + "([{«„“‘")
    return bare.lower() in _TITLES or _is_initial(bare)


def may_begin_line(word: str) -> bool:
    """Whether a line may begin with `word`: not with closing punctuation, nor (kinsoku) with a small kana."""
    return word[0] not in _NEVER_FIRST


def _is_initial(bare: str) -> bool:
    return len(bare) == 2 and bare[0].isupper() and bare[1] == "."


def _abbreviates(bare: str, following: str, language: str) -> bool:
    lower = bare.lower().lstrip("([{«„“‘\"'")
    if lower in _TITLES or _is_initial(bare):
        return True
    if lower in _NUMBER_SIGNS and following[:1].isdigit():
        return True
    if language in _WITH_ORDINAL_DOT and following and _ORDINAL.fullmatch(lower):
        return True
    return following[:1].islower() and (lower in _OFTEN_INSIDE or bool(_DOTTED.fullmatch(lower)))
