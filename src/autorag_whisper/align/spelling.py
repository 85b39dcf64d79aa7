"""Spoken words as labels of a CTC vocabulary: case, accents and what the vocabulary lacks."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.align.ctc import WILDCARD
from autorag_whisper.align.text_normalization import spoken_words
from autorag_whisper.domain.alignment_errors import VocabularyUnusable
from autorag_whisper.per_process import Kept

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SEPARATORS = ("|", " ", "▁", "<space>")
_BLANKS = ("<pad>", "[PAD]", "<blank>", "<blk>", "-")
_SAME = {"\u2019": "'", "\u02bc": "'", "\u2018": "'", "`": "'"}
_SPELLED_OUT = {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
"""Letters that no decomposition takes apart, for vocabularies without them."""


@dataclass(frozen=True)
class CtcVocabulary:
    """What the columns of a checkpoint mean: characters, the blank, and the separator of words if it has one."""

    columns: Mapping[str, int]
    blank: int
    separator: int | None

    @classmethod
    def read(cls, tokens: object, blank: int | None, size: int) -> CtcVocabulary:
        """From a checkpoint's `vocab.json`, its config's `pad_token_id` (CTC's blank there), and its output columns.

        Raises VocabularyUnusable: no table of characters, columns that do not exist, or no blank.
        """
        if not isinstance(tokens, dict) or not tokens or not all(isinstance(n, int) for n in tokens.values()):
            raise VocabularyUnusable("it is no table of characters and columns")
        if min(tokens.values()) < 0 or max(tokens.values()) >= size or len(set(tokens.values())) != len(tokens):
            raise VocabularyUnusable(f"its columns are not those of the {size} that the model has")
        if blank is None:
            blank = next((tokens[name] for name in _BLANKS if name in tokens), None)
        if blank is None or not 0 <= blank < size:
            raise VocabularyUnusable("it names no blank")
        separator = next((tokens[name] for name in _SEPARATORS if name in tokens), None)
        characters = {token: n for token, n in tokens.items() if len(token) == 1 and n not in (blank, separator)}
        if not characters:
            raise VocabularyUnusable("it has no characters")
        return cls(characters, blank, separator)

    @Kept
    def _known(self) -> dict[str, tuple[int, ...]]:
        return {}

    def spell(self, word: str) -> tuple[int, ...]:
        """Labels of a spoken word; a run of sounds that the vocabulary lacks is one wildcard, marks are left out."""
        labels: list[int] = []
        for character in unicodedata.normalize("NFC", word):
            for label in self._labels(character):
                if label != WILDCARD or labels[-1:] != [WILDCARD]:
                    labels.append(label)
        return tuple(labels)

    def _labels(self, character: str) -> tuple[int, ...]:
        known = self._known
        if character not in known:
            known[character] = self._look_up(character)
        return known[character]

    def _look_up(self, character: str) -> tuple[int, ...]:
        """The character itself, in its other case, spelled otherwise, or without its accent; in that order."""
        character = _SAME.get(character, character)
        lower = character.lower()
        bare = "".join(c for c in unicodedata.normalize("NFKD", lower) if not unicodedata.combining(c))
        for spelling in (character, lower, character.upper(), character.casefold(), _SPELLED_OUT.get(lower, ""), bare):
            for way in (spelling, spelling.upper()):
                if way and all(c in self.columns for c in way):
                    return tuple(self.columns[c] for c in way)
        kind = unicodedata.category(character)[0]
        return (WILDCARD,) if kind in "LNS" or character in "%&@#§‰" else ()


@dataclass(frozen=True, slots=True)
class Spelled:
    """The labels of the spoken words of a text, and for each the number of the written word that it is part of."""

    labels: tuple[tuple[int, ...], ...]
    owners: tuple[int, ...]


def spell(words: Sequence[str], language: str, vocabulary: CtcVocabulary) -> Spelled:
    """Written words to labels. Every written word owns one spoken word at least, which may have no label."""
    labels: list[tuple[int, ...]] = []
    owners: list[int] = []
    for n, spoken in enumerate(spoken_words(words, language)):
        for word in spoken or ("",):
            labels.append(vocabulary.spell(word))
            owners.append(n)
    return Spelled(tuple(labels), tuple(owners))
