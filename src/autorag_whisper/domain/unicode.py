"""Text that can be written as UTF-8, and sent to another process: not all that callers and files bring is."""

from __future__ import annotations


def is_text(text: str) -> bool:
    """Whether it can be written: there is no half of a surrogate pair in it."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def exact(text: str) -> str:
    """The same characters as a `str` and nothing more: of an enum's member its value, of a class of a caller's own none
    of its methods. No other process knows such a class, and it may say something else where it is formatted."""
    return str.__str__(text)
