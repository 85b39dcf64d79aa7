"""The grant's second lock, which no folder holds: a name of the kernel's own, bound by one process at a time.

A folder can be taken away while somebody holds the grant in it (a logout removes the runtime directory); then his lock
lies on a file that nobody finds, and in a folder that was made again the grant would be free. So the holder binds an
abstract socket besides, named after user and folder. The kernel drops it with its process, as it does a lock.

Such a name is seen in one network namespace: processes in containers with networks of their own have the folder alone.
Another user can bind it too; that one's is not heeded (SO_PEERCRED).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


class SoleName:
    """That name of one folder."""

    def __init__(self, folder: Path) -> None:
        told = f"{os.getuid()}\n{os.path.realpath(folder)}"
        self._name = f"\0autorag-whisper/{hashlib.sha256(os.fsencode(told)).hexdigest()[:32]}"
        self._said = False

    def bind(self) -> socket.socket | None:
        """The name, for as long as the socket is open; None while another process of this user has it.

        Where there are no such names the socket is not bound, and the lock in the folder stands alone.
        """
        sole = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sole.bind(self._name)
            sole.listen(64)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and self._is_this_users():
                sole.close()
                return None
            self._tell(error)
        return sole

    def _is_this_users(self) -> bool:
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as line:
            line.settimeout(0)
            try:
                line.connect(self._name)
            except OSError:  # it is being bound or given up this moment, or many have asked
                return True
            _, uid, _ = struct.unpack(
                "3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            )
            return bool(uid == os.getuid())

    def _tell(self, error: OSError) -> None:
        if not self._said:
            self._said = True
            _log.warning("the GPU's holder is known by its folder alone: %s", error.strerror or type(error).__name__)
