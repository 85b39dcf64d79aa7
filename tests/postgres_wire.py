"""A wire between a store and its database that can be cut behind a commit: it is done, and its answer is lost."""

from __future__ import annotations

import contextlib
import select
import socket
import tempfile
import threading
from pathlib import Path


class Wire:
    """Serves `url` for the server whose socket lies in `folder`. `cuts`: the next commit's answer is lost."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wire"))
        self.url = url.replace(str(folder), str(self.folder))
        self.cuts = False
        self._server = folder / ".s.PGSQL.5432"
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.folder / ".s.PGSQL.5432"))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        with client, server, contextlib.suppress(OSError):  # either end may be closed
            server.connect(str(self._server))
            while True:
                for ready in select.select((client, server), (), ())[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
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
