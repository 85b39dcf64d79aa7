"""Errors in a transcript, counted as whisper's authors count them: normalised, then words against words."""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass
from functools import cache
from typing import TYPE_CHECKING

import jiwer

from autorag_whisper.domain.language import CHINESE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BY_CHARACTER = frozenset({"zh", "ja", "yue", "ko", "th", "lo", "my", "km"})
"""Written without blanks (or with them anywhere): errors are counted in characters."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Words (or characters) of the reference, and how many of them were changed, lost, and added."""

    words: float = 0
    substitutions: float = 0
    deletions: float = 0
    insertions: float = 0

    @property
    def all(self) -> float:
        """Every error."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """The word error rate in percent; 0 where there is no reference."""
        return 100 * self.all / self.words if self.words else 0.0


def mean(counts: Iterable[Errors]) -> Errors:
    """The mean of several counts of one file."""
    rows = [astuple(errors) for errors in counts]
    return Errors(*(sum(column) / len(rows) for column in zip(*rows, strict=True)))


def count_errors(reference: str, heard: str, language: str) -> Errors:
    """Compare what was heard with the reference, "" where nobody speaks."""
    expected, got = normalise(reference, language), normalise(heard, language)
    if not expected:
        return Errors(insertions=len(got.split()))
    if not got:
        return Errors(len(expected.split()), deletions=len(expected.split()))
    found = jiwer.process_words(expected, got)
    return Errors(len(expected.split()), found.substitutions, found.deletions, found.insertions)


def normalise(text: str, language: str) -> str:
    """Small letters, no punctuation, English spelling and numbers made one; numbers said in pieces are joined.

    Chinese is simplified: which characters a model writes is by chance, and no error in what it heard.
    """
    if language in CHINESE:
        text = _simplifier()(text)
    if language in BY_CHARACTER:
        return " ".join(_normaliser("characters")(text).split())
    spoken = _normaliser("english" if language == "en" else "basic")(text)
    return " ".join(re.sub(r"(?<=\d)[ ,](?=\d)", "", spoken).split())


@cache
def _simplifier() -> Callable[[str], str]:
    from opencc import OpenCC

    convert: Callable[[str], str] = OpenCC("t2s").convert
    return convert


@cache
def _normaliser(kind: str) -> Callable[[str], str]:
    from whisper_normalizer.basic import BasicTextNormalizer
    from whisper_normalizer.english import EnglishTextNormalizer

    if kind == "english":
        return EnglishTextNormalizer()
    return BasicTextNormalizer(split_letters=kind == "characters")
