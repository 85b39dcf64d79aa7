"""The words of a chunk with their times, and by which aligner they were found."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from autorag_whisper.domain.transcript import WordSource

if TYPE_CHECKING:
    from autorag_whisper.align.words import TimedWord
    from autorag_whisper.domain.transcript import Unspoken

_WAYS = (WordSource.CTC, WordSource.CHARACTERS, WordSource.TOKENS, WordSource.INTERPOLATED)
"""The aligner fallback, from the best down."""


class LettersBy(StrEnum):
    """Who finds letters: a classifier of the encoder's output, or the decoder by the attention of a few heads."""

    CLASSIFIER = "classifier"
    ATTENTION = "attention"


@dataclass(frozen=True, slots=True)
class Aligned:
    """The words of a chunk, and how their times were found; `wanted` is the way that was to be taken.

    A chunk without words has neither. `letters`: who found them, if anyone did; `classifier_failed`: who would have had
    to. `unspoken`: what else the classifier heard. `unheard`: words that say the same again and that it did not hear,
    which `words` does not have.
    """

    words: tuple[TimedWord, ...] = ()
    wanted: WordSource | None = None
    source: WordSource | None = None
    letters: LettersBy | None = None
    classifier_failed: bool = False
    unspoken: tuple[Unspoken, ...] = ()
    unheard: str = ""

    @property
    def texts(self) -> list[str]:
        """The words alone."""
        return [timed.word.text for timed in self.words]

    @property
    def fallbacks(self) -> tuple[tuple[StrEnum, StrEnum], ...]:
        """The steps of the aligner fallback that were taken: from, to."""
        if self.wanted is None or self.source is None:
            return ()
        ways = _WAYS[_WAYS.index(self.wanted) : _WAYS.index(self.source) + 1]
        steps: list[tuple[StrEnum, StrEnum]] = list(itertools.pairwise(ways))
        if self.classifier_failed and self.letters is LettersBy.ATTENTION:
            steps.append((LettersBy.CLASSIFIER, LettersBy.ATTENTION))
        return tuple(steps)
