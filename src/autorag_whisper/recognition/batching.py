"""Which chunks go through the engine together: a pool in the order of the audio, and batches of one window from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from autorag_whisper.engines.base import WINDOW_FRAMES
from autorag_whisper.recognition.chunk_result import ChunkTask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.engines.base import RecognizerSpec


MOST_PASSED_OVER = 3
"""Batches that may go before the oldest chunk: segments come in order, and its own are waited for."""


@dataclass(frozen=True, slots=True)
class Batch:
    """How many chunks go together: `size` of the full window and, if it `stretches`, more of shorter ones."""

    size: int
    stretches: bool

    def of(self, window: int) -> int:
        """Chunks of this window: what they take of the engine's memory is in proportion to it."""
        return self.size * WINDOW_FRAMES // window if self.stretches else self.size


def batch_of(spec: RecognizerSpec, options: TranscribeOptions, limit: int | None = None) -> Batch:
    """As large as was asked for, or as the device takes; `limit` chunks of any window where more did not fit."""
    size = options.batch_size or spec.batch_size
    if limit is not None:
        return Batch(min(size, limit), stretches=False)
    return Batch(size, stretches=options.batch_size is None)


@dataclass(slots=True)
class Pool:
    """Chunks that wait, oldest first, also of several files. Belongs to one thread."""

    strict_window: bool
    batch: Batch
    waiting: list[ChunkTask] = field(default_factory=list)
    languages: dict[int, str] = field(default_factory=dict)
    known: dict[int, tuple[str, ...]] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    passed_over: int = 0

    @property
    def seconds(self) -> float:
        """Audio that waits."""
        return sum(task.chunk.duration_s for task in self.waiting)

    def add(self, file: int, chunk: SpeechChunk, *, more: bool = False) -> None:
        """A new chunk of `file`, its latest; `more`: others will follow."""
        self.waiting.append(ChunkTask(file, chunk, None, more=more))

    def put_back(self, tasks: list[ChunkTask], *, undecided: bool = False) -> None:
        """Chunks that have to be done again, in front; the language of an `undecided` one is not asked for again."""
        if not undecided:
            self.asked -= {task.file for task in tasks if task.chunk.index == 0}
        self.waiting[:0] = tasks

    def drop(self, file: int) -> None:
        """Forget what waits of `file`."""
        self.waiting = [task for task in self.waiting if task.file != file]

    def decide(self, file: int, language: str, known: Iterable[str] = ()) -> None:
        """From now on all of `file` may be recognised, which speaks `language` now, and spoke others before."""
        self.languages[file], self.known[file] = language, tuple(sorted({language, *known}))

    def eligible(self) -> list[ChunkTask]:
        """What may be recognised now: of a file of unknown language only its first chunk, and that once."""
        return [
            replace(task, language=self.languages.get(task.file), known=self.known.get(task.file, ()))
            for task in self.waiting
            if task.file in self.languages or (task.chunk.index == 0 and task.file not in self.asked)
        ]

    def next_batch(self, *, full: bool = False, share: int = 1) -> list[ChunkTask]:
        """Chunks of one window that go together, oldest first; [] if none is eligible.

        Of the windows the one with the most chunks, unless the oldest chunk was passed over often enough. `full`: a
        whole batch or none. Where these are the last ones, `share` of them: as many workers will divide them.
        """
        groups: dict[int, list[ChunkTask]] = {}
        for task in self.eligible():
            groups.setdefault(task.window(strict=self.strict_window), []).append(task)
        if not groups:
            return []
        oldest = next(iter(groups))
        window = oldest
        if self.passed_over < MOST_PASSED_OVER:
            window = max(groups, key=lambda one: min(1.0, len(groups[one]) / self.batch.of(one)))
        size, same = self.batch.of(window), groups[window]
        if full and len(same) < size:
            return []
        if share > 1 and len(same) < size * share:
            size = min(size, -(-len(same) // share))
        return same[:size]

    def take(self, tasks: list[ChunkTask]) -> None:
        """Take a batch out of the pool."""
        gone = {(task.file, task.chunk.index) for task in tasks}
        oldest = next(((task.file, task.chunk.index) for task in self.eligible()), None)
        self.passed_over = 0 if oldest in gone else self.passed_over + 1
        self.asked |= {task.file for task in tasks if task.language is None}
        self.waiting = [task for task in self.waiting if (task.file, task.chunk.index) not in gone]
