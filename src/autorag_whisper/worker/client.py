"""`WorkerTranscriber`: transcription in a supervised process of its own, with the face of `Transcriber`."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Self

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import PoisonedFile, WorkerDied
from autorag_whisper.domain.transcript import Segment
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.transcriber.outcome import FileDone, FileFailed, FileOutcome
from autorag_whisper.worker.job import Job
from autorag_whisper.worker.messages import Begun, Measured, Noted, Over, Ready, SpanMade, Stop, Told
from autorag_whisper.worker.process import CHILD, Gone, WorkerProcess
from autorag_whisper.worker.supervision import Act, Limits, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from autorag_whisper.domain.device import CpuPin
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.transcriber.outcome import OnProgress
    from autorag_whisper.worker.messages import FromChild

_log = logging.getLogger(__name__)

_TICK_S = 0.25
"""How often the supervision looks at a process that says nothing."""
_END_S = 60.0
"""How long a process may take for the batch in flight when it is to end."""


class WorkerTranscriber:
    """Transcribes in a process of its own, begun at the first job. Thread-safe; jobs go one after the other.

    A process that dies, hangs, grows over `limits.memory_bytes` or has broken its context on the card (a sticky CUDA
    error) is replaced, and its job goes on behind the last chunk that was done; a file with which two die at one place
    is failed as `PoisonedFile`. After `limits.idle_s` without a job the process ends, and with it all memory, the
    card's too; the next job begins a new one. A pin to the CPU is passed on.

    Linux and macOS. Media are paths: a stream cannot be read by another process.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
        telemetry: Telemetry | None = None,
        clock: Callable[[], float] = time.monotonic,
        program: Sequence[str] = CHILD,
    ) -> None:
        self._environ = dict(os.environ if environ is None else environ)  # noqa: TID251 - a caller who gives none means this one
        self._limits, self._clock, self._program = limits, clock, program
        self._telemetry = telemetry or Telemetry()
        self._turn = threading.Lock()  # a gate: whose job it is
        self._process: WorkerProcess | None = None
        self._pin: CpuPin | None = None
        self._jobs = 0
        self._idle_since_s = clock()
        self._timer: threading.Timer | None = None

    def load(self, model: str = "base", device_hint: str | None = None) -> None:
        """Make the model resident. Raises the Model* errors, and WorkerDied."""
        with closing(self._run(Job((), None, model, device_hint))) as events:
            for _ in events:
                pass

    def stream(
        self,
        media: str | os.PathLike[str],
        options: TranscribeOptions | None = None,
        *,
        model: str = "base",
        device_hint: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Generator[Segment, None, Transcript]:
        """Segments of one file as they are ready; closing it stops the work at the next batch.

        The generator's value is the whole transcript. Raises what went wrong with the file, PoisonedFile, WorkerDied.
        """
        with closing(self._run(Job((Path(media),), options, model, device_hint), on_progress)) as events:
            for event in events:
                if isinstance(event, Segment):
                    yield event
                elif event.error is not None:
                    raise event.error
                elif event.transcript is not None:
                    return event.transcript
        raise WorkerDied("the job ended without a result")

    def transcribe(
        self,
        media: str | os.PathLike[str],
        options: TranscribeOptions | None = None,
        *,
        model: str = "base",
        device_hint: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Transcript:
        """One file, whole. Raises as `stream` does."""
        stream = self.stream(media, options, model=model, device_hint=device_hint, on_progress=on_progress)
        while True:
            try:
                next(stream)
            except StopIteration as end:
                transcript: Transcript = end.value
                return transcript

    def transcribe_many(
        self,
        sources: Iterable[str | os.PathLike[str]],
        options: TranscribeOptions | None = None,
        *,
        model: str = "base",
        device_hint: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Iterator[FileOutcome]:
        """Many files in one run, each as it completes: what failed has its error, and never stops the others."""
        job = Job(tuple(Path(source) for source in sources), options, model, device_hint)
        with closing(self._run(job, on_progress)) as events:
            for event in events:
                if isinstance(event, FileOutcome):
                    yield event

    @property
    def process_id(self) -> int | None:
        """Of the worker; None while there is none."""
        process = self._process
        return process.pid if process is not None and process.is_running else None

    def close(self) -> None:
        """End the process. Jobs must have ended; the transcriber may be used again."""
        with self._turn:
            self._cancel_timer()
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # ------------------------------------------------------------ one job

    def _run(self, job: Job, on_progress: OnProgress | None = None) -> Generator[Segment | FileOutcome]:
        with self._turn:
            self._cancel_timer()
            context = self._telemetry.current()
            try:
                while not job.is_over():
                    for path in job.next_round(self._limits):
                        error = PoisonedFile(path.name, job.last_death)
                        yield FileFailed(MediaSource.from_path(path), error)
                    if job.is_over():
                        return
                    for said in self._round(job):
                        if isinstance(said, SpanMade):
                            when, attributes = said.when, said.attributes
                            self._telemetry.span(said.name, when, attributes, parent=context, error=said.error)
                        elif isinstance(said, Measured):
                            self._measured(said)
                        elif isinstance(said, Told):
                            yield from self._told(job, said, on_progress)
                    if job.error is not None:
                        raise job.error
                    if job.cannot_begin(self._limits):
                        raise WorkerDied(job.last_death)
            finally:
                self._idle_since_s = self._clock()
                self._start_timer()

    def _round(self, job: Job) -> Generator[FromChild]:
        """Give the job's next files to a process, and tell what it says until it is done with them or gone."""
        process, number, stops = self._running(), self._next_number(), False
        process.begin(job.message(number, self._pin))
        try:
            while True:
                said = self._heard(process)
                if isinstance(said, Gone):
                    return self._buried(job, said.reason)
                if isinstance(said, Ready):
                    return self._ended(job, process, said, replace=stops)
                if isinstance(said, Begun):
                    job.begun(said.file)
                elif isinstance(said, Noted):
                    job.noted(said.file, said.chunk, said.finished)
                elif said is not None:
                    yield said
                verdict = judge(process.seen(), self._limits)
                if verdict.act is Act.KILL:
                    process.kill()
                    return self._buried(job, verdict.reason)
                if verdict.act is Act.REPLACE and not stops:
                    stops = True
                    _log.warning("the worker process is replaced: %s", verdict.reason)
                    process.send(Stop(number))
        except GeneratorExit:  # the caller wants no more
            self._stop(process, number)
            raise

    def _heard(self, process: WorkerProcess) -> FromChild | Gone | None:
        """What it said next, None if nothing for a moment; with it what keeps it on the CPU, for those that follow."""
        said = process.next(_TICK_S)
        self._pin = process.pin or self._pin
        return said

    def _ended(self, job: Job, process: WorkerProcess, said: Ready, *, replace: bool) -> None:
        job.ended(said.error)
        if replace or process.broken:
            self._end()

    def _buried(self, job: Job, reason: str) -> None:
        _log.warning("the worker process is gone: %s; its job goes on in a new one", reason)
        job.died(reason)
        self._process = None

    def _stop(self, process: WorkerProcess, number: int) -> None:
        """Have the job end at its next batch, and wait for that: a process that is stuck is killed."""
        process.send(Stop(number))
        while not isinstance(self._heard(process), Ready | Gone):
            if judge(process.seen(), self._limits).act is Act.KILL:
                process.kill()
        if not process.is_running:
            self._process = None
        elif process.broken:
            self._end()

    def _told(self, job: Job, told: Told, on_progress: OnProgress | None) -> Iterator[Segment | FileOutcome]:
        what = told.what
        if isinstance(what, Over):
            yield _outcome(MediaSource.from_path(job.over(told.file)), what)
        elif isinstance(what, Segment):
            if job.is_new(what):
                yield what
        elif on_progress is not None:
            on_progress(job.further(told.file, what))

    def _measured(self, value: Measured) -> None:
        tell = self._telemetry.duration if value.kind == "duration" else self._telemetry.count
        tell(value.name, value.value, value.attributes)

    # ------------------------------------------------------------ the process

    def _running(self) -> WorkerProcess:
        if self._process is None or not self._process.is_running:
            self._process = WorkerProcess(self._environ, self._clock, self._program)
        return self._process

    def _next_number(self) -> int:
        self._jobs += 1
        return self._jobs

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end(_END_S)

    def _start_timer(self) -> None:
        """Look after the idle process once in a while; nobody waits for it."""
        if self._limits.idle_s is not None and self._process is not None:
            self._timer = threading.Timer(self._limits.idle_s, self._end_if_idle)
            self._timer.daemon = True
            self._timer.start()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_if_idle(self) -> None:
        if not self._turn.acquire(blocking=False):
            return  # a job has begun meanwhile
        try:
            if self._process is None:
                return
            verdict = judge(self._process.seen(self._idle_since_s), self._limits)
            if verdict.act in (Act.END, Act.KILL):
                _log.info("the worker process ends: %s", verdict.reason)
                self._end()
        finally:
            self._turn.release()


def _outcome(source: MediaSource, over: Over) -> FileOutcome:
    if over.transcript is not None:
        return FileDone(source, over.transcript)
    return FileFailed(source, over.error or WorkerDied("a file ended without a result"))
