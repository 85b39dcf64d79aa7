"""Numbers in words, by Unicode's own rules: the rule-based number formats of CLDR, for the languages that it has."""

from __future__ import annotations

import re
from threading import Lock
from typing import TYPE_CHECKING

from autorag_whisper.per_process import PerProcess

if TYPE_CHECKING:
    from unicode_rbnf import FormatPurpose, RbnfEngine

_CODES = {"tl": "fil", "jw": ""}
"""Whisper's codes that Unicode spells differently, or has nothing for."""
_YEARS_IN_PAIRS = frozenset({"en", "de", "nl", "sv", "da", "no"})
"""Languages that read 1969 as "nineteen sixty-nine"; the others read a year as any number, or digit by digit."""
_YEARS_BY_DIGIT = frozenset({"zh", "yue"})
_LARGEST = 10**15


class _Formats:
    """The library's engines, by language. It fills an engine's tables while it formats: one number at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._engines: dict[str, RbnfEngine | None] = {}

    def knows(self, language: str) -> bool:
        with self._lock:
            return self._engine(language) is not None

    def text(self, number: int, language: str, purpose: FormatPurpose) -> str | None:
        """None where the language is not known, or has no rules for this purpose."""
        with self._lock:
            engine = self._engine(language)
            try:
                return str(engine.format_number(number, purpose).text) if engine is not None else None
            except ValueError:  # "No rulesets"
                return None

    def _engine(self, language: str) -> RbnfEngine | None:
        if language not in self._engines:
            from unicode_rbnf import RbnfEngine

            code = _CODES.get(language, language)
            known = code in RbnfEngine.get_supported_languages()
            self._engines[language] = RbnfEngine.for_language(code) if known else None
        return self._engines[language]


_formats = PerProcess(_Formats)
"""A forked child's own: another thread of its parent may have been at a number, and its lock would never be free."""


def is_spelled(language: str) -> bool:
    """Whether numbers of this language can be put into words."""
    return _formats.get().knows(language)


def cardinal(number: int, language: str) -> str | None:
    """`350` as "three hundred fifty"; None where the language or the number is not known."""
    from unicode_rbnf import FormatPurpose

    return _spelled(number, language, FormatPurpose.CARDINAL)


def ordinal(number: int, language: str) -> str | None:
    """`14` as "fourteenth"; the cardinal where the language's ordinals are not known."""
    from unicode_rbnf import FormatPurpose

    return _spelled(number, language, FormatPurpose.ORDINAL) or cardinal(number, language)


def year(number: int, language: str) -> str | None:
    """`1969` as "nineteen sixty nine"."""
    from unicode_rbnf import FormatPurpose

    if language in _YEARS_BY_DIGIT:
        return by_digit(str(number), language)
    if language in _YEARS_IN_PAIRS:
        return _spelled(number, language, FormatPurpose.YEAR)
    return cardinal(number, language)


def by_digit(digits: str, language: str) -> str | None:
    """`007` as "zero zero seven"."""
    words = [cardinal(int(digit), language) for digit in digits]
    return " ".join(word for word in words if word) if all(words) else None


def _spelled(number: int, language: str, purpose: FormatPurpose) -> str | None:
    text = _formats.get().text(number, language, purpose) if 0 <= number < _LARGEST else None
    if text is None:
        return None
    # Soft hyphens and zero-width spaces say where a line may break; a hyphen joins what is spoken as two words.
    words: str = re.sub("[\u00ad\u200b]", "", text).replace("-", " ").replace("〇", "零")
    return words if not any(character.isdigit() for character in words) else None
