"""`WorkerTranscriber`: transcription in a supervised process of its own, with the methods of `Transcriber`."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from autorag_whisper.device.placement import hint_text, meaning_of
from autorag_whisper.models.catalogue import find
from autorag_whisper.per_process import PerProcess, in_one_process
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.transcriber.arguments import (
    name_of,
    options_of,
    require_callback,
    require_model,
    require_priority,
    source_of,
    sources_of,
    token_of,
)
from autorag_whisper.transcriber.cancellation import CancelToken
from autorag_whisper.transcriber.outcome import Progress
from autorag_whisper.transcriber.run_request import RunControl
from autorag_whisper.transcriber.stream import TranscriptStream
from autorag_whisper.transcriber.transcriber import outcomes_of
from autorag_whisper.worker.call import Call, End, Question
from autorag_whisper.worker.job import WorkerJob
from autorag_whisper.worker.process import CHILD, WorkerProcess
from autorag_whisper.worker.supervision import Limits
from autorag_whisper.worker.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from autorag_whisper.audio.source import Media, MediaSource
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import Segment, Transcript
    from autorag_whisper.transcriber.kept_chunks import KeptChunks
    from autorag_whisper.transcriber.outcome import FileOutcome, OnProgress
    from autorag_whisper.transcriber.protocol import Model
    from autorag_whisper.worker.messages import Answer, FromChild
    from autorag_whisper.worker.process import Gone

_TRACE_S = 2.0
"""How long the end of a job that is ended early is waited for: its spans are made by then. It ends without that too."""


class WorkerModel:
    """A name for a model under a device hint, as a worker process knows it. It owns nothing.

    `device` and `compute_type` ask the process, which is begun if there is none; a job that is on does not delay them.
    """

    __slots__ = ("_ask", "device_hint", "size")

    def __init__(self, size: str, device_hint: str | None, ask: Callable[[Question], Answer]) -> None:
        self.size, self.device_hint, self._ask = size, device_hint, ask

    @property
    def device(self) -> str:
        """`"cpu"`, `"cuda"` or `"cuda:N"`."""
        return self._ask(Question(self.size, self.device_hint)).device

    @property
    def compute_type(self) -> str:
        """The compute type as asked of the engine."""
        return self._ask(Question(self.size, self.device_hint)).compute_type

    def __repr__(self) -> str:
        return f"WorkerModel(size={self.size!r}, device_hint={self.device_hint!r})"


class WorkerTranscriber:
    """Transcribes in a process of its own: a `TranscriberProtocol`. Thread-safe; jobs of any number of callers are on
    in it at once.

    The process is begun at the first job. One that dies, hangs, grows over `limits.memory_bytes` or has broken its
    context on the card (a sticky CUDA error) is replaced, and its jobs go on behind the last chunks that were done.
    Files that it had in hand are then tried one by one before they run beside others again; one with which two die at
    one place, with nothing else in hand, is failed as `PoisonedFile`. After `limits.idle_s` without a job the process
    ends, and with it all memory, the card's too; the next job begins a new one. A pin to the CPU is passed on.

    A caller may be as slow as he likes: his job waits once 256 segments, or 16 outcomes of many files, are unread, and
    no other does. Whatever interrupts him ends his job alone, at once for him, and for the process at the batch in
    flight.

    Audio that has no path (bytes, file objects, arrays) is copied by the caller's thread, at the first read, to a
    temporary file without a name that only the two processes have.

    Linux and macOS. Beside what `Transcriber` raises, calls raise PoisonedFile and WorkerDied.
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
        # A fork of this process has neither the thread nor the process of the other.
        self._supervisor = PerProcess(lambda: Supervisor(self._begin, self._limits, self._telemetry, self._clock))
        self._models: dict[tuple[str, str], WorkerModel] = {}

    def model(self, size: str | os.PathLike[str], device_hint: str | None = None) -> WorkerModel:
        """A handle for a size, hub id or folder; the same object for arguments that mean the same. Loads nothing.

        Asks the process, which is begun if there is none. Raises the Model* errors.
        """
        name, hint = _model_name(size), hint_text(device_hint)
        self._ask(Question(name, hint))
        return self._models.setdefault((name, meaning_of(hint)), WorkerModel(name, hint, self._ask))

    def load(self, model: Model = "base") -> None:
        """Make the model resident. Raises the Model* errors, and WorkerDied."""
        with closing(self._events((), None, model, RunControl(CancelToken()))) as events:
            for _ in events:
                pass

    def resolved_device(self) -> str:
        """`"cuda"` or `"cpu"`: used last by the process, or what it would use. For display alone."""
        return self._ask(Question()).device

    def stream(
        self,
        media: Media,
        options: TranscribeOptions | None = None,
        *,
        model: Model = "base",
        on_progress: OnProgress | None = None,
        cancel: CancelToken | None = None,
        priority: int = 0,
    ) -> TranscriptStream:
        """Start on one file. Nothing is opened before the first segment is asked for."""
        own = CancelToken(token_of(cancel))
        control = RunControl(own, on_progress, priority)
        return TranscriptStream(self._events((source_of(media),), options, model, control), own)

    def resume(
        self,
        media: Media,
        kept: KeptChunks,
        options: TranscribeOptions | None = None,
        *,
        model: Model = "base",
        control: RunControl,
    ) -> TranscriptStream:
        """As `stream`, of a file of which chunks may be done already; `kept` is given each that is done.

        It is given them in the thread that supervises the process.
        """
        own = CancelToken(control.cancel)
        events = self._events((source_of(media),), options, model, replace(control, cancel=own), kept)
        return TranscriptStream(events, own)

    def transcribe(
        self,
        media: Media,
        options: TranscribeOptions | None = None,
        *,
        model: Model = "base",
        on_progress: OnProgress | None = None,
        cancel: CancelToken | None = None,
        priority: int = 0,
    ) -> Transcript:
        """One file, whole."""
        with self.stream(
            media, options, model=model, on_progress=on_progress, cancel=cancel, priority=priority
        ) as stream:
            return stream.result()

    def transcribe_many(
        self,
        sources: Iterable[Media],
        options: TranscribeOptions | None = None,
        *,
        model: Model = "base",
        on_progress: OnProgress | None = None,
        cancel: CancelToken | None = None,
        priority: int = 0,
    ) -> Iterator[FileOutcome]:
        """Many files in one run, each as it completes: what failed has its error, and never stops the others.

        What ends all of them is what does so with a `Transcriber`. An iterator of sources is read to its end at the
        call.
        """
        files = tuple(sources_of(sources))
        return outcomes_of(self._events(files, options, model, RunControl(token_of(cancel), on_progress, priority)))

    @property
    def process_id(self) -> int | None:
        """Of the worker; None while there is none."""
        return self._supervisor.get().process_id if self._supervisor.is_made else None

    def close(self) -> None:
        """End the process, and every job that is still on: its caller gets Cancelled. It may be used again."""
        if self._supervisor.is_made:
            self._supervisor.get().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # ------------------------------------------------------------ one job

    def _events(
        self,
        files: tuple[MediaSource, ...],
        options: TranscribeOptions | None,
        model: Model,
        control: RunControl,
        kept: KeptChunks | None = None,
    ) -> Generator[Segment | FileOutcome]:
        options_of(options)
        require_callback(control.on_progress)
        require_priority(control.priority)
        size, hint = _named(model)
        job = WorkerJob(files, options, size, hint, control.priority, kept)
        return in_one_process(self._run(job, control.on_progress, control.cancel), "a stream")

    def _run(
        self, job: WorkerJob, on_progress: OnProgress | None, cancel: CancelToken
    ) -> Generator[Segment | FileOutcome]:
        """What comes of a job. Whatever ends this early, and be it in its first line, ends the job."""
        cancel.check()
        job.carry(cancel.check)
        supervisor = self._supervisor.get()
        call = Call(job, self._telemetry.current(), supervisor.submit)
        try:
            supervisor.submit(call)
            with cancel.listening(call.wake):
                while not isinstance(event := call.next(), End):
                    cancel.check()
                    if isinstance(event, Progress):
                        if on_progress is not None:
                            on_progress(event)
                    elif event is not None:
                        yield event
            if event.error is not None:
                raise event.error
        finally:
            call.abandon(_TRACE_S)

    def _ask(self, question: Question) -> Answer:
        self._supervisor.get().submit(question)
        answer = question.answer.get()
        if isinstance(answer, BaseException):
            raise answer
        if answer.error is not None:
            raise answer.error
        return answer

    def _begin(self, tell: Callable[[WorkerProcess, FromChild | Gone], object]) -> WorkerProcess:
        return WorkerProcess(self._environ, self._clock, tell, self._program)


def _named(model: Model) -> tuple[str, str | None]:
    if isinstance(model, str | os.PathLike):
        return _model_name(model), None
    require_model(model)
    return _model_name(model.size), model.device_hint


def _model_name(size: str | os.PathLike[str]) -> str:
    """`size`; the folder of a model by its absolute path, as the other process has a folder of its own."""
    name = name_of(size)
    is_folder = find(name) is None and bool(name) and "\0" not in name and os.path.isdir(name)  # noqa: PTH112 - as the store looks at it
    return os.path.abspath(name) if is_folder else name  # noqa: PTH100 - as the store looks at it
