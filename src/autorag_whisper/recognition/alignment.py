"""The words of recognised chunks with their times: the engine's alignment, or interpolation where that fails."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.words import Place, TimedWord, words_from_path, words_interpolated
from autorag_whisper.audio.features import frame_count
from autorag_whisper.domain.audio import SpeechChunk, seconds
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.engines.base import ENCODER_FRAME_S, WINDOW_FRAMES, Hypothesis, TokenTimes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.engines.base import Encoded, Recognizer

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A chunk whose text is final and not empty. `row` is its row in the batch's encoder output."""

    row: int
    chunk: SpeechChunk
    language: str
    hypothesis: Hypothesis

    @property
    def place(self) -> Place:
        """Where it was said."""
        speech = tuple((seconds(span.start), seconds(span.stop)) for span in self.chunk.speech)
        return Place(self.chunk.start_s, seconds(self.chunk.stop), speech)


@dataclass(frozen=True, slots=True)
class Aligned:
    """The words of a chunk. `failed` says what went wrong with the aligner, "" if nothing did."""

    words: tuple[TimedWord, ...]
    failed: str = ""


class Alignment:
    """Times words on one recogniser, under one set of options. Thread-safe: it keeps nothing."""

    def __init__(self, recognizer: Recognizer, options: TranscribeOptions) -> None:
        self._engine, self._options = recognizer, options

    def align(self, encoded: Encoded, spoken: Sequence[Spoken]) -> list[Aligned]:
        """The words of every chunk, one engine call for each language. Raises DeviceError alone of the engine's errors.

        `encoded`: the encoder output of the batch in which `spoken` have their rows.
        """
        done: dict[int, Aligned] = {}
        for language in dict.fromkeys(one.language for one in spoken):
            group = [one for one in spoken if one.language == language]
            rows = self._engine.select(encoded, [one.row for one in group])
            done |= {one.row: aligned for one, aligned in zip(group, self._group(rows, group, language), strict=True)}
        return [done[one.row] for one in spoken]

    def _group(self, encoded: Encoded, group: list[Spoken], language: str) -> list[Aligned]:
        tokens = [one.hypothesis.token_ids for one in group]
        frames = [min(WINDOW_FRAMES, frame_count(len(one.chunk.samples))) for one in group]
        start = self._engine.tokenizer.start_sequence(language, self._options.task)
        try:
            found = self._engine.align(encoded, start, tokens, frames)
        except EngineError as error:
            _log.warning("alignment failed, word times are interpolated: %s", error.problem())
            return [Aligned(self._interpolated(one), error.problem()) for one in group]
        return [Aligned(self._by_tokens(one, times)) for one, times in zip(group, found, strict=True)]

    def _by_tokens(self, one: Spoken, times: TokenTimes) -> tuple[TimedWord, ...]:
        ids = one.hypothesis.token_ids
        path = np.zeros((2, len(ids) + 1))
        path[0] = one.chunk.start_s + times.starts * ENCODER_FRAME_S
        path[1, :-1] = times.probabilities
        return tuple(words_from_path(ids, self._engine.tokenizer.decode, one.language, path, one.place))

    def _interpolated(self, one: Spoken) -> tuple[TimedWord, ...]:
        ids, probability = one.hypothesis.token_ids, float(np.exp(one.hypothesis.avg_logprob))
        return tuple(words_interpolated(ids, self._engine.tokenizer.decode, one.language, probability, one.place))
