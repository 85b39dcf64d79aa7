"""The worker process as its parent has it: started, listened to, ended."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.device import FailureCause
from autorag_whisper.worker.messages import Answer, Heartbeat, Load, Quit, Ready, Start
from autorag_whisper.worker.spool import send_descriptor
from autorag_whisper.worker.supervision import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from autorag_whisper.domain.device import CpuPin
    from autorag_whisper.worker.messages import FromChild, FromParent
    from autorag_whisper.worker.spool import Spool

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

    `tell(process, said)` is called by that other thread with all that is said but the signs of life.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        clock: Callable[[], float],
        tell: Callable[[WorkerProcess, FromChild | Gone], object],
        program: Sequence[str] = CHILD,
    ) -> None:
        self._clock, self._tell = clock, tell
        self._socket, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, by this interpreter
                [*program, str(its.fileno())], pass_fds=[its.fileno()], env=dict(environ), stdin=subprocess.DEVNULL
            )
        self._connection: Connection[Any, Any] = Connection(os.dup(self._socket.fileno()))
        self.pid = self._process.pid
        self.started_s = self.heard_s = self.got_on_s = clock()
        self.beat: Heartbeat | None = None
        self.is_ready = self.is_gone = False
        self._inherited: CpuPin | None = None
        self._letters: SimpleQueue[tuple[bytes, Spool | None] | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="autorag-whisper-to-worker", daemon=True)
        self._reader = threading.Thread(target=self._read, name="autorag-whisper-worker", daemon=True)
        self._writer.start()
        self._reader.start()

    def seen(self, now: float, idle_since_s: float | None = None) -> Seen:
        """What the supervision wants to know at `now`, by the clock; `idle_since_s` None: it has a job."""
        return Seen(
            silent_s=now - self.heard_s,
            stalled_s=now - self.got_on_s,
            idle_s=None if idle_since_s is None else now - idle_since_s,
            since_start_s=now - self.started_s,
            resident_bytes=self.beat.resident_bytes if self.beat is not None else 0,
            is_ready=self.is_ready,
            broken=self.broken,
        )

    def forgive(self, seconds: float, now: float) -> None:
        """This process was held up for so long and may not have heard it: that is not the other's fault."""
        # What it has said since is forgiven no further.
        self.started_s = min(now, self.started_s + seconds)
        self.heard_s = min(now, self.heard_s + seconds)
        self.got_on_s = min(now, self.got_on_s + seconds)

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
        """Give it a job, and the file that its audio lies in; its time without progress counts from now."""
        self._inherited = message.pin
        self._letters.put((pickle.dumps(message), spool))
        self.got_on_s = self._clock()

    def send(self, message: FromParent) -> None:
        """Say something, without waiting until it is read; to one that is gone, nothing."""
        self._letters.put((pickle.dumps(message), None))

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
        """End it now, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        self._hang_up()
        self._letters.put(None)
        self._writer.join()
        self._reader.join()
        self._connection.close()
        self._socket.close()

    def _hang_up(self) -> None:
        """Nothing more comes from the other end; what came already is still read."""
        with contextlib.suppress(OSError):  # it was done before
            self._socket.shutdown(socket.SHUT_RDWR)

    def _write(self) -> None:
        while (letter := self._letters.get()) is not None:
            message, spool = letter
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
            if isinstance(said, Heartbeat):
                self.beat = said
                if said.waits:
                    self.got_on_s = self.heard_s
                continue
            if isinstance(said, Ready) and not said.job:
                self.is_ready = True
                continue
            if not isinstance(said, Answer):
                self.got_on_s = self.heard_s
            self._tell(self, said)
        self._letters.put(None)
        code = self._process.wait()
        self.is_gone = True
        self._tell(self, Gone(code))
