"""The worker process as its parent has it: started, listened to, ended."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.device import FailureCause
from autorag_whisper.worker.messages import Beat, Load, Quit, Ready, Start
from autorag_whisper.worker.supervision import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from autorag_whisper.domain.device import CpuPin
    from autorag_whisper.worker.messages import FromChild, FromParent

CHILD = (sys.executable, "-m", "autorag_whisper.worker.child")
"""The program, to which the number of its socket is added."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The process has ended; `code` as `subprocess` tells it."""

    code: int

    @property
    def reason(self) -> str:
        """How, one line."""
        return f"ended by signal {-self.code}" if self.code < 0 else f"ended with exit code {self.code}"


class WorkerProcess:
    """One process. What it says is read by a thread of its own, so that a sign of life is never overlooked."""

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float], program: Sequence[str] = CHILD) -> None:
        self._clock = clock
        mine, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, by this interpreter
                [*program, str(its.fileno())], pass_fds=[its.fileno()], env=dict(environ), stdin=subprocess.DEVNULL
            )
        self._connection: Connection[Any, Any] = Connection(mine.detach())
        self._said: SimpleQueue[FromChild | Gone] = SimpleQueue()
        self.started_s = self.heard_s = self.got_on_s = clock()
        self.beat: Beat | None = None
        self.is_ready = False
        self._inherited: CpuPin | None = None
        self._reader = threading.Thread(target=self._read, name="autorag-whisper-worker", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def seen(self, idle_since_s: float | None = None) -> Seen:
        """What the supervision wants to know; `idle_since_s` None: it has a job."""
        now = self._clock()
        return Seen(
            silent_s=now - self.heard_s,
            stalled_s=now - self.got_on_s,
            idle_s=None if idle_since_s is None else now - idle_since_s,
            since_start_s=now - self.started_s,
            resident_bytes=self.beat.resident_bytes if self.beat is not None else 0,
            is_ready=self.is_ready,
            broken=self.broken,
        )

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

    def begin(self, message: FromParent) -> None:
        """Give it a job; its time without progress counts from now."""
        if isinstance(message, Start | Load):
            self._inherited = message.pin
        self.send(message)
        self.got_on_s = self._clock()

    def send(self, message: FromParent) -> None:
        """Say something; to one that is gone, nothing."""
        with contextlib.suppress(OSError):  # what there is to know is that it is gone, and that is read
            self._connection.send(message)

    def next(self, timeout_s: float) -> FromChild | Gone | None:
        """What it said next; None if nothing within that time."""
        try:
            said = self._said.get(timeout=timeout_s)
        except Empty:
            return None
        self.got_on_s = self._clock()
        return said

    def end(self, timeout_s: float) -> None:
        """Have it end after the batch in flight, and wait; kill it where it takes longer than that."""
        self.send(Quit())
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()

    def kill(self) -> None:
        """End it now, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        self._reader.join()
        self._connection.close()

    def _read(self) -> None:
        while True:
            try:
                said: FromChild = self._connection.recv()
            except (EOFError, OSError):
                break
            self.heard_s = self._clock()
            if isinstance(said, Beat):
                self.beat = said
                continue
            if isinstance(said, Ready) and not said.job:
                self.is_ready = True
                continue
            self._said.put(said)
        self._said.put(Gone(self._process.wait()))
