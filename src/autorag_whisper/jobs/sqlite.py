"""Jobs in a file of SQLite (`jobs.sqlite_file`) that is laid out as `jobs.sqlite_schema` says; one process has it."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from autorag_whisper.jobs.delivery import Delivery
from autorag_whisper.jobs.job import (
    DONE_EVENT,
    NO_LIMITS,
    POISONED,
    Claim,
    Job,
    JobEvent,
    JobRequest,
    JobState,
    QueueLimits,
    Usage,
    check_limits,
    storable,
)
from autorag_whisper.jobs.shown import ended_payload
from autorag_whisper.jobs.sql_library import SqlLibrary, columns_of
from autorag_whisper.jobs.sqlite_file import SqliteFile
from autorag_whisper.jobs.sqlite_library import SqliteDialect
from autorag_whisper.jobs.sqlite_schema import MIGRATIONS
from autorag_whisper.jobs.store import AHEAD_S, MOST_DEATHS, WAITING_WORTH_S

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path

_FINAL = "state IN ('done', 'failed', 'cancelled')"


class SqliteDeliveries:
    """The `Deliveries` of a `SqliteJobStore`."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def claim(self, lease_s: float, now_s: float, busy: Sequence[str] = ()) -> Delivery | None:
        others = " AND substr(url, 1, ?) <> ?" * len(busy)
        with self._file.writing() as database:
            found = database.execute(
                "UPDATE deliveries SET due_s = ?, attempts = attempts + 1 WHERE number = ("  # noqa: S608 - of the above
                f"SELECT number FROM deliveries WHERE ended_s = 0 AND (due_s <= ? OR due_s > ?){others} "
                "ORDER BY due_s, number LIMIT 1) RETURNING *",
                (now_s + lease_s, now_s, now_s + AHEAD_S, *(value for one in busy for value in (len(one), one))),
            ).fetchone()
        return _delivery(found) if found else None

    def delivered(self, delivery: Delivery, response: str, now_s: float) -> bool:
        return self._over(delivery, "delivered = 1, response = ?, ended_s = ?", storable(response), now_s)

    def failed(self, delivery: Delivery, response: str, now_s: float, again_s: float | None = None) -> bool:
        if again_s is None:
            return self._over(delivery, "response = ?, ended_s = ?", storable(response), now_s)
        return self._over(delivery, "response = ?, due_s = ?", storable(response), again_s)

    def of_job(self, job_id: str) -> list[Delivery]:
        rows = self._file.rows("SELECT * FROM deliveries WHERE job = ? ORDER BY number", job_id)
        return [_delivery(row) for row in rows]

    def _over(self, delivery: Delivery, changes: str, *values: Any) -> bool:
        with self._file.writing() as database:
            changed = database.execute(
                f"UPDATE deliveries SET {changes} WHERE id = ? AND attempts = ? AND ended_s = 0",  # noqa: S608 - what the methods above say
                (*values, delivery.id, delivery.attempts),
            )
            return bool(changed.rowcount)


