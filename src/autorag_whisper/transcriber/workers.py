"""The threads of a run that call the engine. They take jobs and post what came of them to one queue."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event
from time import perf_counter
from typing import TYPE_CHECKING

from autorag_whisper.recognition.recognizer import Caller

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from autorag_whisper.device.model_session import ModelSession
    from autorag_whisper.domain.device import ModelKey
    from autorag_whisper.recognition.border_hearing import Border
    from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask
    from autorag_whisper.recognition.ctc_alignment import HeldLeases
    from autorag_whisper.recognition.language import LanguageChoice
    from autorag_whisper.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Job:
    """One call: a batch of chunks of one window, or (`voting`) the first chunks of one file; or a border to hear."""

    tasks: tuple[ChunkTask, ...] = ()
    voting: bool = False
    border: Border | None = None

    @property
    def files(self) -> set[int]:
        """The files of the run that it is for."""
        return {task.file for task in self.tasks} | ({self.border.file} if self.border is not None else set())

    @property
    def rows(self) -> int:
        """Chunks that are in the engine at once: those of a vote go one by one."""
        return 1 if self.voting or self.border is not None else len(self.tasks)


@dataclass(frozen=True, slots=True)
class LanguageFound:
    """Posted before the first text in it is decoded."""

    file: int
    choice: LanguageChoice


@dataclass(frozen=True, slots=True)
class JobDone:
    """Every chunk of a job has a result; `key` is where it was done.

    `heard` across its border in `heard_s` seconds, "" where that failed.
    """

    job: Job
    key: ModelKey
    results: tuple[ChunkResult, ...] = ()
    heard: str = ""
    heard_s: float = 0.0


@dataclass(frozen=True, slots=True)
class JobFailed:
    """No chunk of a job has one; `key` is where it failed."""

    job: Job
    key: ModelKey
    error: BaseException


@dataclass(frozen=True, slots=True)
class Woken:
    """Nothing came of any job: whoever waits is to look around."""


WorkerEvent = LanguageFound | JobDone | JobFailed


class Workers:
    """`count` threads. Used by one thread; a job ends in exactly one JobDone or JobFailed."""

    def __init__(self, count: int, session: ModelSession, telemetry: Telemetry, ctc: HeldLeases | None = None) -> None:
        self.count, self._ctc = count, ctc
        self._session, self._telemetry = session, telemetry
        self._parent: Context = telemetry.current()
        self._events: SimpleQueue[WorkerEvent | Woken] = SimpleQueue()
        self._stop = Event()
        self._pool, self._retired = _threads(count), list[ThreadPoolExecutor]()
        self.in_flight = 0

    @property
    def idle(self) -> int:
        """Threads that have nothing to do."""
        return max(0, self.count - self.in_flight)

    @property
    def wants_a_spare(self) -> bool:
        """Whether one more batch should lie ready for the thread that ends first."""
        return self.in_flight <= self.count

    def resize(self, count: int) -> None:
        """From now on `count` threads; what is in flight ends in the old ones."""
        if count != self.count:
            self._retired.append(self._pool)
            self._pool.shutdown(wait=False)
            self.count, self._pool = count, _threads(count)

    def submit(self, job: Job) -> None:
        """Hand a job to the threads."""
        self.in_flight += 1
        self._pool.submit(self._work, job)

    def next_event(self, *, block: bool) -> WorkerEvent | None:
        """What was posted next; None if nothing was and it should not `block`, or it was woken."""
        if not block and self._events.empty():
            return None
        event = self._events.get()
        if isinstance(event, Woken):
            return None
        if not isinstance(event, LanguageFound):
            self.in_flight -= 1
        return event

    def wake(self) -> None:
        """Have `next_event` come back. Takes no lock: a signal handler may call it."""
        self._events.put(Woken())

    def stop(self) -> None:
        """Start no further batch; those in flight end at their next call of the engine."""
        self._stop.set()
        for pool in (*self._retired, self._pool):
            pool.shutdown(wait=False, cancel_futures=True)

    def wait(self) -> None:
        """Until no batch is in flight, after `stop`: an engine is never torn down under a batch."""
        for pool in (*self._retired, self._pool):
            pool.shutdown(wait=True)

    def _work(self, job: Job) -> None:
        key = self._session.key
        try:
            with self._telemetry.attached(self._parent), self._session.compute() as (key, recognizer):
                caller = Caller(
                    on_language=lambda file, choice: self._events.put(LanguageFound(file, choice)),
                    cancelled=self._stop.is_set,
                    ctc=self._ctc.aligner(key.device) if self._ctc is not None else None,
                )
                if job.border is not None:
                    began = perf_counter()
                    heard = recognizer.hear_border(job.border, caller)
                    self._events.put(JobDone(job, key, heard=heard, heard_s=perf_counter() - began))
                    return
                results = recognizer.batch(job.tasks, caller)
        except BaseException as error:  # noqa: BLE001 - the owner of the run judges it, in its own thread
            self._events.put(JobFailed(job, key, error))
        else:
            self._events.put(JobDone(job, key, tuple(results)))


def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="autorag-whisper")
