"""Jobs in a file of SQLite: WAL, `synchronous=FULL`, one process that writes.

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
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.job_errors import StoreUnavailable
from autorag_whisper.jobs.job import POISONED, Claim, Job, JobEvent, JobRequest, JobState
from autorag_whisper.jobs.store import MOST_DEATHS, WAITING_WORTH_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MIGRATIONS = (
    """
    CREATE TABLE jobs (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        client TEXT NOT NULL,
        idempotency_key TEXT,
        request TEXT NOT NULL,
        priority INTEGER NOT NULL,
        state TEXT NOT NULL,
        created_s REAL NOT NULL,
        ready_s REAL NOT NULL,
        started_s REAL NOT NULL DEFAULT 0,
        finished_s REAL NOT NULL DEFAULT 0,
        audio_s REAL NOT NULL DEFAULT 0,
        total_s REAL NOT NULL DEFAULT 0,
        deaths INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0,
        error TEXT NOT NULL DEFAULT '',
        wants_cancel INTEGER NOT NULL DEFAULT 0,
        fence INTEGER NOT NULL DEFAULT 0,
        lease_until_s REAL NOT NULL DEFAULT 0
    );
    CREATE UNIQUE INDEX by_key ON jobs (client, idempotency_key) WHERE idempotency_key IS NOT NULL;
    CREATE INDEX waiting ON jobs (ready_s, priority) WHERE state = 'queued';
    CREATE INDEX leased ON jobs (lease_until_s) WHERE state = 'running';
    CREATE INDEX ended ON jobs (finished_s) WHERE state IN ('done', 'failed', 'cancelled');
    CREATE TABLE chunks (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, number INTEGER NOT NULL, checkpoint BLOB NOT NULL,
        PRIMARY KEY (job, number)
    ) WITHOUT ROWID;
    CREATE TABLE events (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, number INTEGER NOT NULL, kind TEXT NOT NULL,
        data TEXT NOT NULL, PRIMARY KEY (job, number)
    ) WITHOUT ROWID;
    """,
)
"""One for each version of the file, forward only; `user_version` counts those that were applied."""

_NETWORKS = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "9p", "glusterfs", "lustre", "fuse.sshfs")
)


class SqliteJobStore:
    """A `JobStore` in the file `path`, which is made where there is none.

    Raises StoreUnavailable where another process has it, a newer version wrote it, or it lies on a network.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if (kind := _file_system(path.parent)) in _NETWORKS:
            raise StoreUnavailable(str(path), f"it lies on a network ({kind})")
        self._only_one = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._only_one, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._lock = threading.RLock()
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.row_factory = sqlite3.Row
            self._prepare()
        except (OSError, sqlite3.Error, StoreUnavailable) as error:
            os.close(self._only_one)
            if isinstance(error, StoreUnavailable):
                raise
            taken = isinstance(error, BlockingIOError)
            raise StoreUnavailable(str(path), "another process has it" if taken else str(error)) from error
        self._closed = False

    def _prepare(self) -> None:
        run = self._database.execute
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("PRAGMA foreign_keys = ON")
        version = run("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise StoreUnavailable(str(self._path), f"version {version} wrote it, this one knows {len(MIGRATIONS)}")
        for number in range(version, len(MIGRATIONS)):
            self._database.executescript(
                f"BEGIN IMMEDIATE; {MIGRATIONS[number]}; PRAGMA user_version = {number + 1}; COMMIT;"
            )
        # Only one process has the file: whoever had a job in hand is dead.
        run("UPDATE jobs SET lease_until_s = 0 WHERE state = 'running'")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing, on the disk when it is over."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()

    def add(self, request: JobRequest, now_s: float) -> Job:
        with self._writing() as database:
            if request.idempotency_key:
                found = database.execute(
                    "SELECT * FROM jobs WHERE client = ? AND idempotency_key = ?",
                    (request.client, request.idempotency_key),
                ).fetchone()
                if found is not None:
                    return _job(found)
            job_id = uuid.uuid4().hex
            database.execute(
                "INSERT INTO jobs (id, client, idempotency_key, request, priority, state, created_s, ready_s) "
                "VALUES (?, ?, ?, ?, ?, 'queued', ?, ?)",
                (
                    job_id,
                    request.client,
                    request.idempotency_key or None,
                    request.to_json(),
                    request.priority,
                    now_s,
                    now_s,
                ),
            )
            return Job(job_id, request, JobState.QUEUED, now_s)

    def get(self, job_id: str, client: str | None = None) -> Job | None:
        found = self._rows("SELECT * FROM jobs WHERE id = ?", job_id)
        return _job(found[0]) if found and client in (None, found[0]["client"]) else None

    def newest(
        self, client: str | None = None, state: JobState | None = None, *, limit: int = 100, before: str = ""
    ) -> list[Job]:
        rows = self._rows(
            "SELECT * FROM jobs WHERE (?1 IS NULL OR client = ?1) AND (?2 IS NULL OR state = ?2) "
            "AND (?3 = '' OR place < (SELECT place FROM jobs WHERE id = ?3)) ORDER BY place DESC LIMIT ?4",
            client, state.value if state is not None else None, before, limit,
        )  # fmt: skip
        return [_job(row) for row in rows]

    def position(self, job_id: str) -> int:
        rows = self._rows(
            "SELECT count(*) FROM jobs AS other, jobs AS own WHERE own.id = ? AND own.state = 'queued' "
            "AND other.state = 'queued' AND other.id != own.id AND "
            "(other.ready_s - other.priority * ?, other.place) < (own.ready_s - own.priority * ?, own.place)",
            job_id, WAITING_WORTH_S, WAITING_WORTH_S,
        )  # fmt: skip
        return int(rows[0][0])

    def claim(self, lease_s: float, now_s: float) -> Claim | None:
        with self._writing() as database:
            # Whose process died: again, unless it did so with too many.
            database.execute(
                "UPDATE jobs SET deaths = deaths + 1, fence = fence + 1, "
                "state = CASE WHEN wants_cancel THEN 'cancelled' WHEN deaths + 1 >= ? THEN 'failed' ELSE 'queued' END, "
                "finished_s = CASE WHEN wants_cancel OR deaths + 1 >= ? THEN ? ELSE 0 END, "
                "error = CASE WHEN NOT wants_cancel AND deaths + 1 >= ? THEN ? ELSE '' END "
                "WHERE state = 'running' AND lease_until_s < ?",
                (MOST_DEATHS, MOST_DEATHS, now_s, MOST_DEATHS, POISONED, now_s),
            )
            found = database.execute(
                "UPDATE jobs SET state = 'running', fence = fence + 1, lease_until_s = ?, "
                "started_s = CASE WHEN started_s THEN started_s ELSE ? END WHERE place = ("
                "SELECT place FROM jobs WHERE state = 'queued' AND ready_s <= ? "
                "ORDER BY ready_s - priority * ?, place LIMIT 1) "
                "RETURNING *",
                (now_s + lease_s, now_s, now_s, WAITING_WORTH_S),
            ).fetchone()
        return Claim(_job(found), found["fence"], now_s + lease_s) if found else None

    def renew(self, claim: Claim, lease_s: float, now_s: float, progress: tuple[float, float]) -> Claim | None:
        with self._writing() as database:
            found = database.execute(
                "UPDATE jobs SET lease_until_s = ?1, deaths = CASE WHEN ?2 > audio_s THEN 0 ELSE deaths END, "
                "audio_s = max(audio_s, ?2), total_s = ?3 "
                "WHERE id = ?4 AND fence = ?5 AND state = 'running' RETURNING *",
                (now_s + lease_s, *progress, claim.job.id, claim.fence),
            ).fetchone()
        return Claim(_job(found), claim.fence, now_s + lease_s) if found else None

    def keep(
        self, claim: Claim, events: Sequence[tuple[str, str]], checkpoint: tuple[int, bytes] | None = None
    ) -> bool:
        with self._writing() as database:
            if not self._is_held(database, claim):
                return False
            if checkpoint is not None:
                database.execute("INSERT OR REPLACE INTO chunks VALUES (?, ?, ?)", (claim.job.id, *checkpoint))
            self._tell(database, claim.job.id, events)
            return True

    def checkpoints(self, job_id: str) -> dict[int, bytes]:
        return {row[0]: row[1] for row in self._rows("SELECT number, checkpoint FROM chunks WHERE job = ?", job_id)}

    def finish(self, claim: Claim, now_s: float) -> bool:
        return self._end(claim, JobState.DONE, now_s, "")

    def fail(self, claim: Claim, error: str, now_s: float, again_s: float | None = None) -> bool:
        if again_s is None:
            return self._end(claim, JobState.FAILED, now_s, error)
        with self._writing() as database:
            return bool(
                database.execute(
                    "UPDATE jobs SET state = 'queued', failures = failures + 1, ready_s = ?, fence = fence + 1 "
                    "WHERE id = ? AND fence = ? AND state = 'running'",
                    (again_s, claim.job.id, claim.fence),
                ).rowcount
            )

    def hand_back(self, claim: Claim) -> bool:
        with self._writing() as database:
            return bool(
                database.execute(
                    "UPDATE jobs SET state = 'queued', fence = fence + 1 "
                    "WHERE id = ? AND fence = ? AND state = 'running'",
                    (claim.job.id, claim.fence),
                ).rowcount
            )

    def cancelled(self, claim: Claim, now_s: float) -> bool:
        return self._end(claim, JobState.CANCELLED, now_s, "")

    def cancel(self, job_id: str, now_s: float) -> Job | None:
        with self._writing() as database:
            database.execute("UPDATE jobs SET wants_cancel = 1 WHERE id = ? AND state = 'running'", (job_id,))
            database.execute(
                "UPDATE jobs SET state = 'cancelled', wants_cancel = 1, finished_s = ? "
                "WHERE id = ? AND state = 'queued'",
                (now_s, job_id),
            )
        return self.get(job_id)

    def retry(self, job_id: str, now_s: float) -> Job | None:
        with self._writing() as database:
            database.execute(
                "UPDATE jobs SET state = 'queued', wants_cancel = 0, deaths = 0, failures = 0, error = '', "
                "finished_s = 0, ready_s = ? WHERE id = ? AND state IN ('failed', 'cancelled')",
                (now_s, job_id),
            )
        return self.get(job_id)

    def events(self, job_id: str, after: int = 0) -> list[JobEvent]:
        rows = self._rows(
            "SELECT number, kind, data FROM events WHERE job = ? AND number > ? ORDER BY number", job_id, after
        )
        return [JobEvent(*row) for row in rows]

    def prune(self, before_s: float) -> list[Job]:
        with self._writing() as database:
            rows = database.execute(
                "DELETE FROM jobs WHERE state IN ('done', 'failed', 'cancelled') AND finished_s < ? RETURNING *",
                (before_s,),
            ).fetchall()
        return [_job(row) for row in rows]

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                self._database.close()
                os.close(self._only_one)

    def _end(self, claim: Claim, state: JobState, now_s: float, error: str) -> bool:
        with self._writing() as database:
            ended = database.execute(
                "UPDATE jobs SET state = ?, finished_s = ?, error = ?, fence = fence + 1 "
                "WHERE id = ? AND fence = ? AND state = 'running'",
                (state.value, now_s, error, claim.job.id, claim.fence),
            ).rowcount
            if ended and state is JobState.DONE:
                database.execute("DELETE FROM chunks WHERE job = ?", (claim.job.id,))
            return bool(ended)

    @staticmethod
    def _is_held(database: sqlite3.Connection, claim: Claim) -> bool:
        held = "SELECT 1 FROM jobs WHERE id = ? AND fence = ? AND state = 'running'"
        return database.execute(held, (claim.job.id, claim.fence)).fetchone() is not None

    @staticmethod
    def _tell(database: sqlite3.Connection, job_id: str, events: Sequence[tuple[str, str]]) -> None:
        for kind, data in events:
            database.execute(
                "INSERT INTO events SELECT ?, coalesce(max(number), 0) + 1, ?, ? FROM events WHERE job = ?",
                (job_id, kind, data, job_id),
            )


_AS_THEY_ARE = ("created_s", "started_s", "finished_s", "audio_s", "total_s", "deaths", "failures", "error")


def _job(row: sqlite3.Row) -> Job:
    known = {name: row[name] for name in _AS_THEY_ARE}
    request, cancel = JobRequest.from_json(row["request"]), bool(row["wants_cancel"])
    return Job(row["id"], request, JobState(row["state"]), wants_cancel=cancel, **known)


def _file_system(folder: Path) -> str:
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
