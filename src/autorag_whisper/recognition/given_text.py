"""A text that is given: nothing is recognised, its words get their times by the aligners that recognised text has.

All of it is said in the recording, or in its one clip, of `MOST_S` seconds at most: one chunk. No word is left out,
and none is judged.
"""

from __future__ import annotations

import time
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.request import Aligner
from autorag_whisper.domain.transcript import Attempt
from autorag_whisper.domain.transcript_errors import TextTooLong
from autorag_whisper.engines.base import WINDOW_FRAMES, Hypothesis
from autorag_whisper.recognition.alignment import Alignment, Spoken
from autorag_whisper.recognition.chunk_result import AskLanguage, ChunkResult, EngineTime
from autorag_whisper.recognition.quality import compression_ratio
from autorag_whisper.recognition.text_alignment import SpokenText, TextAlignment
from autorag_whisper.recognition.text_pass import Pieces
from autorag_whisper.recognition.windows import windows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.engines.base import WhisperModel
    from autorag_whisper.engines.text_engine import TextEngine
    from autorag_whisper.recognition.aligned import Aligned
    from autorag_whisper.recognition.chunk_result import ChunkTask
    from autorag_whisper.recognition.recognizer import Caller

MOST_S = 28.0
"""What one chunk surely holds."""
_LETTERS_PER_S, _SLACK_LETTERS = 40.0, 20
"""More than anybody says: the fastest speech that was measured has 30 letters a second."""
_WIDE = 3
"""Letters that a character of a script without spaces stands for."""


def check_length(text: str, duration_s: float) -> None:
    """Whether anybody can say so much in `duration_s`. Raises TextTooLong, and InvalidOption for no word at all."""
    letters = [character for character in text if character.isalnum()]
    if not letters:
        raise InvalidOption("text", text[:40], "words that are said")
    count = sum(_WIDE if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in letters)
    most = _SLACK_LETTERS + round(_LETTERS_PER_S * duration_s)
    if count > most:
        raise TextTooLong(count, duration_s, most)


class GivenTextPass:
    """A `Pass` over batches of one text each: one chunk of a file, and every file has its own text."""

    def __init__(
        self, align: Callable[[Sequence[ChunkTask], Sequence[str]], list[Aligned]], only_language: str | None
    ) -> None:
        """`align` times the text of chunks in their languages."""
        self._align, self._only = align, only_language

    def recognise(self, tasks: Sequence[ChunkTask]) -> list[ChunkResult]:
        """The words of the given text with their times. Raises InvalidOption where that is more than one chunk."""
        began = time.perf_counter()
        languages = [task.language or self._only for task in tasks]
        for task, language in zip(tasks, languages, strict=True):
            if task.chunk.index:
                raise InvalidOption("given text", task.options.given_text[:40], f"{MOST_S:g} s of audio at most")
            if language is None:
                raise InvalidOption("language", "none", "the language of the given text")
        known = [language or "" for language in languages]
        found, ended = self._align(tasks, known), time.perf_counter()
        share = EngineTime(0.0, (ended - began) / len(tasks), began, began, ended)
        return [_result(*one, share) for one in zip(tasks, known, found, strict=True)]


def _result(task: ChunkTask, language: str, aligned: Aligned, share: EngineTime) -> ChunkResult:
    text = task.options.given_text
    attempt = Attempt(0.0, 1, WINDOW_FRAMES, 0.0, compression_ratio(text), 0.0)
    task = replace(task, language=language, ask=AskLanguage.NOTHING, stretches=task.in_one(language))
    return ChunkResult(task, language, text, aligned.words, (attempt,), aligned=aligned, time=share)


def by_whisper(model: WhisperModel, options: TranscribeOptions, caller: Caller) -> GivenTextPass:
    """By the aligners of a Whisper model."""
    tokens = model.tokenizer.encode(f" {' '.join(options.given_text.split())}")
    spec, latin = model.spec, _is_latin(options.given_text)
    asked = options if latin or spec.only_language != "en" else replace(options, aligner=Aligner.NONE)
    alignment = Alignment(model, asked, caller.ctc)

    def align(tasks: Sequence[ChunkTask], languages: Sequence[str]) -> list[Aligned]:
        caller.check()
        windows = [task.window(strict=spec.strict_window) for task in tasks]
        encoded = model.encode(windows_of([task.chunk for task in tasks], windows, spec))
        caller.check()
        hypothesis = Hypothesis(tokens, 0.0, 0.0, cap_hit=False)
        spoken = [
            Spoken(n, task.chunk, language, hypothesis)
            for n, (task, language) in enumerate(zip(tasks, languages, strict=True))
        ]
        return alignment.align(encoded, spoken)

    return GivenTextPass(align, spec.only_language)


def by_text_engine(engine: TextEngine, options: TranscribeOptions, caller: Caller) -> GivenTextPass:
    """By a CTC model if that is asked for, else spread: such an engine times no text but its own."""
    pieces = Pieces()
    alignment = TextAlignment(engine.spec.device, pieces.decode, options, caller.ctc)

    def align(tasks: Sequence[ChunkTask], languages: Sequence[str]) -> list[Aligned]:
        caller.check()
        spoken = [
            SpokenText(
                task.chunk, language, Hypothesis(pieces.encode(options.given_text, language), 0.0, 0.0, cap_hit=False)
            )
            for task, language in zip(tasks, languages, strict=True)
        ]
        return alignment.align(spoken)

    return GivenTextPass(align, engine.spec.only_language)


def _is_latin(text: str) -> bool:
    """Whether most letters are: an English-only model has heard no others."""
    letters = [character for character in text if character.isalpha()]
    return 2 * sum("LATIN" in unicodedata.name(letter, "") for letter in letters) >= len(letters)
