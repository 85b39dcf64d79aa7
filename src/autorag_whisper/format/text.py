"""Characters that no file format survives, and how wide the others are."""

from __future__ import annotations

import re
import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_LINE_BREAKERS = re.compile("[\t-\r\x1c-\x1f\x85\u2028\u2029]")
"""What `str.splitlines` or a parser takes for the end of a line or a field."""

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufdd0-\ufdef"
    + "".join(chr(plane + last) for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF))
    + "]"
)
"""Control characters and Unicode's noncharacters; the latter are ours to use as placeholders."""


_UNSPACED = re.compile(
    # Thai, Lao, Myanmar, Khmer; kana; Han with its marks and full-width punctuation
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff9f"
    "\U00020000-\U0003ffff]"
)


def is_unspaced(character: str) -> bool:
    """Whether `character` is of a script that is written without blanks between words."""
    return _UNSPACED.match(character) is not None


def encodable(text: str) -> str:
    """`text` without lone surrogates: a pair becomes its character, a lone one U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def one_line(text: str) -> str:
    """`text` for a line of a text file: blanks for line breaks and tabs, U+FFFD for what cannot be printed."""
    return _UNPRINTABLE.sub(REPLACEMENT, _LINE_BREAKERS.sub(" ", encodable(text))).strip()


def columns(text: str) -> int:
    """The width of `text` on a screen in narrow characters: 2 for a full-width one or an emoji, 0 for a mark."""
    return len(text) if text.isascii() else sum(map(_character_columns, text))


def _character_columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def graphemes(text: str) -> list[str]:
    """`text` as the characters that a reader sees: letters with their marks, whole emoji, flags, syllables."""
    if text.isascii():
        return list(text)
    import grapheme

    return list(grapheme.graphemes(text))
