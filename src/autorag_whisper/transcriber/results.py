"""What a scheduler gives a run, and how the thread that iterates the run takes it."""

from __future__ import annotations

from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

from autorag_whisper.transcriber.outcome import FileOutcome, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.device import CpuPin
    from autorag_whisper.domain.transcript import Segment
    from autorag_whisper.transcriber.checkpoint import Checkpoint
    from autorag_whisper.transcriber.file import RunFile

MOST_UNREAD = 64
"""Results that may wait for a run's caller before nothing more is done for it."""


@dataclass(frozen=True, slots=True)
class SegmentReady:
    """The next segment of a file."""

    source: MediaSource
    segment: Segment


@dataclass(frozen=True, slots=True)
class ChunkFinished:
    """A chunk of the run's file `index` is done, before its segments come."""

    index: int
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class FileOver:
    """Nothing more comes of a file. `pin`: why the process stays on the CPU, if it does."""

    file: RunFile
    outcome: FileOutcome
    pin: CpuPin | None


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Nothing more comes of the run: it is done, or `error` has ended it."""

    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Woken:
    """Nothing came: whoever waits is to look around."""


Result = Progress | SegmentReady | ChunkFinished | FileOver | RunEnded
WOKEN = Woken()


class Results:
    """The queue of one run. One thread puts and one takes; any may `wake` the one that takes, a signal handler too.

    `resume` is called, by the thread that takes, when there is room again after `is_full` has said that there is none.
    """

    def __init__(self, resume: Callable[[], object]) -> None:
        self._queue: SimpleQueue[Result | Woken] = SimpleQueue()
        self._resume, self._is_held_up = resume, False

    def put(self, result: Result) -> None:
        """Never waits."""
        self._queue.put(result)

    def wake(self) -> None:
        """Have `take` come back. Takes no lock."""
        self._queue.put(WOKEN)

    @property
    def is_full(self) -> bool:
        """Whether more is unread than may be."""
        if self._queue.qsize() < MOST_UNREAD:
            return False
        self._is_held_up = True  # said first: whoever takes one between these two lines resumes
        return self._queue.qsize() >= MOST_UNREAD

    def take(self) -> Result | None:
        """The next result, waited for; None if it was woken."""
        result = self._queue.get()
        if self._is_held_up and self._queue.qsize() < MOST_UNREAD // 2:
            self._is_held_up = False
            self._resume()
        return None if isinstance(result, Woken) else result

    def untaken(self) -> list[Result]:
        """What nobody took, once nothing more is put."""
        left = []
        while not self._queue.empty():
            result = self._queue.get()
            if not isinstance(result, Woken):
                left.append(result)
        return left
