"""How a process is asked to leave the card: one question and one answer over a local socket, as JSON lines."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper.runtime.arbiter.lease import Released

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log = logging.getLogger(__name__)

_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Question:
    """Please leave the card, for the ticket that has the grant. One that has lost it by now asks in vain."""

    ticket: int
    next_tenant: str
    needs_bytes: int


def ask(path: Path, question: Question, timeout_s: float) -> Released:
    """Have the process behind `path` offload, and wait for what came of it.

    One that does not answer in time, or is not there, has released nothing.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(max(0.01, timeout_s))
            with _short(path) as name:
                line.connect(name)
            line.sendall(json.dumps(asdict(question)).encode() + b"\n")
            with line.makefile("rb") as answer:
                return Released(**json.loads(answer.readline(_LONGEST)))
    except (OSError, ValueError, TypeError) as error:
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


class Letterbox:
    """Answers such questions in a thread of its own, one after the other, until it is closed."""

    def __init__(self, path: Path, answer: Callable[[Question], Released]) -> None:
        self._path, self._answer = path, answer
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _short(path) as name:
            self._socket.bind(name)
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, name="autorag-whisper-arbiter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more; the answer on its way is finished first."""
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # wakes the thread that accepts
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            with line:
                try:
                    line.settimeout(1.0)  # who asks has written already; one who does not must not block the others
                    with line.makefile("rb") as asked:
                        question = Question(**json.loads(asked.readline(_LONGEST)))
                    line.sendall(json.dumps(asdict(self._answer(question))).encode() + b"\n")
                except (OSError, ValueError, TypeError) as error:
                    _log.warning("a question to offload came to nothing: %s", type(error).__name__)
