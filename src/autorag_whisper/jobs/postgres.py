"""Jobs in a PostgreSQL database, which several servers may share: each claims, any answers for all.

Claims skip the rows that somebody else is about to take (`FOR UPDATE SKIP LOCKED`), holders' calls lock their job's
row, and a trigger tells every listening server what may be claimed (`LISTEN`). `postgres_schema` has the tables,
`postgres_connections` what becomes of a database that is away. Uploads and results lie in a folder that all servers
share: its mark is kept in the database, and a server with another folder is refused.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.job_errors import StoreUnavailable
from autorag_whisper.jobs import postgres_schema
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
from autorag_whisper.jobs.postgres_address import Address
from autorag_whisper.jobs.postgres_connections import ANSWER_S, Connections, Listener
from autorag_whisper.jobs.postgres_deliveries import PostgresDeliveries, put_beside
from autorag_whisper.jobs.postgres_library import PostgresDialect
from autorag_whisper.jobs.sql_library import SqlLibrary, columns_of
from autorag_whisper.jobs.store import AHEAD_S, MOST_DEATHS, WAITING_WORTH_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import Connection
    from psycopg.rows import DictRow

MOST_CONNECTIONS = 8
"""Of a server, and one more that listens."""
_CHANGES_S = 900.0
"""How long it may take to bring the tables up to date, or another server to do so."""


class PostgresJobStore:
    """A `JobStore` in the database at `address` (postgresql://...), whose tables are made and brought up to date.

    `folder`: the mark of the folder with uploads and results, "" for none. `answer_s`: how long a call may take.

    Raises InvalidOption for an address that is none, StoreUnavailable where the database cannot be used, a newer
    version has changed its tables, or its jobs belong to another folder.
    """

    is_shared = True

    def __init__(
        self, address: str, folder: str = "", most_connections: int = MOST_CONNECTIONS, answer_s: float = ANSWER_S
    ) -> None:
        self._connections = Connections(Address.parse(address), most_connections, answer_s)
        self._listeners: list[Listener] = []
        self._told: dict[tuple[str, int], int] = {}  # events of each claim that we know to be kept
        self.deliveries = PostgresDeliveries(self._connections)
        self.library = SqlLibrary(PostgresDialect(self._connections), _job)
        self._prepare(folder)
        self.library.complete()

    def _prepare(self, folder: str) -> None:
        shown = self._connections.address.shown
        try:
            with self._connections.told(), self._connections.connect(_CHANGES_S) as connection:
                postgres_schema.migrate(connection)
                connection.execute(f"SET search_path TO {postgres_schema.SCHEMA}".encode())
                own = postgres_schema.folder_of(connection, folder)
        except postgres_schema.NewerSchemaError as error:
            version, known = error.args
            reason = f"version {version} of its tables is newer than {known}, which this one knows"
            raise StoreUnavailable(shown, reason, "use the autorag-whisper that wrote them, or a newer one") from None
        if folder and own != folder:
            raise StoreUnavailable(
                shown,
                "uploads and results of its jobs lie in another folder than this server's",
                "give every server the same folder as --data, or this one a database of its own",
            )

    def add(self, request: JobRequest, now_s: float, limits: QueueLimits = NO_LIMITS) -> Job:
        job = Job(uuid.uuid4().hex, request, JobState.QUEUED, now_s, kept_bytes=request.media_bytes)
        with self._connections.using() as database:
            while True:
                with database.transaction():
                    if limits != NO_LIMITS:
                        database.execute("SELECT pg_advisory_xact_lock(%s)", (postgres_schema.ONE_COUNTS,))
                    if (found := _of_key(database, request)) is not None:
                        return found
                    if limits != NO_LIMITS:
                        check_limits(request, limits, _usage(database, request.client), _usage(database, None))
                    if _insert(database, job):
                        return job
                # Somebody else has added one of its key meanwhile.

    def get(self, job_id: str, client: str | None = None) -> Job | None:
        found = self._rows("SELECT * FROM jobs WHERE id = %s", job_id)
        return _job(found[0]) if found and client in (None, found[0]["client"]) else None

    def newest(
        self, client: str | None = None, state: JobState | None = None, *, limit: int = 100, before: str = ""
    ) -> list[Job]:
        wanted = {"client": client, "state": state.value if state is not None else None, "before": before or None}
        conditions = {
            "client": "client = %(client)s",
            "state": "state = %(state)s",
            "before": "place < (SELECT place FROM jobs WHERE id = %(before)s)",
        }
        chosen = [condition for name, condition in conditions.items() if wanted[name] is not None]
        where = f"WHERE {' AND '.join(chosen)} " if chosen else ""
        statement = f"SELECT * FROM jobs {where}ORDER BY place DESC LIMIT %(limit)s"  # noqa: S608 - of the above alone
        with self._connections.using() as database:
            rows = database.execute(statement.encode(), wanted | {"limit": limit}).fetchall()
        return [_job(row) for row in rows]

    def position(self, job_id: str) -> int:
        rows = self._rows(
            "SELECT count(*) AS before FROM jobs AS other, jobs AS own WHERE own.id = %s AND own.state = 'queued' "
            "AND other.state = 'queued' AND (other.turn_s, other.place) < (own.turn_s, own.place)",
            job_id,
        )
        return int(rows[0]["before"])

    def usage(self, client: str | None = None) -> Usage:
        with self._connections.using() as database:
            return _usage(database, client)

    def claim(self, lease_s: float, now_s: float) -> Claim | None:
        with self._connections.using() as database, database.transaction():
            _take_from_the_dead(database, now_s)
            found = database.execute(
                "WITH next AS (SELECT place FROM jobs WHERE state = 'queued' AND "
                "(ready_s <= %(now)s AND turn_s <= %(now)s + %(most)s OR ready_s > %(ahead)s) "
                "ORDER BY turn_s, place LIMIT 1 FOR UPDATE SKIP LOCKED) "
                "UPDATE jobs SET state = 'running', fence = fence + 1, lease_until_s = %(until)s, claimed_s = %(now)s, "
                "claimed_audio_s = audio_s, started_s = CASE WHEN started_s = 0 THEN %(now)s ELSE started_s END "
                "FROM next WHERE jobs.place = next.place RETURNING jobs.*",
                {"now": now_s, "until": now_s + lease_s, "most": 100 * WAITING_WORTH_S, "ahead": now_s + AHEAD_S},
            ).fetchone()
        if found is None:
            return None
        self._told[found["id"], found["fence"]] = found["told"]
        return Claim(_job(found), found["fence"], now_s + lease_s)

    def renew(self, claim: Claim, lease_s: float, now_s: float, progress: tuple[float, float]) -> Claim | None:
        found = self._rows(
            "UPDATE jobs SET lease_until_s = %s, deaths = CASE WHEN %s > audio_s THEN 0 ELSE deaths END, "
            "audio_s = greatest(audio_s, %s), total_s = %s WHERE id = %s AND fence = %s AND state = 'running' "
            "RETURNING *",
            now_s + lease_s, progress[0], progress[0], progress[1], claim.job.id, claim.fence,
        )  # fmt: skip
        if not found:
            self._told.pop((claim.job.id, claim.fence), None)
            return None
        return Claim(_job(found[0]), claim.fence, now_s + lease_s)

    def keep(
        self,
        claim: Claim,
        events: Sequence[tuple[str, str]] = (),
        checkpoints: Sequence[tuple[int, bytes]] = (),
        notes: Sequence[str] = (),
    ) -> bool:
        held = "SELECT notes, told FROM jobs WHERE id = %s AND fence = %s AND state = 'running' FOR UPDATE"
        with self._connections.using() as database, database.transaction():
            found = database.execute(held, (claim.job.id, claim.fence)).fetchone()
            if found is None:
                return False
            for checkpoint in checkpoints:
                database.execute(
                    "INSERT INTO chunks VALUES (%s, %s, %s) "
                    "ON CONFLICT (job, number) DO UPDATE SET checkpoint = EXCLUDED.checkpoint",
                    (claim.job.id, *checkpoint),
                )
            # More is kept than we know where the answer to a commit was lost: its events are not told twice.
            known = self._told.get((claim.job.id, claim.fence), int(found["told"]))
            for number, (kind, data) in enumerate(events, known + 1):
                database.execute(
                    "INSERT INTO events VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                    (claim.job.id, number, kind, storable(data)),
                )
            told = max(found["told"], known + len(events))
            database.execute("UPDATE jobs SET told = %s WHERE id = %s", (told, claim.job.id))
            if notes:
                all_ = json.dumps(list(dict.fromkeys((*json.loads(found["notes"]), *notes))))
                database.execute("UPDATE jobs SET notes = %s WHERE id = %s", (all_, claim.job.id))
        self._told[claim.job.id, claim.fence] = told
        return True

    def checkpoints(self, job_id: str) -> dict[int, bytes]:
        rows = self._rows("SELECT number, checkpoint FROM chunks WHERE job = %s", job_id)
        return {row["number"]: row["checkpoint"] for row in rows}

    def finish(self, claim: Claim, now_s: float, result: str = "", result_bytes: int = 0, media_bytes: int = 0) -> bool:
        changes = "state = 'done', finished_s = %s, result = %s, kept_bytes = %s, media_bytes = %s, version = 1"
        if self._end(claim, changes, now_s, result, result_bytes, media_bytes):
            return True
        own = "SELECT 1 FROM jobs WHERE id = %s AND fence = %s AND state = 'done' AND result = %s"
        return bool(self._rows(own, claim.job.id, claim.fence + 1, result))

    def fail(
        self, claim: Claim, error: str, now_s: float, again_s: float | None = None, *, crashed: bool = False
    ) -> bool:
        if again_s is None:
            return self._end(claim, "state = 'failed', finished_s = %s, error = %s", now_s, storable(error))
        counter = "deaths" if crashed else "failures"
        changes = f"state = 'queued', {counter} = {counter} + 1, ready_s = %s, turn_s = %s - priority * %s"
        return self._end(claim, changes, again_s, again_s, WAITING_WORTH_S)

    def hand_back(self, claim: Claim) -> bool:
        return self._end(claim, "state = 'queued'")

    def cancelled(self, claim: Claim, now_s: float) -> bool:
        return self._end(claim, "state = 'cancelled', finished_s = %s", now_s)

    def cancel(self, job_id: str, now_s: float) -> Job | None:
        with self._connections.using() as database, database.transaction():
            found = database.execute("SELECT state FROM jobs WHERE id = %s FOR UPDATE", (job_id,)).fetchone()
            if found is not None and found["state"] == "running":
                database.execute("UPDATE jobs SET wants_cancel = true WHERE id = %s", (job_id,))
            if found is not None and found["state"] == "queued":
                ended = database.execute(
                    "UPDATE jobs SET state = 'cancelled', wants_cancel = true, finished_s = %s, fence = fence + 1 "
                    "WHERE id = %s RETURNING *",
                    (now_s, job_id),
                ).fetchall()
                put_beside(database, _job(ended[0]))
        return self.get(job_id)

    def retry(self, job_id: str, now_s: float) -> Job | None:
        with self._connections.using() as database:
            database.execute(
                "UPDATE jobs SET state = 'queued', wants_cancel = false, deaths = 0, failures = 0, error = '', "
                "finished_s = 0, ready_s = %s, turn_s = %s - priority * %s "
                "WHERE id = %s AND state IN ('failed', 'cancelled')",
                (now_s, now_s, WAITING_WORTH_S, job_id),
            )
        return self.get(job_id)

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[JobEvent]:
        rows = self._rows(
            "SELECT number, kind, data FROM events WHERE job = %s AND number > %s ORDER BY number LIMIT %s",
            job_id, after, limit,
        )  # fmt: skip
        return [JobEvent(**row) for row in rows]

    def prune(
        self, before_s: float, *, most_bytes: int | None = None, client: str | None = None, limit: int = 1000
    ) -> list[Job]:
        forgotten = list[Job]()
        with self._connections.using() as database, database.transaction():
            there = _usage(database, client).kept_bytes if most_bytes is not None else 0
            rows = database.execute(
                "SELECT * FROM jobs WHERE state IN ('done', 'failed', 'cancelled') "
                "AND (%(client)s::text IS NULL OR client = %(client)s) "
                "AND NOT EXISTS (SELECT 1 FROM deliveries WHERE job = jobs.id AND ended_s = 0) "
                "ORDER BY finished_s, place LIMIT %(limit)s FOR UPDATE SKIP LOCKED",
                {"client": client, "limit": limit},
            )
            for job in map(_job, rows.fetchall()):
                if job.finished_s >= before_s and (most_bytes is None or there <= most_bytes):
                    break
                forgotten.append(job)
                there -= job.kept_bytes
            database.execute("DELETE FROM jobs WHERE id = ANY(%s)", ([job.id for job in forgotten],))
        return forgotten

    def listen(self, wake: Callable[[], None]) -> None:
        self._listeners.append(Listener(self._connections, wake))

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._connections.close()

    def _end(self, claim: Claim, changes: str, *values: Any) -> bool:
        """Change a job that is its holder's still, and is not from then on."""
        statement = (
            f"UPDATE jobs SET {changes}, fence = fence + 1 "  # noqa: S608 - from the callers above alone
            "WHERE id = %s AND fence = %s AND state = 'running' RETURNING *"
        )
        with self._connections.using() as database, database.transaction():
            ended = database.execute(statement.encode(), (*values, claim.job.id, claim.fence)).fetchone()
            if ended is not None and (job := _job(ended)).state.is_final:
                put_beside(database, job)
            if ended is not None and ended["state"] == "done":
                database.execute("DELETE FROM chunks WHERE job = %s", (claim.job.id,))
                number = ended["told"] + 1
                database.execute("INSERT INTO events VALUES (%s, %s, %s, %s)", (claim.job.id, number, *DONE_EVENT))
                database.execute("UPDATE jobs SET told = %s WHERE id = %s", (number, claim.job.id))
        self._told.pop((claim.job.id, claim.fence), None)
        return ended is not None

    def _rows(self, statement: str, *values: Any) -> list[DictRow]:
        with self._connections.using() as database:
            return database.execute(statement.encode(), values).fetchall()


def _of_key(database: Connection[DictRow], request: JobRequest) -> Job | None:
    """The job that the request's idempotency key stands for."""
    if not request.idempotency_key:
        return None
    found = database.execute(
        "SELECT * FROM jobs WHERE client = %s AND idempotency_key = %s",
        (request.client, storable(request.idempotency_key)),
    ).fetchone()
    return _job(found) if found is not None else None


INSERTED = (
    "id", "client", "idempotency_key", "request", "priority", "state", "created_s", "ready_s", "turn_s", "kept_bytes",
    "name_key", "folder",
)  # fmt: skip
"""Columns of a job that is added; the others have their defaults."""


def inserted(job: Job) -> tuple[object, ...]:
    """What a new job has in these columns."""
    request, key = job.request, storable(job.request.idempotency_key) or None
    turn_s = job.created_s - request.priority * WAITING_WORTH_S
    return (
        job.id, request.client, key, request.to_json(), request.priority, job.state.value, job.created_s, job.created_s,
        turn_s, job.kept_bytes, *columns_of(request).values(),
    )  # fmt: skip


def _insert(database: Connection[DictRow], job: Job) -> bool:
    """False where there is one of its idempotency key."""
    statement = (
        f"INSERT INTO jobs ({', '.join(INSERTED)}) VALUES ({', '.join(['%s'] * len(INSERTED))}) "  # noqa: S608 - of the above
        "ON CONFLICT (client, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING"
    )
    return database.execute(statement.encode(), inserted(job)).rowcount > 0


def _usage(database: Connection[DictRow], client: str | None) -> Usage:
    rows = database.execute(
        "SELECT state, count(*) AS jobs, sum(kept_bytes)::bigint AS bytes FROM jobs "
        "WHERE %(client)s::text IS NULL OR client = %(client)s GROUP BY state",
        {"client": client},
    ).fetchall()
    return Usage({JobState(row["state"]): row["jobs"] for row in rows}, sum(row["bytes"] for row in rows))


def _take_from_the_dead(database: Connection[DictRow], now_s: float) -> None:
    """Jobs whose process died: again, unless it did so with too many."""
    rows = database.execute(
        "WITH dead AS (SELECT place FROM jobs WHERE state = 'running' "
        "AND (lease_until_s < %(now)s OR claimed_s > %(ahead)s) FOR UPDATE SKIP LOCKED) "
        "UPDATE jobs SET deaths = deaths + 1, fence = fence + 1, "
        "state = CASE WHEN wants_cancel THEN 'cancelled' WHEN deaths + 1 >= %(most)s THEN 'failed' ELSE 'queued' END, "
        "finished_s = CASE WHEN wants_cancel OR deaths + 1 >= %(most)s THEN %(now)s ELSE 0 END, "
        "error = CASE WHEN NOT wants_cancel AND deaths + 1 >= %(most)s THEN %(poisoned)s ELSE '' END "
        "FROM dead WHERE jobs.place = dead.place RETURNING jobs.*",
        {"now": now_s, "ahead": now_s + AHEAD_S, "most": MOST_DEATHS, "poisoned": POISONED},
    )
    for job in map(_job, rows.fetchall()):
        if job.state.is_final:
            put_beside(database, job)


_AS_THEY_ARE = (
    "created_s", "started_s", "finished_s", "audio_s", "total_s", "deaths", "failures", "error", "wants_cancel",
    "claimed_s", "claimed_audio_s", "result", "kept_bytes", "version", "media_bytes",
)  # fmt: skip


def _job(row: DictRow) -> Job:
    known = {name: row[name] for name in _AS_THEY_ARE} | {"notes": tuple(json.loads(row["notes"]))}
    return Job(row["id"], JobRequest.from_json(row["request"]), JobState(row["state"]), **known)
