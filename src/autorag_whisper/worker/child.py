"""The worker process (`python -m autorag_whisper.worker FD`): it owns the engines and does what the parent says.

Each job has a thread of its own; one thread reads what the parent says, one beats. The process ends when the parent
says so or is gone (`parent`), after the batch in flight; if that takes longer than the parent waits, it is killed.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import threading
from contextlib import closing, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from autorag_whisper.allocator import tune_allocator
from autorag_whisper.bootstrap import build_parts
from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.domain.transcript import Segment
from autorag_whisper.settings import Settings
from autorag_whisper.transcriber.cancellation import CancelToken
from autorag_whisper.transcriber.checkpoint import Supervised
from autorag_whisper.transcriber.checkpoint_format import HEADER, dumps
from autorag_whisper.transcriber.kept_chunks import checkpoints_of
from autorag_whisper.transcriber.run_request import RunControl
from autorag_whisper.transcriber.supervised import SupervisedTranscriber
from autorag_whisper.worker.memory import resident_bytes
from autorag_whisper.worker.messages import (
    UNREAD_OUTCOMES,
    UNREAD_SEGMENTS,
    Answer,
    Ask,
    ChunkDone,
    Credit,
    Event,
    FileEnded,
    FileStarted,
    Heartbeat,
    Load,
    Quit,
    Ready,
    Settled,
    Start,
    Stop,
)
from autorag_whisper.worker.parent import Parent
from autorag_whisper.worker.relay import RelayTelemetry, in_job
from autorag_whisper.worker.spool import arrived, receive_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.transcriber.checkpoint import Checkpoint
    from autorag_whisper.transcriber.outcome import FileOutcome, Progress
    from autorag_whisper.worker.messages import FromChild, FromParent

_log = logging.getLogger(__name__)

BEAT_S = 0.5
"""How often it says that it is alive."""
_ORPHAN_S = 60.0
"""How long it may take to end when its parent is gone."""


class Line:
    """The socket to the parent. Any thread may send. A parent that is gone is no error: whoever listens notices."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection, self._lock = connection, threading.Lock()
        self._parent = Parent(connection)

    def send(self, message: FromChild) -> None:
        with self._lock, suppress(OSError):
            self._connection.send(message)

    def receive(self) -> FromParent | None:
        """The next message; None when the parent is gone. Whoever is sending then is let go."""
        with suppress(EOFError, OSError):
            if self._parent.wait():
                said: FromParent = self._connection.recv()
                return self._with_spool(said) if isinstance(said, Start) and said.has_spool else said
        with suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)
        return None

    def _with_spool(self, start: Start) -> Start:
        spool = receive_descriptor(self._connection)
        return replace(start, files=tuple(arrived(file, spool) for file in start.files), spool=spool)


