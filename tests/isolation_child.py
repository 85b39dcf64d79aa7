"""A fork server whose decoder processes do what the first word of the media says: `isolation_child.py [FILE] FD`.

What is no order is decoded as usual. While there is a FILE, the system has no process to give.
"""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper.domain.audio import MediaDamage, MediaInfo
from autorag_whisper.isolation.fork_server import main
from autorag_whisper.isolation.messages import END, ERROR, INFO, SAMPLES, End, Info, end_json, info_json, send
from autorag_whisper.isolation.process import decode

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from autorag_whisper.isolation.messages import Task

INFO_JSON = info_json(Info(MediaInfo("wav", "pcm", 16_000, 1, 0, 1), None))
SECOND = bytes(64_000)


def refused(act: Callable[[], object]) -> str:
    """What keeps a process from doing it; "" where it can."""
    try:
        act()
    except OSError as error:
        return str(error.strerror)
    return ""


def forked() -> None:
    if not os.fork():
        os._exit(0)


def attempts(media: int, target: int) -> dict[str, str]:
    """What is refused of what an attacker would do."""
    return {
        "read a file": refused(Path("/etc/hostname").read_bytes),
        "write a file": refused(lambda: Path("/tmp/out").write_bytes(b"")),
        "list a folder": refused(lambda: list(Path("/").iterdir())),
        "make a folder": refused(Path("/tmp/made-by-a-decoder").mkdir),
        "remove a file": refused(Path("/tmp").rmdir),
        "internet": refused(socket.socket),
        "datagrams": refused(lambda: socket.socket(type=socket.SOCK_DGRAM)),
        "local sockets": refused(lambda: socket.socket(socket.AF_UNIX)),
        "pipes": refused(os.pipe),
        "a process": refused(forked),
        "a program": refused(lambda: os.execv("/bin/true", ["true"])),
        "end others": refused(lambda: os.kill(target, 0)),
        "change the media": refused(lambda: os.pwrite(media, b"x", 0)),
        "be root": refused(lambda: os.setuid(0)),
        "more descriptors": refused(_more_descriptors),
    }


def _more_descriptors() -> None:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (10, 10))
    except ValueError as error:
        raise OSError(errno.EPERM, str(error)) from error


def obey(task: Task, file: BinaryIO, answer: socket.socket) -> None:
    order = bytes(file.read(12)).split(b" ")[0].decode("latin-1")
    if order == "CRASH":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif order == "LATE-CRASH":
        send(answer, INFO, INFO_JSON)
        send(answer, SAMPLES, SECOND)
        os.abort()
    elif order == "EXIT":
        os._exit(7)
    elif order == "LOOP":
        while True:
            pass
    elif order == "SILENT":
        signal.pause()
    elif order == "GROW":
        decode_growing(task, answer)
    elif order == "TRY":
        told = {"error": "ReaderFailed", "fields": {"detail": json.dumps(attempts(3, os.getppid()))}}
        send(answer, ERROR, json.dumps(told).encode())
    elif order == "ENVIRON":
        told = {"error": "ReaderFailed", "fields": {"detail": " ".join(os.environ)}}  # noqa: TID251 - it is what is asked
        send(answer, ERROR, json.dumps(told).encode())
    elif order == "SAY":
        answer.send(bytes(file.read()))
        send(answer, INFO, INFO_JSON)
    elif order == "GO-ON":
        send(answer, INFO, INFO_JSON)
        file.seek(6)
        answer.send(bytes(file.read()))
        send(answer, END, end_json(End(MediaDamage(), ())))
    else:
        file.seek(0)
        decode(task, file, answer)


def decode_growing(task: Task, answer: socket.socket) -> None:
    class Growing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            self.held = bytearray(task.limits.memory_mb << 20)
            return b""

    decode(task, Growing(b"x" * 100), answer)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if len(sys.argv) > 2:
        fork, barren = os.fork, Path(sys.argv[1])

        def fork_if_allowed() -> int:
            if barren.exists():
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            return fork()

        os.fork = fork_if_allowed
    main(int(sys.argv[-1]), obey)
