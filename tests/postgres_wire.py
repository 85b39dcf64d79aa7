"""Databases that fall silent, and a wire to one that is cut behind a commit: it is done, and its answer is lost."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.postgres_server import PostgresServer


@contextlib.contextmanager
def silenced(server: PostgresServer) -> Iterator[None]:
    """For the length of a `with`, all processes of a server stand still: connections stay open, and nothing answers."""
    main = psutil.Process(server._process.pid)  # type: ignore[union-attr]  # it runs
    processes = [main, *main.children(recursive=True)]
    _send(processes, signal.SIGSTOP)
    try:
        yield
    finally:
        _send(processes, signal.SIGCONT)


def _send(processes: list[psutil.Process], sent: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # a connection's own process ends with it
            process.send_signal(sent)


class Wire:
    """Serves `url` for the server whose socket lies in `folder`. `cuts`: the next commit's answer is lost.

    `swallow`: nothing comes through any more on connections that there are.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wire"))
        self.url = url.replace(str(folder), str(self.folder))
        self.cuts = False
        self._swallowed = 0
        self._server = folder / ".s.PGSQL.5432"
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.folder / ".s.PGSQL.5432"))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self) -> None:
        """As a network does that has forgotten its connections: what is sent on them is dropped, without a word."""
        self._swallowed += 1

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        server, known = socket.socket(socket.AF_UNIX), self._swallowed
        with client, server, contextlib.suppress(OSError):  # either end may be closed
            server.connect(str(self._server))
            while True:
                for ready in select.select((client, server), (), ())[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    if known != self._swallowed:
                        continue
                    (server if ready is client else client).sendall(data)
                    if ready is client and self.cuts and b"COMMIT" in data:
                        self.cuts = False
                        assert server.recv(1 << 16)  # it is done
                        return

    def close(self) -> None:
        """Carry nothing more that is not carried yet."""
        self._listening.close()
        (self.folder / ".s.PGSQL.5432").unlink()
        self.folder.rmdir()
