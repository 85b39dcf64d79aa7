"""Tokens of bytes as tokens of text: what makes no character is taken out, and of a token the rest of it stays.

Whisper's tokens are runs of bytes, which the search may leave in the midst of a character, at the end of a text or
before another token. Those bytes are no text (a reader would see U+FFFD), no more than U+FFFD itself or a control
character, which the vocabulary has too.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def byte_of_letter() -> dict[str, int]:
    """The letters by which GPT-2's vocabulary, and Whisper's, write bytes (`openai/gpt-2`, `encoder.py`)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


def whole(
    pieces: Sequence[bytes], tokens_of: Callable[[bytes], Sequence[int]]
) -> tuple[tuple[int | None, int], ...] | None:
    """What is left of a text's tokens, given by their bytes: (token, the place of the one that it is or was part of).

    None as token: the one at that place, unchanged. `tokens_of`: any bytes as tokens. None if nothing has to be done.
    """
    data = b"".join(pieces)
    good = list(range(len(data)))
    while bad := _no_text(bytes(data[n] for n in good)):  # what is then side by side may make no character either
        good = [at for n, at in enumerate(good) if n not in bad]
    if len(good) == len(data):
        return None
    is_good = set(good)
    found: list[tuple[int | None, int]] = []
    at = 0
    for place, piece in enumerate(pieces):
        after = bytes(byte for n, byte in enumerate(piece, at) if n in is_good)
        at += len(piece)
        if after == piece:
            found.append((None, place))
        elif after:
            found.extend((token, place) for token in tokens_of(after))
    return tuple(found)


def _no_text(data: bytes) -> set[int]:
    """The offsets of the bytes that make no character that can be shown."""
    found: set[int] = set()
    at = 0
    for character in data.decode("utf-8", errors="surrogateescape"):
        size = 1 if "\udc80" <= character <= "\udcff" else len(character.encode())
        if "\udc80" <= character <= "\udcff" or _is_no_text(character):
            found.update(range(at, at + size))
        at += size
    return found


def _is_no_text(character: str) -> bool:
    return character == "\ufffd" or (unicodedata.category(character) == "Cc" and character not in "\t\n\r")