class SqliteJobStore:
    """A `JobStore` in the file `path`, which is made where there is none.

    Raises StoreUnavailable where another process has it, a newer version wrote it, or it lies on a network.
    """

    is_shared = False

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, MIGRATIONS)
        self._wakes: list[Callable[[], None]] = []
        self.deliveries = SqliteDeliveries(self._file)
        self.library = SqlLibrary(SqliteDialect(self._file), _job)
        self.library.complete()
        with self._file.writing() as database:  # only one process has the file: whoever had a job in hand is dead
            database.execute("UPDATE jobs SET lease_until_s = 0 WHERE state = 'running'")

    def add(self, request: JobRequest, now_s: float, limits: QueueLimits = NO_LIMITS) -> Job:
        job = Job(uuid.uuid4().hex, request, JobState.QUEUED, now_s, kept_bytes=request.media_bytes)
        with self._file.writing() as database:
            if request.idempotency_key:
                found = database.execute(
                    "SELECT * FROM jobs WHERE client = ? AND idempotency_key = ?",
                    (request.client, storable(request.idempotency_key)),
                ).fetchone()
                if found is not None:
                    return _job(found)
            if limits is not NO_LIMITS:
                check_limits(request, limits, self.usage(request.client), self.usage())
            database.execute(
                "INSERT INTO jobs (id, client, idempotency_key, request, priority, state, created_s, ready_s, turn_s, "
                "kept_bytes, name_key, folder) VALUES (?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?)",
                (
                    job.id,
                    request.client,
                    storable(request.idempotency_key) or None,
                    request.to_json(),
                    request.priority,
                    now_s,
                    now_s,
                    now_s - request.priority * WAITING_WORTH_S,
                    job.kept_bytes,
                    *columns_of(request).values(),
                ),
            )
        self._changed()
        return job

    def get(self, job_id: str, client: str | None = None) -> Job | None:
        found = self._file.rows("SELECT * FROM jobs WHERE id = ?", job_id)
        return _job(found[0]) if found and client in (None, found[0]["client"]) else None

    def newest(
        self, client: str | None = None, state: JobState | None = None, *, limit: int = 100, before: str = ""
    ) -> list[Job]:
        wanted: dict[str, Any] = {} if client is None else {"client = ?": client}
        wanted |= {} if state is None else {"state = ?": state.value}
        wanted |= {"place < (SELECT place FROM jobs WHERE id = ?)": before} if before else {}
        where = " AND ".join(wanted) or "1"
        rows = self._file.rows(
            f"SELECT * FROM jobs WHERE {where} ORDER BY place DESC LIMIT ?",  # noqa: S608 - the terms above alone
            *wanted.values(),
            limit,
        )
        return [_job(row) for row in rows]

    def position(self, job_id: str) -> int:
        own = self._file.rows("SELECT turn_s, place FROM jobs WHERE id = ? AND state = 'queued'", job_id)
        if not own:
            return 0
        queued = "SELECT count(*) FROM jobs INDEXED BY queue WHERE state = 'queued' AND delayed = ?"
        before = f"{queued} AND (turn_s, place) < (?, ?)"
        return sum(self._file.rows(before, delayed, *own[0])[0][0] for delayed in (0, 1))

    def usage(self, client: str | None = None) -> Usage:
        rows = self._file.rows(
            "SELECT state, sum(jobs), sum(bytes) FROM totals WHERE ?1 IS NULL OR client = ?1 GROUP BY state", client
        )
        return Usage({JobState(row[0]): row[1] for row in rows if row[1]}, sum(row[2] for row in rows))

    def claim(self, lease_s: float, now_s: float) -> Claim | None:
        with self._file.writing() as database:
            self._take_from_the_dead(database, now_s)
            for bound, moment_s in (("ready_s <= ?", now_s), ("ready_s > ?", now_s + AHEAD_S)):
                database.execute(
                    "UPDATE jobs INDEXED BY postponed SET delayed = 0 "  # noqa: S608 - of the above alone
                    f"WHERE state = 'queued' AND delayed = 1 AND {bound}",
                    (moment_s,),
                )
            found = database.execute(
                "UPDATE jobs SET state = 'running', fence = fence + 1, lease_until_s = ?, claimed_s = ?, "
                "claimed_audio_s = audio_s, started_s = CASE WHEN started_s THEN started_s ELSE ? END WHERE place = ("
                "SELECT place FROM jobs INDEXED BY queue WHERE state = 'queued' AND delayed = 0 "
                "ORDER BY turn_s, place LIMIT 1) RETURNING *",
                (now_s + lease_s, now_s, now_s),
            ).fetchone()
        return Claim(_job(found), found["fence"], now_s + lease_s) if found else None

    def _take_from_the_dead(self, database: sqlite3.Connection, now_s: float) -> None:
        """Jobs whose process died: again, unless it did so with too many."""
        ended = database.execute(
            "UPDATE jobs SET deaths = deaths + 1, fence = fence + 1, "
            "state = CASE WHEN wants_cancel THEN 'cancelled' WHEN deaths + 1 >= ? THEN 'failed' ELSE 'queued' END, "
            "finished_s = CASE WHEN wants_cancel OR deaths + 1 >= ? THEN ? ELSE 0 END, "
            "error = CASE WHEN NOT wants_cancel AND deaths + 1 >= ? THEN ? ELSE '' END "
            "WHERE state = 'running' AND (lease_until_s < ? OR claimed_s > ?) RETURNING *",
            (MOST_DEATHS, MOST_DEATHS, now_s, MOST_DEATHS, POISONED, now_s, now_s + AHEAD_S),
        ).fetchall()
        for job in map(_job, ended):
            if job.state.is_final:
                _tell_webhook(database, job)

    def renew(self, claim: Claim, lease_s: float, now_s: float, progress: tuple[float, float]) -> Claim | None:
        with self._file.writing() as database:
            found = database.execute(
                "UPDATE jobs SET lease_until_s = ?1, deaths = CASE WHEN ?2 > audio_s THEN 0 ELSE deaths END, "
                "audio_s = max(audio_s, ?2), total_s = ?3 "
                "WHERE id = ?4 AND fence = ?5 AND state = 'running' RETURNING *",
                (now_s + lease_s, *progress, claim.job.id, claim.fence),
            ).fetchone()
        return Claim(_job(found), claim.fence, now_s + lease_s) if found else None

    def keep(
        self,
        claim: Claim,
        events: Sequence[tuple[str, str]] = (),
        checkpoints: Sequence[tuple[int, bytes]] = (),
        notes: Sequence[str] = (),
    ) -> bool:
        with self._file.writing() as database:
            held = "SELECT notes FROM jobs WHERE id = ? AND fence = ? AND state = 'running'"
            found = database.execute(held, (claim.job.id, claim.fence)).fetchone()
            if found is None:
                return False
            for checkpoint in checkpoints:
                database.execute("INSERT OR REPLACE INTO chunks VALUES (?, ?, ?)", (claim.job.id, *checkpoint))
            for event in events:
                _put_event(database, claim.job.id, event)
            if notes:
                told = json.dumps(list(dict.fromkeys((*json.loads(found["notes"]), *notes))))
                database.execute("UPDATE jobs SET notes = ? WHERE id = ?", (told, claim.job.id))
            return True

    def checkpoints(self, job_id: str) -> dict[int, bytes]:
        rows = self._file.rows("SELECT number, checkpoint FROM chunks WHERE job = ?", job_id)
        return {row[0]: row[1] for row in rows}

    def finish(self, claim: Claim, now_s: float, result: str = "", result_bytes: int = 0, media_bytes: int = 0) -> bool:
        with self._file.writing() as database:
            changes = "state = 'done', finished_s = ?, result = ?, kept_bytes = ?, media_bytes = ?, version = 1"
            if not self._end(database, claim, changes, now_s, result, result_bytes, media_bytes):
                own = "SELECT 1 FROM jobs WHERE id = ? AND fence = ? AND state = 'done' AND result = ?"
                return database.execute(own, (claim.job.id, claim.fence + 1, result)).fetchone() is not None
            database.execute("DELETE FROM chunks WHERE job = ?", (claim.job.id,))
            _put_event(database, claim.job.id, DONE_EVENT)
            return True

    def fail(
        self, claim: Claim, error: str, now_s: float, again_s: float | None = None, *, crashed: bool = False
    ) -> bool:
        with self._file.writing() as database:
            if again_s is None:
                return self._end(database, claim, "state = 'failed', finished_s = ?, error = ?", now_s, storable(error))
            counter = "deaths" if crashed else "failures"
            changes = (
                f"state = 'queued', delayed = 1, {counter} = {counter} + 1, ready_s = ?, turn_s = ? - priority * ?"
            )
            return self._end(database, claim, changes, again_s, again_s, WAITING_WORTH_S)

    def hand_back(self, claim: Claim) -> bool:
        with self._file.writing() as database:
            return self._end(database, claim, "state = 'queued'")

    def cancelled(self, claim: Claim, now_s: float) -> bool:
        with self._file.writing() as database:
            return self._end(database, claim, "state = 'cancelled', finished_s = ?", now_s)

    def cancel(self, job_id: str, now_s: float) -> Job | None:
        with self._file.writing() as database:
            database.execute("UPDATE jobs SET wants_cancel = 1 WHERE id = ? AND state = 'running'", (job_id,))
            ended = database.execute(
                "UPDATE jobs SET state = 'cancelled', wants_cancel = 1, finished_s = ?, fence = fence + 1 "
                "WHERE id = ? AND state = 'queued' RETURNING *",
                (now_s, job_id),
            ).fetchone()
            if ended is not None:
                _tell_webhook(database, _job(ended))
        self._changed()
        return self.get(job_id)

    def retry(self, job_id: str, now_s: float) -> Job | None:
        with self._file.writing() as database:
            database.execute(
                "UPDATE jobs SET state = 'queued', wants_cancel = 0, deaths = 0, failures = 0, error = '', "
                "finished_s = 0, delayed = 0, ready_s = ?1, turn_s = ?1 - priority * ?2 "
                "WHERE id = ?3 AND state IN ('failed', 'cancelled')",
                (now_s, WAITING_WORTH_S, job_id),
            )
        self._changed()
        return self.get(job_id)

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[JobEvent]:
        rows = self._file.rows(
            "SELECT number, kind, data FROM events WHERE job = ? AND number > ? ORDER BY number LIMIT ?",
            job_id, after, limit,
        )  # fmt: skip
        return [JobEvent(*row) for row in rows]

    def prune(
        self, before_s: float, *, most_bytes: int | None = None, client: str | None = None, limit: int = 1000
    ) -> list[Job]:
        forgotten = list[Job]()
        with self._file.writing() as database:
            there = self.usage(client).kept_bytes
            rows = database.execute(
                f"SELECT * FROM jobs INDEXED BY ended WHERE {_FINAL} AND (?1 IS NULL OR client = ?1) AND NOT EXISTS "  # noqa: S608 - a constant is put in
                "(SELECT 1 FROM deliveries WHERE job = jobs.id AND ended_s = 0) ORDER BY finished_s, place LIMIT ?2",
                (client, limit),
            )
            for job in map(_job, rows.fetchall()):
                if job.finished_s >= before_s and (most_bytes is None or there <= most_bytes):
                    break
                forgotten.append(job)
                there -= job.kept_bytes
                database.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
        return forgotten

    def listen(self, wake: Callable[[], None]) -> None:
        self._wakes.append(wake)

    def close(self) -> None:
        self._file.close()

    def _changed(self) -> None:
        for wake in self._wakes:
            wake()

    @staticmethod
    def _end(database: sqlite3.Connection, claim: Claim, changes: str, *values: Any) -> bool:
        """Change a job that is its holder's still, and is not from then on."""
        statement = (
            f"UPDATE jobs SET {changes}, fence = fence + 1 "  # noqa: S608 - what the methods above say, and no value
            "WHERE id = ? AND fence = ? AND state = 'running' RETURNING *"
        )
        ended = database.execute(statement, (*values, claim.job.id, claim.fence)).fetchone()
        if ended is not None and (job := _job(ended)).state.is_final:
            _tell_webhook(database, job)
        return ended is not None


