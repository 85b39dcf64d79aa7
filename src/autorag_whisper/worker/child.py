"""The worker process: `python -m autorag_whisper.worker.child FD`. It owns the engines and does what the parent says.

The main thread runs the jobs; one thread reads what the parent says, one beats. The process ends when the parent says
so or is gone (the socket ends), never with a batch in flight: a run that is closed waits for its batches first.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import threading
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.domain.transcript import Segment
from autorag_whisper.runtime.memory import tune_allocator
from autorag_whisper.transcriber.book import Supervised
from autorag_whisper.worker.memory import resident_bytes
from autorag_whisper.worker.messages import Beat, Begun, Load, Noted, Over, Quit, Ready, Start, Stop, Told
from autorag_whisper.worker.relay import RelayTelemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from autorag_whisper.transcriber import Transcriber
    from autorag_whisper.transcriber.book import Finished
    from autorag_whisper.transcriber.outcome import FileOutcome, Progress
    from autorag_whisper.worker.messages import FromChild, FromParent

BEAT_S = 0.5
"""How often it says that it is alive."""


class Line:
    """The socket to the parent. Any thread may send. A parent that is gone is no error: the reader notices."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def send(self, message: FromChild) -> None:
        with self._lock, suppress(OSError):
            self._connection.send(message)

    def receive(self) -> FromParent:
        """The next message; Quit when the parent is gone."""
        try:
            said: FromParent = self._connection.recv()
        except (EOFError, OSError):
            return Quit()
        return said


class Book:
    """Chunks that earlier processes have done, and those of this one on their way to the parent."""

    def __init__(self, start: Start, send: Callable[[FromChild], object]) -> None:
        self._start, self._send = start, send
        self._read: dict[int, dict[int, Finished]] = {}

    def finished(self, file: int) -> Mapping[int, Finished]:
        if file not in self._read:
            kept = self._start.done.get(file, {})
            self._read[file] = {index: pickle.loads(data) for index, data in kept.items()}  # noqa: S301 - pickled by a process of ours, kept by the parent
        return self._read[file]

    def note(self, file: int, finished: Finished) -> None:
        index = finished.result.task.chunk.index
        self._send(Noted(self._start.job, file, index, pickle.dumps(finished)))


class Worker:
    """The jobs of this process, one after the other."""

    def __init__(self, line: Line, make: Callable[[RelayTelemetry], Transcriber]) -> None:
        self._line = line
        self._transcriber = make(RelayTelemetry(line.send))
        self._jobs: SimpleQueue[Start | Load | Quit] = SimpleQueue()
        self._stopped: set[int] = set()
        self._quits = threading.Event()

    def serve(self) -> None:
        """Until the parent says so, or is gone."""
        threading.Thread(target=self._listen, name="autorag-whisper-parent", daemon=True).start()
        threading.Thread(target=self._beat, name="autorag-whisper-beat", daemon=True).start()
        self._line.send(Ready())
        with self._transcriber:
            while not isinstance(job := self._jobs.get(), Quit):
                self._do(job)

    def _listen(self) -> None:
        while not self._quits.is_set():
            match self._line.receive():
                case Stop(job):
                    self._stopped.add(job)
                case Quit():
                    self._quits.set()
                    self._jobs.put(Quit())
                case job:
                    self._jobs.put(job)

    def _beat(self) -> None:
        while not self._quits.wait(BEAT_S):
            self._line.send(self._sign_of_life())

    def _sign_of_life(self) -> Beat:
        return Beat(resident_bytes(), self._transcriber.pin, self._transcriber.resolved_device())

    def _do(self, job: Start | Load) -> None:
        error: BaseException | None = None
        try:
            if job.pin is not None:
                self._transcriber.adopt(job.pin)
            if isinstance(job, Load):
                self._transcriber.load(self._transcriber.model(job.model, job.device_hint))
            else:
                self._transcribe(job)
        except Exception as failure:  # noqa: BLE001 - it is the caller's: it goes there, and the process goes on
            error = failure if _can_travel(failure) else RuntimeError(f"{type(failure).__name__}: {failure}")
        self._line.send(self._sign_of_life())  # before it is judged by its last one, which may be half a second old
        self._line.send(Ready(job.job, error))

    def _transcribe(self, job: Start) -> None:
        send = self._line.send
        files = [MediaSource.from_path(path) for path in job.files]
        numbers = {id(source): n for n, source in enumerate(files)}

        def sources() -> Iterator[MediaSource]:
            for n, source in enumerate(files):
                if self._is_over(job):
                    return
                send(Begun(job.job, n))
                yield source

        def on_progress(progress: Progress) -> None:
            send(Told(job.job, numbers[id(progress.source)], progress))

        model = self._transcriber.model(job.model, job.device_hint)
        supervised = Supervised(Book(job, send), linger=lambda wait: wait())
        events = self._transcriber.events(
            sources(), job.options, model=model, on_progress=on_progress, supervised=supervised
        )
        with closing(events):
            for event in events:
                self._tell(job, event, numbers)
                if self._is_over(job):
                    return

    def _is_over(self, job: Start) -> bool:
        return job.job in self._stopped or self._quits.is_set()

    def _tell(self, job: Start, event: Segment | FileOutcome, numbers: Mapping[int, int]) -> None:
        if isinstance(event, Segment):
            # Segments are only streamed for a job of one file; of many, the outcome has them.
            if len(job.files) == 1:
                self._line.send(Told(job.job, 0, event))
            return
        self._line.send(Told(job.job, numbers[id(event.source)], Over(event.transcript, event.error)))


def _can_travel(error: Exception) -> bool:
    if not isinstance(error, AutoragWhisperError):
        return False
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - what was pickled in the same line
    except Exception:  # noqa: BLE001 - whatever it is, it stays here
        return False
    return True


def main(descriptor: int) -> None:
    """Serve the parent behind that socket."""
    # Ctrl-C at a terminal goes to every process of the group: the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    tune_allocator()
    line = Line(Connection(descriptor))
    Worker(line, lambda telemetry: build_transcriber(environ=os.environ, telemetry=telemetry)).serve()  # noqa: TID251 - this process's own edge


if __name__ == "__main__":
    main(int(sys.argv[1]))
