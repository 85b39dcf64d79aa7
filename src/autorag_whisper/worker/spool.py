"""Audio that has no path on its way to another process: one temporary file for a job, without a name, handed over open.

The file has no name from the start, and is gone when neither process has it open any more, however they end. A process
that replaces one that died is handed the same file again.

```
  parent   Start(files: paths and parts)  +  descriptor ---------> child reads the parts, each by itself
```
"""

from __future__ import annotations

import io
import os
import socket
import tempfile
import weakref
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from autorag_whisper.audio.memory import MemoryFile, Refused
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import MediaUnreadable, RequestError
from autorag_whisper.domain.interruptions import let_signals_through
from autorag_whisper.files import system_reason, write_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from typing import Any

_COPY_BYTES = 1 << 20
_MARK = b"F"
"""A byte of the stream that the descriptor travels with."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes [start, start + size) of a job's spool, to be read through `descriptor`; -1 before it has arrived."""

    start: int
    size: int
    descriptor: int = -1

    def open(self, name: str) -> BinaryIO:
        """A file of them. Raises MediaUnreadable where the spool is gone."""
        if self.descriptor < 0:
            raise MediaUnreadable(name, "is in no file that this process has")
        return io.BufferedReader(_PartFile(self), _COPY_BYTES)


class _PartFile(MemoryFile):
    """Read by position: whoever else reads the same open file is not disturbed."""

    def __init__(self, part: Part) -> None:
        super().__init__(part.size)
        self._part = part

    def _copy(self, target: memoryview) -> int:
        data = os.pread(self._part.descriptor, len(target), self._part.start + self._at)
        target[: len(data)] = data
        return len(data)


class Spool:
    """The audio without a path of one job. The file is this process's as long as there is the object."""

    def __init__(self) -> None:
        # Without a buffer: where the disk is full nothing is held back that a later call would try to write again.
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed with the object
        weakref.finalize(self, file.close)
        self._file = file

    @property
    def descriptor(self) -> int:
        """Of the open file."""
        return self._file.fileno()

    def add(self, source: MediaSource, check: Callable[[], object] = lambda: None) -> MediaSource:
        """`source` as a part of this file, its audio copied; what cannot be opened or read says so when it is opened.

        `check` is called between the pieces; what it raises ends the copy.
        """
        start = self._file.seek(0, os.SEEK_END)
        try:
            with closing(source.open()) as media:
                while piece := media.read(_COPY_BYTES):
                    check()
                    write_all(self._file, piece)
        except RequestError as error:
            return MediaSource(source.name, held=Refused(error))
        except OSError as error:
            self._file.truncate(start)
            return refused(source, error)
        return MediaSource(source.name, held=Part(start, self._file.tell() - start), isolation=source.isolation)


def refused(source: MediaSource, error: OSError) -> MediaSource:
    """`source`, whose audio could not be copied because of `error`: it says so when it is opened.

    Raises `error` where it is a signal handler's.
    """
    let_signals_through(error)
    return MediaSource(source.name, held=Refused(MediaUnreadable(source.name, system_reason(error, "cannot be read"))))


def arrived(source: MediaSource, descriptor: int) -> MediaSource:
    """`source` as this process reads it, whose descriptor of the spool that is."""
    part = source.held
    return replace(source, held=replace(part, descriptor=descriptor)) if isinstance(part, Part) else source


def send_descriptor(connection: Connection[Any, Any], descriptor: int) -> None:
    """Hand an open file over. The other end has it as long as it likes."""
    with socket.socket(fileno=os.dup(connection.fileno())) as sending:
        socket.send_fds(sending, [_MARK], [descriptor])


def receive_descriptor(connection: Connection[Any, Any]) -> int:
    """What `send_descriptor` of the other end has handed over. Raises OSError if nothing came."""
    with socket.socket(fileno=os.dup(connection.fileno())) as receiving:
        _, descriptors, _, _ = socket.recv_fds(receiving, len(_MARK), 1)
    if not descriptors:
        raise OSError("the open file did not arrive")
    os.set_inheritable(descriptors[0], False)  # noqa: FBT003 - it takes no names
    return descriptors[0]
