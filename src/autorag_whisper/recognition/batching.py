"""Which chunks go through the engine together: a pool in the order of the audio, and batches of one window from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autorag_whisper.recognition.recognise import ChunkTask

if TYPE_CHECKING:
    from autorag_whisper.domain.audio import SpeechChunk


@dataclass(slots=True)
class Pool:
    """Chunks that wait, oldest first, also of several files. Belongs to one thread."""

    strict_window: bool
    waiting: list[ChunkTask] = field(default_factory=list)
    languages: dict[int, str] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        """Audio that waits."""
        return sum(task.chunk.duration_s for task in self.waiting)

    def add(self, file: int, chunk: SpeechChunk) -> None:
        """A new chunk of `file`, its latest."""
        self.waiting.append(ChunkTask(file, chunk, None))

    def put_back(self, tasks: list[ChunkTask], *, undecided: bool = False) -> None:
        """Chunks that have to be done again, in front; the language of an `undecided` one is not asked for again."""
        if not undecided:
            self.asked -= {task.file for task in tasks if task.chunk.index == 0}
        self.waiting[:0] = tasks

    def drop(self, file: int) -> None:
        """Forget what waits of `file`."""
        self.waiting = [task for task in self.waiting if task.file != file]

    def decide(self, file: int, language: str) -> None:
        """From now on all of `file` may be recognised."""
        self.languages[file] = language

    def eligible(self) -> list[ChunkTask]:
        """What may be recognised now: of a file of unknown language only its first chunk, and that once."""
        return [
            ChunkTask(task.file, task.chunk, self.languages.get(task.file))
            for task in self.waiting
            if task.file in self.languages or (task.chunk.index == 0 and task.file not in self.asked)
        ]

    def next_batch(self, size: int, *, share: int = 1) -> list[ChunkTask]:
        """The oldest eligible chunk's window, up to `size` chunks of it; [] if none is eligible.

        Where these are the last ones, `share` of them: as many workers will divide them.
        """
        eligible = self.eligible()
        if not eligible:
            return []
        window = eligible[0].window(strict=self.strict_window)
        same = [task for task in eligible if task.window(strict=self.strict_window) == window]
        if share > 1 and len(same) < size * share:
            size = min(size, -(-len(same) // share))
        return same[:size]

    def take(self, tasks: list[ChunkTask]) -> None:
        """Take a batch out of the pool."""
        self.asked |= {task.file for task in tasks if task.language is None}
        self._remove(tasks)

    def _remove(self, tasks: list[ChunkTask]) -> None:
        gone = {(task.file, task.chunk.index) for task in tasks}
        self.waiting = [task for task in self.waiting if (task.file, task.chunk.index) not in gone]
