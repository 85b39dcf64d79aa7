"""Whether the process that began this one still lives.

The end of its socket says so only as long as nobody else holds the other end, and a fork of the parent does.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_POLL_S = 1.0
"""How often it is looked at where the system cannot tell of its end."""


class Parent:
    """The process behind a socket pair, which it made. Used by one thread.

    Linux tells of its end by a file descriptor of the process (pidfd). Elsewhere, and where that is forbidden, it is
    looked at every second.
    """

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._pid = _maker_of(connection)
        self._was_adopted = os.getppid() != self._pid  # a program between the two: its number is all that is known
        self._pidfd: int | None = None
        self._is_gone = False
        if hasattr(os, "pidfd_open"):
            try:
                self._pidfd = os.pidfd_open(self._pid)
            except ProcessLookupError:
                self._is_gone = True
            except OSError:
                pass  # an older kernel, or a sandbox

    def wait(self) -> bool:
        """Until it has said something, or is gone: whether it is there."""
        watched: list[Any] = [self._connection, *([self._pidfd] if self._pidfd is not None else [])]
        while not self._is_gone:
            ready = wait(watched, None if self._pidfd is not None else _POLL_S)
            self._is_gone = self._pidfd in ready if self._pidfd is not None else self._has_ended()
            if ready and not self._is_gone:
                return True
        return False

    def _has_ended(self) -> bool:
        if not self._was_adopted and os.getppid() != self._pid:
            return True
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def _maker_of(connection: Connection[Any, Any]) -> int:
    """The id of the process that made this socket pair; where the system does not say, of the parent."""
    if hasattr(socket, "SO_PEERCRED"):
        with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as peer:
            credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            pid: int = struct.unpack("3i", credentials)[0]
            if pid:
                return pid
    return os.getppid()