def _put_event(database: sqlite3.Connection, job_id: str, event: tuple[str, str]) -> None:
    """A job's next event: its kind, and what it says."""
    kind, data = event
    database.execute(
        "INSERT INTO events SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3 FROM events WHERE job = ?1",
        (job_id, kind, storable(data)),
    )


def _tell_webhook(database: sqlite3.Connection, job: Job) -> None:
    """Put the end of a job beside it, if somebody wants to know."""
    if job.request.webhook:
        message, now_s = f"msg_{uuid.uuid4().hex}", job.finished_s
        database.execute(
            "INSERT INTO deliveries (id, job, url, payload, created_s, due_s) VALUES (?, ?, ?, ?, ?, ?)",
            (message, job.id, job.request.webhook, ended_payload(job), now_s, now_s),
        )


_AS_THEY_ARE = (
    "created_s", "started_s", "finished_s", "audio_s", "total_s", "deaths", "failures", "error", "claimed_s",
    "claimed_audio_s", "result", "kept_bytes", "version", "media_bytes",
)  # fmt: skip


def _job(row: sqlite3.Row) -> Job:
    # RETURNING has a REAL that is whole as an integer.
    known: dict[str, Any] = {name: float(row[name]) if name.endswith("_s") else row[name] for name in _AS_THEY_ARE}
    known |= {"wants_cancel": bool(row["wants_cancel"]), "notes": tuple(json.loads(row["notes"]))}
    return Job(row["id"], JobRequest.from_json(row["request"]), JobState(row["state"]), **known)


def _delivery(row: sqlite3.Row) -> Delivery:
    same = ("id", "url", "payload", "created_s", "due_s", "attempts", "ended_s", "response")
    return Delivery(job_id=row["job"], delivered=bool(row["delivered"]), **{name: row[name] for name in same})
