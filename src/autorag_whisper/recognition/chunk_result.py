"""A chunk on its way through recognition: what is to be done, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from autorag_whisper.recognition.alignment import Aligned
from autorag_whisper.recognition.windows import window_frames

if TYPE_CHECKING:
    from autorag_whisper.align.words import TimedWord
    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.transcript import Attempt
    from autorag_whisper.engines.base import Hypothesis


@dataclass(frozen=True, slots=True)
class ChunkTask:
    """A chunk to recognise. `file` tells the files of a run apart; `language` None is to be detected."""

    file: int
    chunk: SpeechChunk
    language: str | None
    redo: bool = False
    earlier: tuple[Attempt, ...] = ()

    def again(self, language: str, attempts: tuple[Attempt, ...]) -> ChunkTask:
        """This chunk, to be redone with care."""
        return replace(self, language=language, redo=True, earlier=attempts)

    def window(self, *, strict: bool) -> int:
        """Mel frames of its encoder window; a redo has the full one."""
        return window_frames(len(self.chunk.samples), strict=strict or self.redo)


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
    """Text that was not accepted, and the documented rule (`phantoms`, `loops`)."""

    text: str
    rule: str


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What came of a chunk. Exactly one of these holds: it needs a redo, it is undecided, or its text is final.

    `undecided`: it is the first of a file and its language is unsure: nothing was decoded.
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

    @property
    def attempt(self) -> Attempt | None:
        """The attempt whose text this is."""
        return self.attempts[self.kept] if self.attempts else None


@dataclass(slots=True)
class Row:
    """A task on its way through the batch."""

    task: ChunkTask
    language: str
    hypothesis: Hypothesis | None = None
    attempts: list[Attempt] = field(default_factory=list)
    kept: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    aligned: Aligned = field(default_factory=Aligned)
