"""The threads of a scheduler that call the engine. They take jobs and post what came of them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from autorag_whisper import telemetry as names
from autorag_whisper.engines.interruption import Interruption
from autorag_whisper.recognition.recognizer import Caller
from autorag_whisper.transcriber.own_threads import mark_as_ours

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from autorag_whisper.device.model_session import ModelSession
    from autorag_whisper.domain.device import ModelKey
    from autorag_whisper.recognition.border_hearing import Border
    from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask
    from autorag_whisper.recognition.ctc_alignment import HeldLeases
    from autorag_whisper.recognition.language import LanguageChoice
    from autorag_whisper.recognition.recognizer import Recognizer
    from autorag_whisper.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class EngineJob:
    """One call: a batch of chunks of one window, or (`voting`) the first chunks of one file; or a border to hear."""

    tasks: tuple[ChunkTask, ...] = ()
    voting: bool = False
    border: Border | None = None

    @property
    def files(self) -> set[int]:
        """The keys of the files that it is for."""
        return {task.file for task in self.tasks} | ({self.border.file} if self.border is not None else set())

    @property
    def may_wait(self) -> bool:
        """Whether it is a batch of chunks that may as well be done later: nothing was settled when it was made."""
        return bool(self.tasks) and not self.voting and not any(task.fallback for task in self.tasks)

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
class EngineJobDone:
    """Every chunk of a job has a result; `key` is where it was done.

    `heard` across its border in `heard_s` seconds, "" where that failed.
    """

    job: EngineJob
    key: ModelKey
    results: tuple[ChunkResult, ...] = ()
    heard: str = ""
    heard_s: float = 0.0


@dataclass(frozen=True, slots=True)
class EngineJobFailed:
    """No chunk of a job has one; `key` is where it failed."""

    job: EngineJob
    key: ModelKey
    error: BaseException


@dataclass(frozen=True, slots=True)
class OnBehalf:
    """For whom a job is done: whose trace its spans join, whose alignment models it uses, and when it is to end."""

    context: Context
    cancelled: Callable[[], bool]
    ctc: HeldLeases | None = None


WorkerEvent = LanguageFound | EngineJobDone | EngineJobFailed


class Workers:
    """`count` threads. Used by one thread; `post` is given one EngineJobDone or EngineJobFailed for each job."""

    def __init__(
        self, count: int, session: ModelSession, telemetry: Telemetry, post: Callable[[WorkerEvent], None]
    ) -> None:
        self.count = count
        self._session, self._telemetry, self._post = session, telemetry, post
        self._pool, self._retired = _threads(count), list[ThreadPoolExecutor]()
        self._interruptions: dict[Interruption, OnBehalf] = {}
        self._last: tuple[EngineJob, Future[None], Interruption] | None = None
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

    def submit(self, job: EngineJob, on_behalf: OnBehalf) -> None:
        """Hand a job to the threads."""
        interruption = Interruption()
        self._interruptions[interruption] = on_behalf
        future = self._pool.submit(self._work, job, on_behalf, interruption)
        self._last = job, future, interruption
        self.in_flight += 1

    def recall(self, job: EngineJob) -> bool:
        """Take the job that was submitted last back, which nothing is posted of then; False if it has begun."""
        if self._last is None or self._last[0] is not job or not self._last[1].cancel():
            return False
        self._interruptions.pop(self._last[2], None)
        self.in_flight -= 1
        return True

    def interrupt_unwanted(self) -> None:
        """Have the calls end, within a step where their engine can do so, whose result nobody wants any more."""
        for interruption, on_behalf in self._interruptions.copy().items():
            if on_behalf.cancelled():
                interruption.set()

    def close(self) -> None:
        """Until no thread is left: an engine is never torn down under a batch."""
        for pool in (*self._retired, self._pool):
            pool.shutdown(wait=True)

    def _work(self, job: EngineJob, on_behalf: OnBehalf, interruption: Interruption) -> None:
        key = self._session.key
        try:
            with (
                interruption.around(),
                self._telemetry.attached(on_behalf.context),
                self._session.compute() as (key, recognizer),
            ):
                done = self._done(job, on_behalf, key, recognizer)
                self._count(job, key)
        except BaseException as error:  # noqa: BLE001 - the scheduler judges it, in its own thread
            self._post(EngineJobFailed(job, key, error))
        else:
            self._post(done)
        finally:
            self._interruptions.pop(interruption, None)

    def _count(self, job: EngineJob, key: ModelKey) -> None:
        device = {names.MODEL_DEVICE: str(key.device)}
        self._telemetry.count(names.BATCHES, 1, device)
        self._telemetry.count(names.BATCH_ROWS, len(job.tasks) or 1, device)

    def _done(self, job: EngineJob, on_behalf: OnBehalf, key: ModelKey, recognizer: Recognizer) -> EngineJobDone:
        caller = Caller(
            on_language=lambda file, choice: self._post(LanguageFound(file, choice)),
            cancelled=on_behalf.cancelled,
            ctc=on_behalf.ctc.aligner(key.device) if on_behalf.ctc is not None else None,
        )
        if job.border is not None:
            began = perf_counter()
            heard = recognizer.hear_border(job.border, caller)
            return EngineJobDone(job, key, heard=heard, heard_s=perf_counter() - began)
        return EngineJobDone(job, key, tuple(recognizer.batch(job.tasks, caller)))


def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="autorag-whisper", initializer=mark_as_ours)
