"""Webhooks' messages in PostgreSQL."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from autorag_whisper.jobs.delivery import Delivery
from autorag_whisper.jobs.job import storable
from autorag_whisper.jobs.shown import ended_payload
from autorag_whisper.jobs.store import AHEAD_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection
    from psycopg.rows import DictRow

    from autorag_whisper.jobs.job import Job
    from autorag_whisper.jobs.postgres_connections import Connections


class PostgresDeliveries:
    """The `Deliveries` of a `PostgresJobStore`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def claim(self, lease_s: float, now_s: float, busy: Sequence[str] = ()) -> Delivery | None:
        with self._connections.using() as database:
            found = database.execute(
                "WITH next AS (SELECT number FROM deliveries WHERE ended_s = 0 AND (due_s <= %s OR due_s > %s) "
                "AND NOT EXISTS (SELECT 1 FROM unnest(%s::text[]) AS busy WHERE starts_with(url, busy)) "
                "ORDER BY due_s, number LIMIT 1 FOR UPDATE SKIP LOCKED) "
                "UPDATE deliveries SET due_s = %s, attempts = attempts + 1 "
                "FROM next WHERE deliveries.number = next.number RETURNING deliveries.*",
                (now_s, now_s + AHEAD_S, list(busy), now_s + lease_s),
            ).fetchone()
        return _delivery(found) if found else None

    def delivered(self, delivery: Delivery, response: str, now_s: float) -> bool:
        return self._over(delivery, "delivered = true, response = %s, ended_s = %s", storable(response), now_s)

    def failed(self, delivery: Delivery, response: str, now_s: float, again_s: float | None = None) -> bool:
        if again_s is None:
            return self._over(delivery, "response = %s, ended_s = %s", storable(response), now_s)
        return self._over(delivery, "response = %s, due_s = %s", storable(response), again_s)

    def of_job(self, job_id: str) -> list[Delivery]:
        with self._connections.using() as database:
            rows = database.execute("SELECT * FROM deliveries WHERE job = %s ORDER BY number", (job_id,)).fetchall()
        return [_delivery(row) for row in rows]

    def _over(self, delivery: Delivery, changes: str, *values: Any) -> bool:
        statement = f"UPDATE deliveries SET {changes} WHERE id = %s AND attempts = %s AND ended_s = 0"  # noqa: S608 - from the callers above alone
        with self._connections.using() as database:
            return database.execute(statement.encode(), (*values, delivery.id, delivery.attempts)).rowcount > 0


def put_beside(database: Connection[Any], job: Job) -> None:
    """Put the end of a job beside it, if somebody wants to know."""
    if job.request.webhook:
        database.execute(
            "INSERT INTO deliveries (id, job, url, payload, created_s, due_s) VALUES (%s, %s, %s, %s, %s, %s)",
            (f"msg_{uuid.uuid4().hex}", job.id, storable(job.request.webhook), ended_payload(job),
             job.finished_s, job.finished_s),
        )  # fmt: skip


def _delivery(row: DictRow) -> Delivery:
    same = ("id", "url", "payload", "created_s", "due_s", "attempts", "ended_s", "delivered", "response")
    return Delivery(job_id=row["job"], **{name: row[name] for name in same})
