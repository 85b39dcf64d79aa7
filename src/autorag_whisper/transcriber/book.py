"""Chunks that are done, kept by somebody outside, so that a run that is begun again need not do them again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.recognition.chunk_result import ChunkResult
    from autorag_whisper.transcriber.outcome import OnSegment


@dataclass(frozen=True, slots=True)
class Finished:
    """A chunk's final result without its samples, with the bounds it had, and its file's language."""

    result: ChunkResult
    stop: int
    language: str
    language_probability: float

    @classmethod
    def of(cls, result: ChunkResult, language: str, probability: float) -> Finished:
        """What to keep of a result."""
        chunk = result.task.chunk
        nothing = np.zeros(0, np.float32)
        task = replace(result.task, chunk=replace(chunk, samples=nothing, probabilities=nothing))
        return cls(replace(result, task=task), chunk.stop, language, probability)

    def result_for(self, chunk: SpeechChunk) -> ChunkResult | None:
        """The result, if `chunk` is the one it was of; None where the file is cut differently now."""
        kept = self.result.task.chunk
        if (kept.start, self.stop, kept.speech) != (chunk.start, chunk.stop, chunk.speech):
            return None
        return replace(self.result, task=replace(self.result.task, chunk=chunk))


class ChunkBook(Protocol):
    """Who keeps them. Called by the thread that iterates the run."""

    def finished(self, file: int) -> Mapping[int, Finished]:
        """Of the run's `file`, counted from 0 in the order of its sources: chunk index -> what is done."""
        ...

    def note(self, file: int, finished: Finished) -> None:
        """A chunk is done."""
        ...


@dataclass(frozen=True, slots=True)
class Supervised:
    """What a run does for whoever may have to begin it again.

    `book` keeps chunks that are done. `linger` takes what has to wait for the batches in flight when the run ends
    early, so that the run need not: it calls that in a thread of its own. `on_segment` is told which file a segment is
    of.
    """

    book: ChunkBook
    linger: Callable[[Callable[[], None]], None]
    on_segment: OnSegment | None = None
