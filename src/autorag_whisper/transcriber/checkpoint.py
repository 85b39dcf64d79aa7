"""Checkpoints: chunks that are done, kept outside of a run, so that the next run of the file need not do them again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from autorag_whisper.domain.request import TranscribeOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.recognition.chunk_result import ChunkResult
    from autorag_whisper.transcriber.outcome import OnSegment


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A chunk's final result without its samples and options, with the bounds it had, and its file's language."""

    result: ChunkResult
    stop: int
    language: str
    language_probability: float

    @classmethod
    def of(cls, result: ChunkResult, language: str, probability: float) -> Checkpoint:
        """What to keep of a result."""
        chunk = result.task.chunk
        nothing = np.zeros(0, np.float32)
        bare = replace(chunk, samples=nothing, probabilities=nothing)
        task = replace(result.task, chunk=bare, options=TranscribeOptions())
        return cls(replace(result, task=task), chunk.stop, language, probability)

    def result_for(self, file: int, chunk: SpeechChunk, options: TranscribeOptions) -> ChunkResult | None:
        """The result, if `chunk` is the one it was of; None where the file is cut differently now.

        `file`: the file's number in the run that goes on; in the earlier one it may have had another.
        """
        kept = self.result.task.chunk
        if (kept.start, self.stop, kept.speech) != (chunk.start, chunk.stop, chunk.speech):
            return None
        return replace(self.result, task=replace(self.result.task, file=file, chunk=chunk, options=options))


class Checkpoints(Protocol):
    """Who keeps them. Called by the thread that iterates the run."""

    def done(self, file: int) -> Mapping[int, Checkpoint]:
        """Of the run's `file`, counted from 0 in the order of its sources: chunk index -> what is done."""
        ...

    def add(self, file: int, checkpoint: Checkpoint) -> None:
        """A chunk is done."""
        ...


@dataclass(frozen=True, slots=True)
class Supervised:
    """What a run does for whoever may have to begin it again.

    `checkpoints` keeps chunks that are done. `linger` takes what has to wait for the batches in flight when the run
    ends early, so that the run need not: it calls that in a thread of its own. `on_segment` is told which file a
    segment is of.
    """

    checkpoints: Checkpoints
    linger: Callable[[Callable[[], None]], None]
    on_segment: OnSegment | None = None
