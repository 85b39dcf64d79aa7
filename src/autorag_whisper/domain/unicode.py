"""Text that can be written as UTF-8: JSON, names of files and odd encodings bring what cannot."""

from __future__ import annotations


def is_text(text: str) -> bool:
    """Whether it can be written: there is no half of a surrogate pair in it."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)
