"""A chunk on its way through recognition: what is to be done, and what came of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from autorag_whisper.domain.request import Task, TranscribeOptions
from autorag_whisper.recognition.aligned import Aligned
from autorag_whisper.recognition.language_changes import Stretch
from autorag_whisper.recognition.windows import window_frames

if TYPE_CHECKING:
    from autorag_whisper.align.words import TimedWord
    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.transcript import Attempt
    from autorag_whisper.engines.base import Hypothesis
    from autorag_whisper.recognition.language import LanguageChoice, Piece


class AskLanguage(StrEnum):
    """What is asked about the language of a chunk whose file's is not known, or that decides for itself."""

    IF_SURE = "if_sure"
    """Its own; where that is unsure and nothing else is known, it comes back undecided."""
    LIKELIEST = "likeliest"
    """Its own, however unsure."""
    TOGETHER = "together"
    """That of all chunks of the batch, which are of one file, together."""
    NOTHING = "nothing"
    """It is settled."""


@dataclass(frozen=True, slots=True)
class ChunkTask:
    """A chunk to recognise. `file` tells the files of a run apart; `language` None is to be detected, as `ask` says.

    `full_window`: in the encoder window of 30 s, however short it is. `fallback`: it is decoded again with care, by a
    wide search and then the temperature fallback, until a text is good; it goes alone, and what comes of it is final.
    `earlier`: its attempts before that; `earlier_text`: what the last of them gave, where that may still be its text.
    `known`: languages that the file had so far. `more`: other chunks of the file can be asked for its language.
    `heard`: what its pieces sound like, once that is known. `stretches`: all of the chunk, and in which languages it
    is recognised, once that is decided. `options` are its file's.
    """

    file: int
    chunk: SpeechChunk
    language: str | None
    ask: AskLanguage = AskLanguage.IF_SURE
    full_window: bool = False
    fallback: bool = False
    earlier: tuple[Attempt, ...] = ()
    earlier_text: Hypothesis | None = None
    known: tuple[str, ...] = ()
    more: bool = False
    heard: tuple[Piece, ...] = ()
    stretches: tuple[Stretch, ...] = ()
    options: TranscribeOptions = field(default_factory=TranscribeOptions)

    def in_languages(self, stretches: tuple[Stretch, ...]) -> ChunkTask:
        """This chunk from the start, in the languages that were settled."""
        asked = replace(self, language=stretches[0].language, ask=AskLanguage.NOTHING, stretches=stretches)
        return replace(asked, full_window=False, fallback=False, earlier=(), earlier_text=None)

    def decided(self) -> ChunkTask:
        """This chunk, in the likeliest language if its own is to be detected: it does not come back undecided."""
        return self if self.is_settled else replace(self, ask=AskLanguage.LIKELIEST)

    @property
    def is_settled(self) -> bool:
        """Whether its language is, whatever its file's is."""
        return self.ask is AskLanguage.NOTHING

    @property
    def translates(self) -> bool:
        """Whether its words are those of a translation: in another order than the sounds."""
        return self.options.task is Task.TRANSLATE

    @property
    def changes_language(self) -> bool:
        """Whether it is to be recognised in parts, each in its language."""
        return len(self.stretches) > 1

    def alone(self, chunk: SpeechChunk, language: str) -> ChunkTask:
        """A part of this chunk, in one language."""
        part = ChunkTask(self.file, chunk, language, AskLanguage.NOTHING, options=self.options)
        return replace(part, stretches=part.in_one(language))

    def in_one(self, language: str) -> tuple[Stretch, ...]:
        """All of it in one language."""
        return (Stretch(language, self.chunk.start, self.chunk.stop),)

    def window(self, *, strict: bool) -> int:
        """Mel frames of its encoder window: the full one if it, the model (`strict`) or the quality wants that."""
        full = strict or self.full_window or self.options.effort.full_window
        return window_frames(len(self.chunk.samples), strict=full)


@dataclass(frozen=True, slots=True)
class EngineTime:
    """A chunk's share of the seconds in the engine, and when its batch began, turned to alignment and ended.

    The moments are those of `time.perf_counter`.
    """

    recognise_s: float = 0.0
    align_s: float = 0.0
    began: float = 0.0
    turned: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Rejection:
    """Text that was not accepted, and the documented rule (`hallucinations`, `loops`)."""

    text: str
    rule: str


@dataclass(frozen=True, slots=True)
class WordsIn:
    """So many words are of this language."""

    language: str
    words: int


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What came of a chunk. Exactly one of these holds: it needs a redo, it is undecided, or its text is final.

    `undecided`: it is the first of a file and its language is unsure: nothing was decoded. What changes its language
    (`task.changes_language`) was not decoded either, until its parts were. `spoken`: of a chunk that was done in parts
    the languages of its words, in their order, each with the number of words.
    `unsampled`: it would have been sampled, and could not be; the text is the best without.
    `hypothesis`: of what needs a redo its text as tokens, which has no words yet.
    `rejected`: what was decoded too but not accepted. `aligned` says how the times were found.
    """

    task: ChunkTask
    language: str
    text: str = ""
    words: tuple[TimedWord, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    kept: int = 0
    needs_redo: bool = False
    undecided: bool = False
    rejected: tuple[Rejection, ...] = ()
    aligned: Aligned = field(default_factory=Aligned)
    time: EngineTime = field(default_factory=EngineTime)
    spoken: tuple[WordsIn, ...] = ()
    unsampled: bool = False
    hypothesis: Hypothesis | None = None

    def again(self) -> ChunkTask:
        """Its chunk, to be decoded again with care, in the language that was found."""
        asked = replace(self.task, language=self.language, ask=AskLanguage.NOTHING, full_window=True, fallback=True)
        return replace(asked, earlier=self.attempts, earlier_text=self.hypothesis)

    @property
    def by_language(self) -> list[tuple[str, tuple[TimedWord, ...]]]:
        """Its words, in stretches of one language."""
        runs = self.spoken or (WordsIn(self.language, len(self.words)),)
        ends = itertools.accumulate(run.words for run in runs)
        return [(run.language, self.words[end - run.words : end]) for run, end in zip(runs, ends, strict=True)]

    @property
    def attempt(self) -> Attempt | None:
        """The attempt whose text this is."""
        return self.attempts[self.kept] if self.attempts else None


@dataclass(slots=True)
class Row:
    """A task on its way through the batch. `choice`: its file's language as detected, while it is not settled.

    `is_last`: no attempt follows, so that its text is final whatever fault it has.
    """

    task: ChunkTask
    language: str
    is_last: bool = False
    choice: LanguageChoice | None = None
    hypothesis: Hypothesis | None = None
    attempts: list[Attempt] = field(default_factory=list)
    kept: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    unsampled: bool = False
    aligned: Aligned = field(default_factory=Aligned)

    @property
    def is_final(self) -> bool:
        """Whether what it has now is its text."""
        return self.is_last or not self.attempts[self.kept].rejected_for
