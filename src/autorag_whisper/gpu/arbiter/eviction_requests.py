"""How one process asks another to leave the card: one request and one answer over a local socket, as JSON lines."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import socket
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper.gpu.arbiter.lease import Released

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log = logging.getLogger(__name__)

_LONGEST = 4096
LOOKS_S = 2.0
"""How often a listener looks whether its socket is still there."""


@dataclass(frozen=True, slots=True)
class EvictionRequest:
    """Leave the card for the ticket that has the grant; refused if that ticket no longer has it."""

    ticket: int
    next_tenant: str
    needs_bytes: int


def send(request: EvictionRequest, path: Path, timeout_s: float) -> Released:
    """Have the process that listens at `path` offload, and wait for what it released.

    A process that does not answer in time, or is dead, has released nothing (`verified` False). Raises nothing.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(max(0.01, timeout_s))
            with _short(path) as name:
                line.connect(name)
            line.sendall(json.dumps(asdict(request)).encode() + b"\n")
            with line.makefile("rb") as answer:
                return Released(**json.loads(answer.readline(_LONGEST)))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        return Released(verified=False, note=f"no answer: {type(error).__name__}")


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """`path` by way of an open folder where the system has that: a socket's path may have 107 bytes, no more."""
    proc = f"/proc/{os.getpid()}/fd"
    if not Path(proc).is_dir():
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield f"{proc}/{folder}/{path.name}"
    finally:
        os.close(folder)


class EvictionListener:
    """Answers eviction requests in a thread of its own, one after the other, until it is closed.

    If its socket is deleted, that thread notices within `LOOKS_S` and calls `lost`, which may `bind` it again.
    """

    def __init__(self, path: Path, answer: Callable[[EvictionRequest], Released], lost: Callable[[], object]) -> None:
        self._path, self._answer, self._lost = path, answer, lost
        self._closed = False
        self._wake, self._woken = socket.socketpair()
        self.bind()
        self._thread = threading.Thread(target=self._serve, name="autorag-whisper-arbiter", daemon=True)
        self._thread.start()

    def bind(self) -> None:
        """Make the socket at its path, in place of the one before. Raises OSError."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)
            with _short(self._path) as name:
                made.bind(name)
            made.listen()
            made.setblocking(False)  # noqa: FBT003 - the name of the parameter is the method's
            self._inode = self._path.lstat().st_ino
        except BaseException:
            made.close()
            raise
        self._socket = made  # the one before is closed when the thread has left it
        self._wake.send(b"b")

    @property
    def is_there(self) -> bool:
        """Whether its socket is still where it is looked for."""
        try:
            return self._path.lstat().st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Answer no more; the answer on its way is finished first."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._unlink()
        self._wake.close()
        self._thread.join()
        self._socket.close()
        self._woken.close()

    def _unlink(self) -> None:
        if self.is_there:
            self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while not self._closed:
            inbox = self._socket
            poll = select.poll()
            for one in (inbox, self._woken):
                poll.register(one, select.POLLIN)
            told = [fd for fd, _ in poll.poll(1000 * LOOKS_S)]
            if not told and not self.is_there:
                self._lost()
            if self._woken.fileno() in told:
                self._woken.recv(64)
            if inbox.fileno() not in told:
                continue
            try:
                line, _ = inbox.accept()
            except OSError:  # who asked has given up
                continue
            with line:
                try:
                    line.settimeout(1.0)  # who asks has written already; one who does not must not block the others
                    with line.makefile("rb") as asked:
                        request = EvictionRequest(**json.loads(asked.readline(_LONGEST)))
                    line.sendall(json.dumps(asdict(self._answer(request))).encode() + b"\n")
                except (OSError, ValueError, TypeError, RecursionError) as error:
                    _log.warning("a request to leave the card could not be answered: %s", type(error).__name__)
