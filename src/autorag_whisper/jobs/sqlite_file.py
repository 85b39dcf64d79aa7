"""A file of SQLite that one process has: its lock, its version, its transactions, and what goes wrong with it.

SQLite before 3.51.3 may damage a file that several connections write to while its log is reset, so all writing goes
through one connection of one process, which holds a lock of the operating system on a file beside it. A network file
system is refused: neither that lock nor SQLite's own can be relied on there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.job_errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NETWORKS = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "9p", "glusterfs", "lustre", "fuse.sshfs")
)
_CACHE_KIB = 16 << 10


class SqliteFile:
    """WAL, `synchronous=FULL`: what is committed is on the disk. Thread-safe: one at a time.

    Raises StoreUnavailable where another process has it, a newer version wrote it, or it lies on a network.
    """

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self._path, self._closed = path, False
        path.parent.mkdir(parents=True, exist_ok=True)
        if (kind := file_system(path.parent)) in _NETWORKS:
            raise StoreUnavailable(str(path), f"it lies on a network ({kind})")
        self._lock = threading.RLock()
        with contextlib.ExitStack() as undo:
            only_one = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            undo.callback(os.close, only_one)
            try:
                fcntl.flock(only_one, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                undo.callback(self._database.close)
                self._database.row_factory = sqlite3.Row
                self._prepare(migrations)
            except BlockingIOError as error:
                raise StoreUnavailable(str(path), "another process has it") from error
            except (OSError, sqlite3.Error) as error:
                raise StoreUnavailable(str(path), str(error)) from error
            self._held = undo.pop_all()

    def _prepare(self, migrations: Sequence[str]) -> None:
        run = self._database.execute
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("PRAGMA foreign_keys = ON")
        run(f"PRAGMA cache_size = -{_CACHE_KIB}")
        version = run("PRAGMA user_version").fetchone()[0]
        if version > len(migrations):
            raise StoreUnavailable(str(self._path), f"version {version} wrote it, this one knows {len(migrations)}")
        for number in range(version, len(migrations)):
            self._database.executescript(
                f"BEGIN IMMEDIATE; {migrations[number]}; PRAGMA user_version = {number + 1}; COMMIT;"
            )

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing, on the disk when it is over.

        Raises StoreUnavailable where that cannot be: the disk is full, or fails.
        """
        with self._lock, self._told():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # a full disk may have ended it already
                    self._database.execute("ROLLBACK")
                raise

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """What a query finds. Raises StoreUnavailable."""
        with self._lock, self._told():
            return self._database.execute(statement, values).fetchall()

    def close(self) -> None:
        """Give the file to others. Again is fine."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._held.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreUnavailable(str(self._path), str(error)) from error


def file_system(folder: Path) -> str:
    """The kind of file system that holds a folder; "" where nothing tells."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place, best, kind = str(folder.resolve()), "", ""
    for line in mounts:
        _, mount, type_, *_ = line.split(" ")
        mount = mount.replace("\\040", " ")
        if (place == mount or place.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best):
            best, kind = mount, type_
    return kind
