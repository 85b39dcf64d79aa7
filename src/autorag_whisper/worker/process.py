"""The worker process as its parent has it: started, listened to, ended."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.device import FailureCause
from autorag_whisper.worker.messages import ChunkDone, Heartbeat, Load, Quit, Ready, Start
from autorag_whisper.worker.spool import send_descriptor
from autorag_whisper.worker.supervision import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from autorag_whisper.domain.device import CpuPin
    from autorag_whisper.worker.messages import FromChild, FromParent
    from autorag_whisper.worker.spool import Spool

_log = logging.getLogger(__name__)

_KILL_S = 5.0
"""How long a process may take to end once it is killed: one inside the kernel ends when that lets go of it."""

CHILD = (sys.executable, "-m", "autorag_whisper.worker")
"""The program, to which the number of its socket is added."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The process has ended; `code` as `subprocess` tells it. Nothing comes after it."""

    code: int

    @property
    def reason(self) -> str:
        """How, one line."""
        return f"ended by signal {-self.code}" if self.code < 0 else f"ended with exit code {self.code}"


class WorkerProcess:
    """One process, used by one thread. What it says is read by another, so that a sign of life is never overlooked, and
    what it is told is written by a third: one that is stuck reads nothing, and would hold up whoever judges it.

    `tell(process, said)` is called by that other thread with all that is said but the signs of life. `popen` starts it.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        clock: Callable[[], float],
        tell: Callable[[WorkerProcess, FromChild | Gone], object],
        program: Sequence[str] = CHILD,
        popen: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
        kill_s: float = _KILL_S,
    ) -> None:
        self._clock, self._tell, self._kill_s = clock, tell, kill_s
        self._socket, its = socket.socketpair()
        with its:
            self._process = popen(
                [*program, str(its.fileno())], pass_fds=[its.fileno()], env=dict(environ), stdin=subprocess.DEVNULL
            )
        self._connection: Connection[Any, Any] = Connection(os.dup(self._socket.fileno()))
        self.pid = self._process.pid
        self.started_s = self.heard_s = self._worked_s = clock()
        self._got_on_s: dict[int, float] = {}  # by job
        self._jobs: set[int] = set()
        self.beat: Heartbeat | None = None
        self.is_ready = self.is_gone = False
        self._inherited: CpuPin | None = None
        self._outbox: SimpleQueue[tuple[bytes, Spool | None] | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="autorag-whisper-to-worker", daemon=True)
        self._reader = threading.Thread(target=self._read, name="autorag-whisper-worker", daemon=True)
        self._writer.start()
        self._reader.start()

    def seen(self, now: float, idle_since_s: float | None = None) -> Seen:
        """What the supervision wants to know at `now`, by the clock; `idle_since_s` None: it has a job."""
        return Seen(
            silent_s=now - self.heard_s,
            stalled_s=now - self.got_on_s if self._jobs else 0.0,
            idle_s=None if idle_since_s is None else now - idle_since_s,
            since_start_s=now - self.started_s,
            resident_bytes=self.beat.resident_bytes if self.beat is not None else 0,
            is_ready=self.is_ready,
            broken=self.broken,
        )

    def forgive(self, seconds: float, now: float) -> None:
        """Do not count these seconds against the worker: the process that listens to it was itself held up then.

        (It was stopped, or its interpreter was busy, and may not have read what the worker sent.)
        """
        # Never later than now: a worker that was heard since gets no time in advance.
        self.started_s = min(now, self.started_s + seconds)
        self.heard_s = min(now, self.heard_s + seconds)
        self._worked_s = min(now, self._worked_s + seconds)
        for job, since_s in self._got_on_s.copy().items():
            self._got_on_s[job] = min(now, since_s + seconds)

    @property
    def got_on_s(self) -> float:
        """Since when nothing was done of the job that has waited longest, nor any chunk of another one.

        Others may keep the engine busy, and a job that has just begun says something even where the engine hangs.
        """
        return max(self._worked_s, min((self._got_on_s[job] for job in self._jobs), default=0.0))

    def reap(self) -> None:
        """See to it that its end is told, also where a fork of this process holds the other end of the socket."""
        if self._process.poll() is not None:
            self._hang_up()

    @property
    def pin(self) -> CpuPin | None:
        """What keeps it on the CPU, as it said last."""
        return self.beat.pin if self.beat is not None else None

    @property
    def broken(self) -> str:
        """Why its context on the card is of no use any more, as a sticky error has left it; "" if that is not so."""
        pin = self.pin
        is_its_own = pin is not None and pin.cause is FailureCause.STICKY and pin != self._inherited
        return pin.reason if pin is not None and is_its_own else ""

    def begin(self, message: Start | Load, spool: Spool | None = None) -> None:
        """Give it one more job, and the file that its audio lies in; its time without progress counts from now."""
        self._inherited = message.pin or self._inherited
        self._got_on_s[message.job] = self._clock()
        self._jobs.add(message.job)
        self._outbox.put((pickle.dumps(message), spool))

    def waits_for_reader(self, job: int) -> bool:
        """Whether that job does nothing until its caller has read something, as the process has said last."""
        return self.beat is not None and job in self.beat.waiting

    def end_of(self, job: int) -> None:
        """It has said that a job is over."""
        self._jobs.discard(job)
        self._got_on_s.pop(job, None)

    def send(self, message: FromParent) -> None:
        """Say something, without waiting until it is read; to one that is gone, nothing."""
        self._outbox.put((pickle.dumps(message), None))

    def end(self, timeout_s: float) -> bool:
        """Have it end, and wait; kill it where it takes longer than that. All that it said has been told then.

        Whether it ended by itself.
        """
        self.send(Quit())
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        self._close()
        return True

    def kill(self) -> None:
        """End it now, whatever it does. Where the system does not end it in time it is told as gone all the same."""
        self._process.kill()
        try:
            self._process.wait(self._kill_s)
        except subprocess.TimeoutExpired:
            _log.error(
                "worker process %d has not ended %g s after SIGKILL (it waits in the kernel: a driver or a disk may be "
                "stuck) and is left behind, with its memory; a new one takes its place",
                self.pid,
                self._kill_s,
            )
            self._hang_up()
            self._outbox.put(None)
            self._told_gone(-signal.SIGKILL)
        else:
            self._close()

    def _close(self) -> None:
        self._hang_up()
        self._outbox.put(None)
        self._writer.join()
        self._reader.join()
        self._connection.close()
        self._socket.close()

    def _hang_up(self) -> None:
        """Nothing more comes from the other end; what came already is still read."""
        with contextlib.suppress(OSError):  # it was done before
            self._socket.shutdown(socket.SHUT_RDWR)

    def _write(self) -> None:
        while (waiting := self._outbox.get()) is not None:
            message, spool = waiting
            with contextlib.suppress(OSError):  # what there is to know is that it is gone, and that is read
                self._connection.send_bytes(message)
                if spool is not None:
                    send_descriptor(self._connection, spool.descriptor)

    def _read(self) -> None:
        while True:
            try:
                said: FromChild = self._connection.recv()
            except (EOFError, OSError):
                break
            except Exception:  # noqa: BLE001 - what cannot be read is no message of ours, nor is what comes behind it
                self._process.kill()
                break
            self.heard_s = self._clock()
            self._note(said)
            if isinstance(said, Heartbeat) or (isinstance(said, Ready) and not said.job):
                continue
            self._tell(self, said)
        self._outbox.put(None)
        self._told_gone(self._process.wait())

    def _told_gone(self, code: int) -> None:
        """In the thread that reads, or in that which gives it up: its supervisor hears nothing of it afterwards."""
        self.is_gone = True
        self._tell(self, Gone(code))

    def _note(self, said: FromChild) -> None:
        """What it tells of the process itself, and of which jobs have got on."""
        if isinstance(said, Heartbeat):
            self.beat = said
        self.is_ready = self.is_ready or (isinstance(said, Ready) and not said.job)
        if isinstance(said, ChunkDone):
            self._worked_s = self.heard_s
        for job in said.waiting if isinstance(said, Heartbeat) else (getattr(said, "job", 0),):
            if job in self._jobs:
                self._got_on_s[job] = self.heard_s
