"""One batch of chunks through an engine that decodes by rules of its own: its text is judged, not redone."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from autorag_whisper.engines.base import Decoding, WhisperPipeline, Wording
from autorag_whisper.recognition.chunk_result import EngineTime
from autorag_whisper.recognition.recognise import Recognition
from autorag_whisper.recognition.windows import token_cap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.engines.base import Encoded, WhisperModel
    from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask, Row
    from autorag_whisper.recognition.language import LanguageChoice


class PipelineRecognition(Recognition):
    """As `Recognition`, over a `WhisperPipeline`.

    Language, phantom text and alignment are the house's. There is no temperature fallback: the engine takes a text's
    tokens as they come, so every chunk counts as redone after its first attempt.
    """

    def batch(self, tasks: Sequence[ChunkTask], *, may_be_undecided: bool = True) -> list[ChunkResult]:
        started = time.perf_counter()
        asked = [task for task in tasks if self._hearing.asks(task)]
        choices = self._hearing.choices(self._encode(asked), asked) if asked else []
        found = dict(zip(map(id, asked), choices, strict=True))
        rows = [self._row(task, found.get(id(task)), may_be_undecided=may_be_undecided) for task in tasks]
        return self._recognise([row for row in rows if row.language], rows, started)

    def _has_rivals(self, choice: LanguageChoice) -> bool:  # noqa: ARG002 - whatever it is
        """Its texts do not compete: the detected language is the file's."""
        return False

    def _decode(self, encoded: Encoded, decided: list[Row], rows: list[Row], started: float) -> list[ChunkResult]:  # noqa: ARG002 - the engine encodes for itself
        return self._recognise(decided, rows, started)

    def _recognise(self, decided: list[Row], rows: list[Row], started: float) -> list[ChunkResult]:
        """Text, then times: one call for every language, as the engine speaks one at a time."""
        said = []
        whole = [row for row in decided if not row.task.changes_language]
        for language in dict.fromkeys(row.language for row in whole):
            group = [row for row in whole if row.language == language]
            encoded = self._say(group, language)
            self._note_languages(encoded, group)
            said.append((encoded, group))
        turned = time.perf_counter()
        for encoded, group in said:
            self._align(encoded, group)
        ended, count = time.perf_counter(), len(rows)
        share = EngineTime((turned - started) / count, (ended - turned) / count, started, turned, ended)
        return self._results(rows, share)

    def _note_languages(self, encoded: Encoded, rows: list[Row]) -> None:
        """What they sound like is known when they are decoded: whoever has the whole file asks again if it differs."""
        for row, heard in zip(rows, self._hearing.pieces(encoded, [row.task for row in rows]), strict=True):
            row.task = replace(row.task, heard=heard, stretches=row.task.in_one(row.language))

    def _say(self, group: list[Row], language: str) -> Encoded:
        self._check()
        options = self._options
        beam_size = options.effort.beam_size
        wording = Wording(
            language, options.task.value, beam_size, options.initial_prompt, options.hotwords, options.search
        )
        assert isinstance(self._engine, WhisperPipeline)
        encoded, hypotheses = self._engine.recognise([row.task.chunk.samples for row in group], wording)
        for row, hypothesis in zip(group, hypotheses, strict=True):
            row.task = replace(row.task, redo=True)
            self._judge(row, hypothesis, Decoding(beam_size, 0.0, token_cap(len(row.task.chunk.samples), row.language)))
            self._reject(row)
        return encoded


def recognition_for(recognizer: WhisperModel) -> type[Recognition]:
    """The recognition that suits an engine."""
    return PipelineRecognition if isinstance(recognizer, WhisperPipeline) else Recognition
