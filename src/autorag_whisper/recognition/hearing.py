"""Languages heard on a batch's encoder output: of whole chunks, and of pieces of 5 s."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.domain.errors import EngineError
from autorag_whisper.recognition.aligner_fallback import told
from autorag_whisper.recognition.chunk_result import AskLanguage
from autorag_whisper.recognition.language import PIECE_FRAMES, PIECE_STEP, choose, piece_frames, pieces_of
from autorag_whisper.recognition.language_changes import Speaking, follow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.engines.base import Encoded, WhisperModel
    from autorag_whisper.recognition.chunk_result import ChunkTask
    from autorag_whisper.recognition.language import LanguageChoice, Piece
    from autorag_whisper.recognition.language_changes import Stretch

_log = logging.getLogger(__name__)


def follows(options: TranscribeOptions) -> bool:
    """Whether a file's language is found, and looked for again where it changes.

    With `code_switching` every chunk decides for itself instead.
    """
    return options.language is None and not options.code_switching


def language_by_itself(task: ChunkTask, choice: LanguageChoice) -> str:
    """The language of a chunk that was asked alone; "" where it stays undecided."""
    if task.language is not None:
        return choice.code if choice.is_sure() else task.language
    if task.ask is AskLanguage.IF_SURE and not choice.is_sure(more=task.more):
        return ""
    return choice.code


def language_together(task: ChunkTask, own: LanguageChoice, choice: LanguageChoice) -> str:
    """The language of a chunk of several that made a `choice` together."""
    return own.code if task.options.code_switching and own.is_sure() else choice.code


class Hearing:
    """Hears on one recogniser, batches of one profile. Thread-safe: it keeps nothing."""

    def __init__(self, recognizer: WhisperModel, options: TranscribeOptions) -> None:
        self._engine, self._options = recognizer, options

    def choices(self, encoded: Encoded, tasks: Sequence[ChunkTask]) -> list[LanguageChoice | None]:
        """For each row its detected language, None where it is known already."""
        asked = [n for n, task in enumerate(tasks) if self.asks(task)]
        if not asked:
            return [None] * len(tasks)
        found = self._engine.detect_languages(self._engine.select(encoded, asked))
        choices = {n: self.choice([vote], tasks[n]) for n, vote in zip(asked, found, strict=True)}
        return [choices.get(n) for n in range(len(tasks))]

    def asks(self, task: ChunkTask) -> bool:
        """Whether its language is to be detected."""
        return task.language is None or (self._options.code_switching and not task.is_settled)

    def choice(self, votes: Sequence[dict[str, float]], task: ChunkTask) -> LanguageChoice:
        """Of the languages that are allowed for the file of `task`."""
        return choose(votes, task.options.allowed_languages)

    def stretches(self, task: ChunkTask, language: str, heard: Sequence[Piece]) -> tuple[Stretch, ...]:
        """In which languages a chunk is recognised whose file speaks `language`."""
        if not follows(task.options):
            heard = ()
        return follow(Speaking.begin(language, task.known), task.chunk, heard)[1]

    def pieces(self, encoded: Encoded, tasks: Sequence[ChunkTask]) -> list[tuple[Piece, ...]]:
        """For each row what its chunk sounds like; what is known of it already, and nothing where only one is spoken.

        One call for all of them: together they take what 15 s of a single row do (`PIECE_STEP`).
        """
        found = [task.heard for task in tasks]
        rows = [n for n, task in enumerate(tasks) if not (task.heard or task.stretches)]
        if not rows or not self._engine.spec.multilingual:
            return found
        firsts = {n: piece_frames(tasks[n].chunk) for n in rows}
        places = [(n, first) for n in rows for first in firsts[n]]
        try:
            heard = self._engine.detect_languages(self._engine.excerpts(encoded, places, PIECE_FRAMES, PIECE_STEP))
        except EngineError as error:  # it is not needed for a text
            _log.warning("languages of chunks could not be heard, they have their file's: %s", told(error))
            return found
        ends = np.cumsum([len(firsts[n]) for n in rows])
        for n, end in zip(rows, ends, strict=True):
            votes = heard[end - len(firsts[n]) : end]
            found[n] = pieces_of(tasks[n].chunk, firsts[n], votes, tasks[n].options.allowed_languages)
        return found
