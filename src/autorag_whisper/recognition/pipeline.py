"""One pass over a batch by a pipeline that decodes by rules of its own: its text is judged, not redone."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from autorag_whisper.engines.base import WINDOW_FRAMES, Decoding, Wording
from autorag_whisper.recognition.alignment import Alignment, Spoken
from autorag_whisper.recognition.chunk_result import AskLanguage, EngineTime, Row
from autorag_whisper.recognition.hearing import Hearing, language_by_itself, language_together
from autorag_whisper.recognition.judging import Judge
from autorag_whisper.recognition.search import TextSearch
from autorag_whisper.recognition.windows import features_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.engines.base import Encoded, WhisperPipeline
    from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask
    from autorag_whisper.recognition.recognizer import Caller


class PipelinePass:
    """Recognises batches of one profile by a `WhisperPipeline`. Thread-safe: it keeps nothing.

    Language, rejection of hallucinated text, and alignment are this package's. There is no temperature fallback: the
    engine takes a text's tokens as they come, and its first text of a chunk is the last. The detected language is the
    file's; texts in other languages do not compete with it.
    """

    def __init__(self, engine: WhisperPipeline, options: TranscribeOptions, caller: Caller) -> None:
        self._engine, self._options, self._caller = engine, options, caller
        self._hearing, self._search = Hearing(engine, options), TextSearch(engine, options)
        self._alignment = Alignment(engine, options, caller.ctc)
        self._judge = Judge(engine.tokenizer)

    def recognise(self, tasks: Sequence[ChunkTask]) -> list[ChunkResult]:
        """Text, then times: one call for every language, as the engine speaks one at a time."""
        started = time.perf_counter()
        rows, said = self._rows(tasks), list[tuple["Encoded", list[Row]]]()
        whole = [row for row in rows if row.language and not row.task.changes_language]
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
        return self._judge.results(rows, share)

    def _rows(self, tasks: Sequence[ChunkTask]) -> list[Row]:
        """A row for each chunk, in the language that it is found to be in; those that are asked are encoded for it."""
        asked = [n for n, task in enumerate(tasks) if self._hearing.asks(task)]
        languages = [task.language or "" for task in tasks]
        if asked:
            votes = self._votes([tasks[n] for n in asked])
            together = tasks[0].ask is AskLanguage.TOGETHER
            choice = self._hearing.choice(votes, tasks[asked[0]])
            if together:
                self._caller.on_language(tasks[0].file, choice)
            for n, vote in zip(asked, votes, strict=True):
                own = self._hearing.choice([vote], tasks[n])
                languages[n] = (
                    language_together(tasks[n], own, choice) if together else language_by_itself(tasks[n], own)
                )
                if not together and tasks[n].language is None and languages[n]:
                    self._caller.on_language(tasks[n].file, own)
        return [Row(task, language, is_last=True) for task, language in zip(tasks, languages, strict=True)]

    def _votes(self, tasks: Sequence[ChunkTask]) -> list[dict[str, float]]:
        self._caller.check()
        features = features_of([task.chunk for task in tasks], self._engine.spec.n_mels, WINDOW_FRAMES)
        return self._engine.detect_languages(self._engine.encode(features))

    def _note_languages(self, encoded: Encoded, rows: list[Row]) -> None:
        """What they sound like is known when they are decoded: whoever has the whole file asks again if it differs."""
        for row, heard in zip(rows, self._hearing.pieces(encoded, [row.task for row in rows]), strict=True):
            row.task = replace(row.task, heard=heard, stretches=row.task.in_one(row.language))

    def _say(self, group: list[Row], language: str) -> Encoded:
        self._caller.check()
        options = self._options
        beam_size = options.effort.beam_size  # as the pipeline has it by itself, in every language
        wording = Wording(
            language, options.task.value, beam_size, options.initial_prompt, options.hotwords, options.search
        )
        encoded, hypotheses = self._engine.recognise([row.task.chunk.samples for row in group], wording)
        for row, hypothesis in zip(group, hypotheses, strict=True):
            decoding = Decoding(beam_size, 0.0, self._search.cap(row.task.chunk, row.language))
            attempt = self._judge.attempt(hypothesis, decoding, WINDOW_FRAMES)
            cap_hit = self._search.is_cut(hypothesis, row.task.chunk, row.language)
            self._judge.judge(row, hypothesis, attempt, cap_hit=cap_hit)
            self._judge.reject(row)
        return encoded

    def _align(self, encoded: Encoded, rows: list[Row]) -> None:
        """Time the words of every row that has some."""
        self._caller.check()
        spoken = [
            Spoken(n, row.task.chunk, row.language, row.hypothesis)
            for n, row in enumerate(rows)
            if row.hypothesis and row.hypothesis.token_ids
        ]
        for one, aligned in zip(spoken, self._alignment.align(encoded, spoken), strict=True):
            rows[one.row].aligned = aligned
