"""What callers put to the supervisor's thread, each with the queue on which they wait for what comes of it.

A caller's thread may be interrupted anywhere: by Ctrl-C, by an exception out of a signal handler. So it shares nothing
with the supervisor's thread but queues whose `put` and `get` the interpreter does not divide, and no lock.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import WorkerDied
from autorag_whisper.transcriber.outcome import FileDone, FileFailed, Progress
from autorag_whisper.worker.messages import ChunkDone, Event, FileEnded, FileStarted

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.transcript import Segment
    from autorag_whisper.transcriber.outcome import FileOutcome
    from autorag_whisper.worker.job import WorkerJob
    from autorag_whisper.worker.messages import Answer, FromChild


@dataclass(frozen=True, slots=True)
class End:
    """Nothing comes after it. `error`: what ended the job before its files had their outcomes."""

    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """A caller has read a segment or an outcome of his job."""

    call: Call


@dataclass(frozen=True, slots=True)
class Look:
    """Something has changed: look around."""


class Call:
    """A job and its caller. `context` is his trace's; `tell` puts something to the supervisor."""

    def __init__(self, job: WorkerJob, context: Context, tell: Callable[[Taken | Look], object]) -> None:
        self.job, self.context, self._tell = job, context, tell
        self.is_abandoned = False
        self.number, self.begun_s, self.is_stopped = 0, 0.0, False  # of its round; the supervisor's thread's
        self.unread = 0  # segments and outcomes; counted in the supervisor's thread
        self._events: SimpleQueue[Segment | FileOutcome | Progress | End | None] = SimpleQueue()
        self._ended: SimpleQueue[None] = SimpleQueue()

    # ------------------------------------------------------------ in the caller's thread

    def next(self) -> Segment | FileOutcome | Progress | End | None:
        """What came next, waited for; None if it was woken."""
        event = self._events.get()
        if event is not None and not isinstance(event, Progress | End):
            self._tell(Taken(self))
        return event

    def wake(self) -> None:
        """Have `next` come back. Takes no lock: a signal handler may call it."""
        self._events.put(None)

    def abandon(self, wait_s: float) -> None:
        """Nobody wants any more of it. Waits for its end a little: what it leaves in the trace is there then."""
        self.is_abandoned = True
        if sys.is_finalizing():
            return  # the interpreter ends, and with it whoever would answer; a thread that is started now never runs
        self._tell(Look())
        try:
            self._ended.get(timeout=wait_s)
        except Empty:
            return
        self._ended.put(None)  # whoever asks again is not to wait

    # ------------------------------------------------------------ in the supervisor's thread

    def hear(self, said: FromChild, now_ns: int) -> None:
        """What a process says of the job. `now_ns`: the time of spans."""
        if isinstance(said, FileStarted):
            self.job.begun(said.file, now_ns)
        elif isinstance(said, ChunkDone):
            self.job.noted(said.file, said.chunk, said.written)
        elif isinstance(said, Event):
            what = said.what
            if isinstance(what, FileEnded):
                self.give(_outcome(self.job.over(said.file), what))
            elif isinstance(what, Progress):
                self.give(self.job.further(said.file, what))
            elif self.job.is_new(what):
                self.give(what)

    def give(self, event: Segment | FileOutcome | Progress) -> None:
        """Something for the caller."""
        self.unread += not isinstance(event, Progress)
        self._events.put(event)

    def finish(self, error: BaseException | None = None) -> None:
        """The job is over."""
        self._events.put(End(error))
        self._ended.put(None)


@dataclass(eq=False, slots=True)
class Question:
    """Where a model would run now (None: anything). `answer` gets an Answer or the error for want of one."""

    model: str | None = None
    device_hint: str | None = None
    answer: SimpleQueue[Answer | BaseException] = field(default_factory=SimpleQueue)
    deaths: int = 0
    is_asked: bool = False


@dataclass(eq=False, slots=True)
class Close:
    """End every job and the process. `done` gets something when that is so."""

    done: SimpleQueue[None] = field(default_factory=SimpleQueue)


def _outcome(source: MediaSource, end: FileEnded) -> FileOutcome:
    if end.transcript is not None:
        return FileDone(source, end.transcript)
    return FileFailed(source, end.error or WorkerDied("a file ended without a result"))
