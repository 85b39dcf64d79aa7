"""Which words must stay together: no line and no cue breaks inside a written word or a character.

Whisper's words are pieces of the text, in scripts without blanks single characters. Where such text may break is told
by BudouX (phrases of Japanese, Chinese and Thai) and by Unicode's grapheme clusters (graphemeu).
"""

# ruff: noqa: RUF001 - full-width punctuation and dashes are the matter here
from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from functools import cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from autorag_whisper.format.punctuation import may_begin_line
from autorag_whisper.format.text import columns, graphemes, is_unspaced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autorag_whisper.domain.transcript import Word

_HYPHENS = "-‐–—/"

_FULL_WIDTH = str.maketrans(",.!?:;()", "，。！？：；（）")
_CHINESE_PARTICLES = "的吗嗎呢吧们們"
_PUNCTUATION = frozenset("、。，．：；！？…,!?;")


class Glue(IntEnum):
    """What would be broken between two pieces of text.

    Nothing, a word as the recogniser gives it (between two phrases), or a written word or a phrase.
    """

    NONE = 0
    PIECE = 1
    WORD = 2


def pieces(words: Sequence[Word], language: str, limit: int) -> tuple[list[Word], list[Glue]]:
    """The words, and for each what would be broken before it.

    Words between which a character would be broken (a letter and its accent, an emoji of several parts) are one.
    A word of a script without blanks that reaches over several phrases is cut into them, and its time shared out;
    a phrase that is wider than `limit` columns is cut between characters.
    """
    words = _of_whole_characters(words)
    starts, text = _placed(words)
    phrases = _starts(phrases_of(text, language))
    parts: list[Word] = []
    glue: list[Glue] = []
    for word, start in zip(words, starts, strict=True):
        cuts = _cuts(word.text, start, phrases, limit)
        parts += _shared_out(word, [at - start for at in cuts])
        inner = [Glue.PIECE if at in phrases else Glue.WORD for at in cuts]
        glue += [Glue.NONE if word.space_before or not start else _between(text, start, phrases), *inner]
    return parts, glue


def phrases_of(text: str, language: str) -> list[str]:
    """`text` cut into the phrases of a language written without blanks; empty where nothing knows them.

    Punctuation ends a phrase and never begins one.
    """
    parse = _parser(_model_name(text, language))
    if parse is None:
        return []
    # The models know full-width punctuation alone.
    ends = set(accumulate(len(part) for part in parse(text.translate(_FULL_WIDTH))))
    ends |= {at for at in range(1, len(text)) if text[at - 1] in _PUNCTUATION}
    never_first = _CHINESE_PARTICLES if language in ("zh", "yue") else ""
    bounds = [at for at in sorted(ends) if at == len(text) or _may_begin(text[at], never_first)]
    return [text[first:stop] for first, stop in pairwise([0, *bounds])]


def _may_begin(character: str, never_first: str) -> bool:
    return may_begin_line(character) and character not in never_first


def _placed(words: Sequence[Word]) -> tuple[list[int], str]:
    """Where each word begins in the running text, and that text."""
    blanks = [int(word.space_before and index > 0) for index, word in enumerate(words)]
    text = "".join(" " * blank + word.text for blank, word in zip(blanks, words, strict=True))
    ends = accumulate(blank + len(word.text) for blank, word in zip(blanks, words, strict=True))
    return [end - len(word.text) for end, word in zip(ends, words, strict=True)], text


def _of_whole_characters(words: Sequence[Word]) -> list[Word]:
    starts, text = _placed(words)
    whole = _starts(graphemes(text))
    merged: list[Word] = []
    for word, start in zip(words, starts, strict=True):
        if merged and not word.space_before and start not in whole:
            former = merged[-1]
            end_s = max(former.end_s, word.end_s)
            merged[-1] = replace(former, text=former.text + word.text, end_s=end_s)
        else:
            merged.append(word)
    return merged


def _between(text: str, at: int, phrases: frozenset[int]) -> Glue:
    inside = _inside_a_word(text[at - 1], text[at]) or (bool(phrases) and at not in phrases)
    return Glue.WORD if inside else Glue.NONE


def _cuts(word: str, start: int, phrases: frozenset[int], limit: int) -> list[int]:
    """Where in the text a word that begins at `start` may be cut."""
    bounds = [0, *(at for at in range(1, len(word)) if start + at in phrases and _unspaced_at(word, at)), len(word)]
    cuts = []
    for first, stop in pairwise(bounds):
        portion, at = "", first
        for grapheme in graphemes(word[first:stop]):
            if portion and columns(portion + grapheme) > limit and _unspaced_at(word, at):
                cuts.append(start + at)
                portion = ""
            portion += grapheme
            at += len(grapheme)
        cuts.append(start + stop)
    return cuts[:-1]


def _unspaced_at(word: str, at: int) -> bool:
    """Whether both sides of a place in a word are of a script without blanks, and none of them is a blank."""
    return all(is_unspaced(side) and not side.isspace() for side in (word[at - 1], word[at]))


def _shared_out(word: Word, cuts: Sequence[int]) -> list[Word]:
    edges = [0, *cuts, len(word.text)]
    span_s = (word.end_s - word.start_s) / edges[-1]
    times = [*(word.start_s + span_s * edge for edge in edges[:-1]), word.end_s]
    return [
        replace(word, text=word.text[first:stop], start_s=start, end_s=max(start, end), space_before=blank)
        for (first, stop), (start, end), blank in zip(
            pairwise(edges), pairwise(times), [word.space_before, *[False] * len(cuts)], strict=True
        )
    ]


def _starts(parts: Sequence[str]) -> frozenset[int]:
    return frozenset(accumulate((len(part) for part in parts), initial=0)) if parts else frozenset()


def _inside_a_word(before: str, after: str) -> bool:
    """Whether two characters without a blank between them are of one written word, in a script that has blanks."""
    return not (is_unspaced(before) or is_unspaced(after)) and before not in _HYPHENS


def _model_name(text: str, language: str) -> str:
    if language in ("zh", "yue"):
        return "traditional" if _is_traditional(text) else "simplified"
    return {"ja": "japanese", "th": "thai"}.get(language, "")


def _is_traditional(text: str) -> bool:
    """Whether more characters are of the traditional set alone than of the simplified one alone."""
    kinds = [_in_charset(character, "big5") - _in_charset(character, "gb2312") for character in set(text)]
    return sum(kinds) > 0


def _in_charset(character: str, charset: str) -> bool:
    try:
        character.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


@cache
def _parser(name: str) -> Callable[[str], list[str]] | None:
    if not name:
        return None
    import budoux

    loaders = {
        "japanese": budoux.load_default_japanese_parser,
        "simplified": budoux.load_default_simplified_chinese_parser,
        "traditional": budoux.load_default_traditional_chinese_parser,
        "thai": budoux.load_default_thai_parser,
    }
    parse: Callable[[str], list[str]] = loaders[name]().parse
    return parse
