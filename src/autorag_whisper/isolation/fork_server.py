"""The fork server: a small process that has everything imported, and forks a decoder process for each recording.

It decodes nothing itself and holds nothing of any recording. Some processes are forked in advance, so that a recording
waits for none. It ends when whoever started it closes the connection, or is gone; then all that it forked end too.
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import selectors
import signal
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper import audio
from autorag_whisper.isolation import confinement
from autorag_whisper.isolation.messages import STATUS
from autorag_whisper.isolation.process import decode, rehearse, run

if TYPE_CHECKING:
    from autorag_whisper.isolation.process import Decode

SPARE = 2
"""Processes that wait for a recording."""
_REST_S = 0.01
"""A process is forked in advance when nothing has happened for so long: the recording that has just come goes first."""
_NONE_REST_S = 1.0
"""The same where the system had no process to give."""
_TASK_BYTES = 1 << 16


@dataclass(slots=True)
class _Child:
    pid: int
    pidfd: int
    line: socket.socket | None
    leash: socket.socket | None = None


class ForkServer:
    """`control`: tasks come here, each with three open files (media, data, leash)."""

    def __init__(self, control: socket.socket, decode: Decode, spare: int = SPARE) -> None:
        self._control, self._decode, self._count = control, decode, spare
        self._mapped_bytes = confinement.address_space_bytes()
        self._selector = selectors.DefaultSelector()
        self._spare: list[_Child] = []
        self._is_over = False

    def serve(self, parent_pidfd: int | None) -> None:
        """Until the connection, or the process behind `parent_pidfd`, is gone."""
        self._selector.register(self._control, selectors.EVENT_READ, self._take)
        if parent_pidfd is not None:
            self._selector.register(parent_pidfd, selectors.EVENT_READ, self._end)
        rest_s = _REST_S
        while not self._is_over:
            lacks = len(self._spare) < self._count
            ready = self._selector.select(rest_s if lacks else None)
            for key, _ in ready:
                key.data()
            if lacks and not ready:
                child = self._forked(in_advance=True)
                self._spare += [child] if child is not None else []
                rest_s = _REST_S if child is not None else _NONE_REST_S

    def _end(self) -> None:
        self._is_over = True

    def _take(self) -> None:
        """A task: to a process that waits, or a new one. Its files are the process's alone from here on."""
        data, descriptors, _, _ = socket.recv_fds(self._control, _TASK_BYTES, 3)
        if not data:
            self._end()
            return
        child = self._handed(data, descriptors[:2]) if len(descriptors) == 3 else None
        for descriptor in descriptors[: 3 if child is None else 2]:  # closed: its reader hears that nobody does it
            os.close(descriptor)
        if child is not None:
            leash = child.leash = socket.socket(fileno=descriptors[2])
            self._selector.register(leash, selectors.EVENT_READ, lambda: self._hung_up(child))

    def _handed(self, data: bytes, descriptors: list[int]) -> _Child | None:
        """The process that has the task; None where none can be had now."""
        while True:
            child = self._spare.pop(0) if self._spare else self._forked(in_advance=False)
            if child is None:
                return None
            assert child.line is not None
            try:
                with child.line:
                    socket.send_fds(child.line, [data], descriptors)
            except ConnectionError:  # it ended while it waited
                continue
            except OSError:
                return None
            child.line = None
            return child

    def _forked(self, *, in_advance: bool) -> _Child | None:
        """A new process; None where the system has none to give (memory, processes or open files of a container)."""
        with ExitStack() as on_failure:
            try:
                ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                on_failure.enter_context(ours)
                with its:
                    pid = os.fork()
                    if not pid:
                        run(its, self._mapped_bytes, self._decode, in_advance=in_advance)
                child = _Child(pid, os.pidfd_open(pid), ours)
            except OSError:
                return None
            on_failure.pop_all()
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._ended(child))
        return child

    def _hung_up(self, child: _Child) -> None:
        """The reader wants no more of it."""
        if child.leash is None:  # it has ended in this very moment
            return
        self._forget_leash(child)
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    def _ended(self, child: _Child) -> None:
        _, status = os.waitpid(child.pid, 0)
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        if child.leash is not None:
            with suppress(OSError):
                child.leash.send(STATUS.pack(os.waitstatus_to_exitcode(status)))
            self._forget_leash(child)
        if child in self._spare:
            self._spare.remove(child)

    def _forget_leash(self, child: _Child) -> None:
        if child.leash is not None:
            self._selector.unregister(child.leash)
            child.leash.close()
            child.leash = None


def warm_up() -> None:
    """Import and use what decoding needs: its processes can open no file, modules of Python neither."""
    for module in pkgutil.iter_modules(audio.__path__):
        importlib.import_module(f"{audio.__name__}.{module.name}")
    for name in ("numpy.fft", "numpy.linalg", "encodings.ascii", "encodings.latin_1", "encodings.utf_16_le"):
        importlib.import_module(name)
    rehearse()


def main(number: int, decode: Decode = decode) -> None:
    """Serve the socket with that number. `decode`: what a process does with its task."""
    pidfd = os.pidfd_open(os.getppid())
    os.set_inheritable(number, False)  # noqa: FBT003 - it takes no names
    with socket.socket(fileno=number) as control:
        warm_up()
        confinement.without_network()
        gc.collect()
        gc.freeze()  # pages that the collector never writes stay shared with the forks
        ForkServer(control, decode).serve(pidfd)
