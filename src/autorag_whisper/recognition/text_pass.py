"""One pass over a batch by an engine that goes from sound to text in one call: no windows, prompts, decoding steps."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.domain.language import WITHOUT_SPACES
from autorag_whisper.engines.base import Decoding, Hypothesis
from autorag_whisper.recognition.chunk_result import EngineTime, Row
from autorag_whisper.recognition.judging import Judge
from autorag_whisper.recognition.text_alignment import SpokenText, TextAlignment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.engines.text_engine import Said, TextEngine
    from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask
    from autorag_whisper.recognition.recognizer import Caller

_ONCE = Decoding(beam_size=1, temperature=0.0)
"""How its attempts are told: nothing is searched for."""


class Pieces:
    """Texts as ids of the pieces between blanks, of characters in scripts without, for an engine that tells no tokens.

    Belongs to one thread.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._ids: dict[str, int] = {}

    def encode(self, text: str, language: str) -> tuple[int, ...]:
        """The ids of a text in `language`."""
        text = " ".join(text.split())
        runs = r" ?\S" if language in WITHOUT_SPACES else r" \S+"
        return tuple(self._id(piece) for piece in re.findall(runs, text if language in WITHOUT_SPACES else f" {text}"))

    def decode(self, token_ids: Sequence[int]) -> str:
        return "".join(self._pieces[one] for one in token_ids)

    def whole(self, token_ids: Sequence[int]) -> tuple[tuple[int, int], ...]:
        return tuple((token, n) for n, token in enumerate(token_ids))

    def _id(self, piece: str) -> int:
        if piece not in self._ids:
            self._ids[piece] = len(self._pieces)
            self._pieces.append(piece)
        return self._ids[piece]


@dataclass(frozen=True, slots=True)
class _Text:
    row: Row
    said: Said


class TextPass:
    """Recognises batches of one profile by a `TextEngine`. Belongs to one thread.

    The language is given, or the only one that the engine knows. Its text is judged by the rules for all engines, with
    what it tells: where it tells no log-probability, or not whether anybody speaks, nothing is held against a text.
    """

    def __init__(self, engine: TextEngine, options: TranscribeOptions, caller: Caller) -> None:
        self._engine, self._caller = engine, caller
        self._pieces = Pieces()
        self._alignment = TextAlignment(engine.spec.device, self._pieces.decode, options, caller.ctc)
        self._judge = Judge(self._pieces)

    def recognise(self, tasks: Sequence[ChunkTask]) -> list[ChunkResult]:
        """Text, then times: one call for every language."""
        started = time.perf_counter()
        only = self._engine.spec.only_language or ""
        rows = [Row(task, task.language or only, is_last=True) for task in tasks]
        texts = [text for group in _by_language(rows) for text in self._say(group)]
        turned = time.perf_counter()
        self._align(texts)
        ended, count = time.perf_counter(), len(rows)
        share = EngineTime((turned - started) / count, (ended - turned) / count, started, turned, ended)
        return self._judge.results(rows, share)

    def _say(self, group: list[Row]) -> list[_Text]:
        self._caller.check()
        language = group[0].language
        said = self._engine.transcribe([row.task.chunk.samples for row in group], language)
        for row, one in zip(group, said, strict=True):
            ids = self._pieces.encode(one.text, language)
            hypothesis = Hypothesis(ids, one.avg_logprob or 0.0, one.no_speech_prob or 0.0, cap_hit=False)
            self._judge.judge(row, hypothesis, self._judge.attempt(hypothesis, _ONCE, 0), cap_hit=False)
            self._judge.reject(row)
        return [_Text(row, one) for row, one in zip(group, said, strict=True)]

    def _align(self, texts: list[_Text]) -> None:
        self._caller.check()
        spoken = [text for text in texts if text.row.hypothesis and text.row.hypothesis.token_ids]
        found = self._alignment.align([_spoken(text) for text in spoken])
        for text, aligned in zip(spoken, found, strict=True):
            text.row.aligned = aligned


def _spoken(text: _Text) -> SpokenText:
    assert text.row.hypothesis is not None
    return SpokenText(text.row.task.chunk, text.row.language, text.row.hypothesis, text.said.words)


def _by_language(rows: Sequence[Row]) -> list[list[Row]]:
    whole = [row for row in rows if not row.task.changes_language]
    return [
        [row for row in whole if row.language == language] for language in dict.fromkeys(row.language for row in whole)
    ]
