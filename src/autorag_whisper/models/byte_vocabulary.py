"""Whisper's vocabulary as lists of tokens in the order of their ids: read from whichever file has it, and encoded with.

A token is written in the letters that stand for bytes. In GPT-2's vocabulary, which is Whisper's, the ids of tokens are
in the order in which they were merged of two others, so that the merges can be told from the tokens alone.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

END = "<|endoftext|>"
_LISTS = ("vocabulary.json", "vocabulary.txt")
_ENGLISH_TEXT_TOKENS = 50_256


def is_multilingual(end: int) -> bool:
    """Whether a vocabulary whose end of text has this id is that of all languages.

    The English one has a text token less. How many tokens there are tells nothing: some may have been added to it.
    """
    return end > _ENGLISH_TEXT_TOKENS


def letters_of_bytes() -> list[str]:
    """The letter of each byte (`openai/gpt-2`, `encoder.py`)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(0x100)]


def read_tokens(folder: Path) -> list[str] | None:
    """All tokens in the order of their ids; None where no file has them. Raises OSError, ValueError."""
    for name in _LISTS:
        if (folder / name).is_file():
            return _listed(folder / name)
    if (folder / "tokenizer.json").is_file():
        told = _object(folder / "tokenizer.json")
        model, added = told.get("model"), told.get("added_tokens")
        known = dict(model["vocab"]) if isinstance(model, dict) and isinstance(model.get("vocab"), dict) else {}
        known |= {one["content"]: one["id"] for one in added or () if isinstance(one, dict)}
        return in_order(known)
    if (folder / "vocab.json").is_file():
        known = _object(folder / "vocab.json")
        if (folder / "added_tokens.json").is_file():
            known |= _object(folder / "added_tokens.json")
        return in_order(known)
    return None


def _listed(path: Path) -> list[str]:
    if path.suffix == ".txt":
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    tokens = json.loads(path.read_bytes())
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ValueError(f"{path.name} is no list of tokens")
    return tokens


def _object(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} is no JSON object")  # noqa: TRY004 - JSON that does not fit is a bad value
    return found


def in_order(ids: Mapping[str, int]) -> list[str]:
    """The tokens of ids that have no gap. Raises ValueError."""
    tokens = sorted(ids, key=lambda token: ids[token])
    if [ids[token] for token in tokens] != list(range(len(tokens))):
        raise ValueError("its token ids have gaps")
    return tokens


class ByteVocabulary:
    """The tokens before the end of text, those that are made of bytes."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.ids = {token: n for n, token in enumerate(tokens[: tokens.index(END)])}
        self._letters = letters_of_bytes()

    def encode(self, text: str) -> list[int]:
        """Of a text that is one word to the tokenizer."""
        parts = self._parts("".join(self._letters[byte] for byte in text.encode()), len(self.ids))
        return [self.ids[part] for part in parts]

    def merges(self) -> list[tuple[str, str]]:
        """Which two tokens each one was made of, in their order."""
        found = (self._parts(token, rank) for token, rank in self.ids.items() if len(token) > 1)
        return [(parts[0], parts[1]) for parts in found if len(parts) == 2]

    def _parts(self, token: str, below: int) -> list[str]:
        """`token` merged as far as tokens before the id `below` go."""
        parts = list(token)
        while True:
            ranks = [self.ids.get(left + right, below) for left, right in itertools.pairwise(parts)]
            best = min(ranks, default=below)
            if best >= below:
                return parts
            at = ranks.index(best)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
