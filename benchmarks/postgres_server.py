"""A PostgreSQL server in a temporary folder, for tests and benchmarks, by `scripts/postgres.sh`."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import psycopg

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "postgres.sh"
_MOST_S = 120.0


class NoPostgresError(Exception):
    """There is no PostgreSQL server on this machine."""


class PostgresServer:
    """Runs until `stop`, `kill` or the end of the process; `start` has it again, with what it holds.

    `options`: of `postgres`, as `-c fsync=off`. `within`: where its folder is made; None: where temporary ones are.
    Raises NoPostgresError where none is installed.
    """

    def __init__(self, *options: str, within: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg", dir=within))  # short: a socket's path has 107 bytes
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def log(self) -> str:
        """What it has written."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def url(self, database: str = "postgres") -> str:
        """With its password."""
        password = (self.folder / "password").read_text(encoding="utf-8")
        return f"postgresql://whisper:{password}@/{database}?host={self.folder}"

    def emptied(self) -> str:
        """The address of its database, in which there are no jobs."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS autorag_whisper CASCADE")
        return self.url()

    def start(self) -> None:
        """Serve, and wait until it does."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([SCRIPT, "run", self.folder, *self._options], stdout=log, stderr=log)
        ends = time.monotonic() + _MOST_S
        while True:
            if self._process.poll() is not None:
                raise NoPostgresError(self.log.strip().splitlines()[-1] if self.log.strip() else "it ended at once")
            try:
                psycopg.connect(self.url()).close()
            except (OSError, psycopg.OperationalError):
                if time.monotonic() > ends:
                    raise
                threading.Event().wait(0.02)
            else:
                return

    def stop(self) -> None:
        """End it as an operator does, cutting its connections."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a power cut does: what was not on the disk is gone."""
        self._end(signal.SIGQUIT)

    def close(self) -> None:
        """End it, and remove what it holds. Again is fine."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_MOST_S)
            self._process = None