class Unread:
    """How much more may be told of a job before its caller has read what was told. Ends with the job."""

    def __init__(self, count: int) -> None:
        self._changed = threading.Condition()
        self._left, self._is_over = count, False
        self.is_waited_for = False

    def add(self, count: int) -> None:
        """So many more."""
        with self._changed:
            self._left += count
            self._changed.notify_all()

    def end(self) -> None:
        """Nobody is to wait any more."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def take(self) -> None:
        """Wait until one more may be told."""
        with self._changed:
            self.is_waited_for = self._left <= 0 and not self._is_over
            self._changed.wait_for(lambda: self._left > 0 or self._is_over)
            self.is_waited_for = False
            self._left -= 1


class Control:
    """What the parent may do to a job that is on. `lingering`: threads that wait for what it left in the engine."""

    def __init__(self, unread: int) -> None:
        self.cancel, self.unread = CancelToken(), Unread(unread)
        self.lingering: list[threading.Thread] = []

    def linger(self, wait: Callable[[], None]) -> None:
        """What is in flight of a job that was ended ends in the background: nobody need wait for it."""
        thread = threading.Thread(target=wait, name="autorag-whisper-linger")
        self.lingering.append(thread)
        thread.start()

    def stop(self) -> None:
        """End it."""
        self.cancel.cancel()
        self.unread.end()


class Kept:
    """Checkpoints of earlier processes, and those of this one on their way to the parent."""

    def __init__(self, start: Start, send: Callable[[FromChild], object]) -> None:
        self._start, self._send = start, send
        self._read: dict[int, dict[int, Checkpoint]] = {}

    def done(self, file: int) -> Mapping[int, Checkpoint]:
        if file not in self._read:
            name = self._start.files[file].name
            kept, told = self._start.done.get(file, {}), "%s: chunks that were done before are done again: %s"
            self._read[file] = dict(checkpoints_of(kept, lambda why: _log.warning(told, name, why)))
        return self._read[file]

    def add(self, file: int, checkpoint: Checkpoint) -> None:
        index = checkpoint.result.task.chunk.index
        self._send(ChunkDone(self._start.job, file, index, (HEADER.encode(), dumps(checkpoint).encode())))


class Worker:
    """The jobs of this process, each in a thread of its own: none waits for another, nor for another's reader."""

    def __init__(self, line: Line, make: Callable[[RelayTelemetry], SupervisedTranscriber]) -> None:
        self._line = line
        self._transcriber = make(RelayTelemetry(line.send))
        self._controls: dict[int, Control] = {}
        self._threads: dict[int, threading.Thread] = {}
        self._quits = threading.Event()

    def serve(self) -> None:
        """Until the parent says so, or is gone."""
        threading.Thread(target=self._listen, name="autorag-whisper-parent", daemon=True).start()
        threading.Thread(target=self._beat, name="autorag-whisper-beat", daemon=True).start()
        self._line.send(Ready())
        with self._transcriber:
            self._quits.wait()
            for thread in self._threads.copy().values():
                thread.join()

    # ------------------------------------------------------------ the thread that listens

    def _listen(self) -> None:
        while not self._quits.is_set():
            try:
                said = self._line.receive()
            except Exception:  # noqa: BLE001 - whatever it is, nothing that is said from now on can be trusted
                _log.exception("what the parent says cannot be read: this process ends, another one takes its jobs")
                os._exit(1)
            if said is None or isinstance(said, Quit):
                self._quit()
                if said is None:  # nobody is left to see whether it is stuck
                    threading.Event().wait(_ORPHAN_S)
                    os._exit(1)
            elif isinstance(said, Ask):
                threading.Thread(target=self._answer, args=(said,), daemon=True).start()
            elif isinstance(said, Stop | Credit):
                self._control(said)
            else:
                self._begin(said)

    def _begin(self, job: Start | Load) -> None:
        control = self._controls[job.job] = Control(_limit(job))
        name = f"autorag-whisper-job-{job.job}"
        thread = self._threads[job.job] = threading.Thread(target=self._do, args=(job, control), name=name, daemon=True)
        thread.start()

    def _quit(self) -> None:
        for control in self._controls.copy().values():
            control.stop()
        self._quits.set()

    def _control(self, said: Stop | Credit) -> None:
        control = self._controls.get(said.job)
        if control is None:
            return  # it is over
        if isinstance(said, Stop):
            control.stop()
        else:
            control.unread.add(said.count)

    def _answer(self, ask: Ask) -> None:
        try:
            if ask.model is None:
                answer = Answer(ask.number, self._transcriber.resolved_device())
            else:
                model = self._transcriber.model(ask.model, ask.device_hint)
                answer = Answer(ask.number, model.device, model.compute_type)
        except Exception as failure:  # noqa: BLE001 - it is the caller's: it goes there, and the process goes on
            answer = Answer(ask.number, error=_travelling(failure))
        self._line.send(answer)

    # ------------------------------------------------------------ signs of life

    def _beat(self) -> None:
        while not self._quits.wait(BEAT_S):
            self._line.send(self._sign_of_life())

    def _sign_of_life(self) -> Heartbeat:
        controls = self._controls.copy()
        waiting = tuple(job for job, control in controls.items() if control.unread.is_waited_for)
        return Heartbeat(resident_bytes(), self._transcriber.pin, self._transcriber.resolved_device(), waiting)

    # ------------------------------------------------------------ a job's thread

    def _do(self, job: Start | Load, control: Control) -> None:
        with in_job(job.job):
            error = self._failure_of(job, control)
        self._controls.pop(job.job, None)
        self._threads.pop(job.job, None)
        self._line.send(self._sign_of_life())  # before it is judged by its last one, which may be half a second old
        self._line.send(Ready(job.job, error, lingers=bool(control.lingering)))
        for thread in control.lingering:
            thread.join()
        if control.lingering:
            self._line.send(Settled(job.job))

    def _failure_of(self, job: Start | Load, control: Control) -> BaseException | None:
        """Do the job. What ended it before its files had their outcomes; None if nothing did."""
        try:
            if job.pin is not None:
                self._transcriber.adopt(job.pin)
            if isinstance(job, Load):
                self._transcriber.load(self._transcriber.model(job.model, job.device_hint))
            else:
                self._transcribe(job, control)
        except BaseException as failure:  # noqa: BLE001 - it is the caller's: it goes there, and the process goes on
            return _travelling(failure)
        finally:
            if isinstance(job, Start) and job.has_spool:
                os.close(job.spool)
        return None

    def _transcribe(self, job: Start, control: Control) -> None:
        send = self._line.send
        numbers = {id(source): n for n, source in enumerate(job.files)}

        def sources() -> Iterator[MediaSource]:
            for n, source in enumerate(job.files):
                send(FileStarted(job.job, n))
                yield source

        def on_progress(progress: Progress) -> None:
            send(Event(job.job, numbers[id(progress.source)], progress))

        model = self._transcriber.model(job.model, job.device_hint)
        supervised = Supervised(Kept(job, send), linger=control.linger)
        steering = RunControl(control.cancel, on_progress, job.priority, supervised)
        events = self._transcriber.events(sources(), job.options, model, steering)
        with closing(events):
            for event in events:
                self._tell(job, event, numbers, control.unread)

    def _tell(self, job: Start, event: Segment | FileOutcome, numbers: Mapping[int, int], unread: Unread) -> None:
        if isinstance(event, Segment):
            if job.streams and event.index >= job.told:  # of many files the outcomes have them
                unread.take()
                self._line.send(Event(job.job, 0, event))
            return
        unread.take()
        self._line.send(Event(job.job, numbers[id(event.source)], FileEnded(event.transcript, event.error)))


def _limit(said: Start | Load) -> int:
    """How much may be told until the caller has read some of it."""
    if isinstance(said, Load):
        return UNREAD_OUTCOMES
    return (UNREAD_SEGMENTS if said.streams else UNREAD_OUTCOMES) - said.unread


def _travelling(error: BaseException) -> BaseException:
    return error if _can_travel(error) else RuntimeError(f"{type(error).__name__}: {error}")


def _can_travel(error: BaseException) -> bool:
    if not isinstance(error, AutoragWhisperError):
        return False
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - what was pickled in the same line
    except Exception:  # noqa: BLE001 - whatever it is, it stays here
        return False
    return True


def main(descriptor: int) -> None:
    """Serve the parent behind that socket."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    tune_allocator()
    line = Line(Connection(descriptor))

    def make(telemetry: RelayTelemetry) -> SupervisedTranscriber:
        environ = os.environ  # noqa: TID251 - this process's own edge
        return SupervisedTranscriber(build_parts(Settings.from_env(environ), environ, telemetry))

    Worker(line, make).serve()
