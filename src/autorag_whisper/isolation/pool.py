"""The fork server as the process that reads has it: started at the first recording, and again where it ended."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from autorag_whisper.domain.media_errors import DecoderUnavailable
from autorag_whisper.files import system_reason
from autorag_whisper.per_process import PerProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_log = logging.getLogger(__name__)

PROGRAM = (sys.executable, "-m", "autorag_whisper.isolation")
"""The fork server, to which the number of its socket is added."""
_KEPT = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "COVERAGE_PROCESS_START",
)
"""Of the environment; what else is there (keys) does not come near strangers' media."""
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""A process of several threads is not to be forked."""


class Begun(NamedTuple):
    """A decoder process at work: what it says comes on `data`; `leash` tells how it ended, and closing it ends it."""

    data: socket.socket
    leash: socket.socket

    def close(self) -> None:
        self.data.close()
        self.leash.close()


class DecoderPool:
    """Begins decoder processes, of any number of threads. The fork server ends with this process, or by `close`."""

    def __init__(self, environ: Mapping[str, str], program: Sequence[str] = PROGRAM) -> None:
        self._environ = {name: environ[name] for name in _KEPT if name in environ} | _ONE_THREAD
        self._program = program
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process_id(self) -> int | None:
        """Of the fork server; None while there is none."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Have the fork server started, so that the first recording does not wait for it. Raises DecoderUnavailable."""
        with self._lock:
            self._connection()

    def begin(self, task: bytes, media: int) -> Begun:
        """Have a process begin with `task` on the open file `media`. Raises DecoderUnavailable.

        The fork server is replaced where it has ended, and for nothing else: all other recordings would end with it.
        """
        reason = ""
        for _ in range(2):  # the fork server may have ended since
            with self._lock:
                try:
                    return _handed_over(self._connection(), task, media)
                except ConnectionError as error:
                    reason = system_reason(error)
                    self._forget()
                except OSError as error:
                    raise DecoderUnavailable(system_reason(error)) from error
        raise DecoderUnavailable(reason)

    def close(self) -> None:
        """End the fork server, and with it every process that it forked."""
        with self._lock:
            self._forget()

    def _connection(self) -> socket.socket:
        if self._control is None:
            control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                with its:
                    self._process = subprocess.Popen(  # noqa: S603 - our own module, by this interpreter
                        [*self._program, str(its.fileno())],
                        pass_fds=[its.fileno()],
                        env=self._environ,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                    )
            except OSError as error:
                control.close()
                raise DecoderUnavailable(system_reason(error)) from error
            self._control = control
        return self._control

    def _forget(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.wait()
            self._process = None


def _handed_over(control: socket.socket, task: bytes, media: int) -> Begun:
    """Give a task to the fork server. Raises OSError."""
    with ExitStack() as on_failure:
        data, its_data = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        on_failure.enter_context(data)
        with its_data:
            leash, its_leash = socket.socketpair()
            on_failure.enter_context(leash)
            with its_leash:
                socket.send_fds(control, [task], [media, its_data.fileno(), its_leash.fileno()])
        on_failure.pop_all()
        return Begun(data, leash)


_pool = PerProcess(lambda: DecoderPool(os.environ))  # noqa: TID251 - where this interpreter finds its modules


def pool() -> DecoderPool:
    """This process's own."""
    return _pool.get()


def is_supported() -> bool:
    """Whether the system has what it takes: Linux 5.3."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")
