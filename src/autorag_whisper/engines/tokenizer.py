"""Whisper's tokenizer, read from a model folder's `tokenizer.json` by the `tokenizers` library."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import ModelDamaged
from autorag_whisper.domain.language import LANGUAGES
from autorag_whisper.engines.whole_characters import byte_of_letter, whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import tokenizers

_MAX_PREVIOUS = 223
"""Half of the decoder's context less the token that opens it (`openai/whisper`, `decoding.py`)."""
_FILE = "tokenizer.json"
_MARKS = re.compile(r"(?<=<)(?=\|)")
"""Between the first two characters of the name of each of Whisper's own tokens."""
_TIMESTAMPS, _PADDING = 1501, 8
"""Tokens of moments, 0.00 to 30.00 s; and to a multiple of what the vocabulary may be filled up."""


def read_tokenizer(folder: Path) -> tokenizers.Tokenizer:
    """The file of 2 MB, parsed in 0.1 s. Raises ModelDamaged where it cannot be read."""
    import tokenizers

    try:
        return tokenizers.Tokenizer.from_file(str(folder / _FILE))
    except Exception as error:
        raise ModelDamaged(folder.name, _FILE, "cannot be read") from error


class WhisperTokenizer:
    """Token ids of one model."""

    def __init__(self, folder: Path, tokenizer: tokenizers.Tokenizer, *, multilingual: bool) -> None:
        """`tokenizer`: what was read in `folder`. Raises ModelDamaged where it lacks Whisper's own tokens."""
        self._folder, self._tokenizer, self._multilingual = folder, tokenizer, multilingual
        self._start = self._special("<|startoftranscript|>")
        self._previous = self._special("<|startofprev|>")
        self._no_timestamps = self._special("<|notimestamps|>")
        self.end = self._special("<|endoftext|>")
        self._letters = byte_of_letter()
        self._written = {byte: letter for letter, byte in self._letters.items()}

    def _special(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ModelDamaged(self._folder.name, _FILE, f"lacks the token {token}")
        return found

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return int(self._tokenizer.get_vocab_size())

    @property
    def languages(self) -> frozenset[str]:
        """The codes that this model has a token for."""
        return frozenset(code for code in LANGUAGES if self._tokenizer.token_to_id(f"<|{code}|>") is not None)

    @property
    def special_tokens(self) -> tuple[int, int, int, int]:
        """Start of transcript, end of text, no speech, no timestamps; of a model without the third, its end of text."""
        names = ("<|nospeech|>", "<|nocaptions|>")
        silent = next((found for name in names if (found := self._tokenizer.token_to_id(name)) is not None), self.end)
        return self._start, self.end, silent, self._no_timestamps

    def require_vocabulary(self, model: str, tokens: int) -> None:
        """See that weights which know so many tokens are of its model: with another's all text would be wrong.

        A vocabulary ends with the timestamps, which follow the token for none, or with what somebody has added to both;
        it may be padded to a multiple of 8. Raises ModelDamaged.
        """
        least = self._no_timestamps + 1 + _TIMESTAMPS
        known = {least, self._tokenizer.get_vocab_size()}
        if tokens < least or (tokens not in known and tokens % _PADDING):
            reason = f"is of another model: it is for {least:,} tokens, the weights have {tokens:,}"
            raise ModelDamaged(model, _FILE, reason)

    def language_token(self, code: str) -> int:
        """The token of a language that it has; of a model without such tokens, the start of transcript."""
        return self._special(f"<|{code}|>") if self._multilingual else self._start

    def prompt(self, language: str, task: str, previous: str = "", hotwords: str = "") -> tuple[int, ...]:
        said = " ".join(filter(None, (previous.strip(), hotwords.strip())))
        before = (self._previous, *self.encode(f" {said}")[-_MAX_PREVIOUS:]) if said else ()
        return (*before, *self.start_sequence(language, task), self._no_timestamps)

    def start_sequence(self, language: str, task: str) -> tuple[int, ...]:
        if not self._multilingual:
            return (self._start,)
        return (self._start, self._special(f"<|{language}|>"), self._special(f"<|{task}|>"))

    def encode(self, text: str) -> tuple[int, ...]:
        ids = self._ids(text)
        if max(ids, default=0) < self.end:
            return tuple(ids)
        # The library finds tokens such as <|endoftext|> by their names; taken apart, the name is text like any other.
        return tuple(token for part in _MARKS.split(text) for token in self._ids(part))

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def whole(self, token_ids: Sequence[int]) -> tuple[tuple[int, int], ...]:
        letters = self._letters
        places = [n for n, token in enumerate(token_ids) if token < self.end]  # not those of languages and tasks
        texts = [self._tokenizer.id_to_token(token_ids[n]) for n in places]
        pieces = [bytes(letters[c] for c in text) if text and letters.keys() >= set(text) else b"" for text in texts]
        found = whole(pieces, self._of_bytes)
        if found is None:
            return tuple((token_ids[n], n) for n in places)
        return tuple((token_ids[places[n]] if token is None else token, places[n]) for token, n in found)

    def _of_bytes(self, data: bytes) -> list[int]:
        """Bytes as one token if there is such a one, else one by one: the vocabulary has every byte."""
        told = [self._written[byte] for byte in data]
        one = self._tokenizer.token_to_id("".join(told))
        singles = [self._tokenizer.token_to_id(letter) for letter in told]
        return [one] if one is not None else [token for token in singles if token is not None]

    def decode(self, token_ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode([token for token in token_ids if token < self.end]))
