# ruff: noqa: S608 - names of columns and conditions are put in, of this module and of the dialect alone
"""The `Library` of a store in a database, whichever it is: what differs between them is a `Dialect`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from autorag_whisper.jobs.job import JobRequest, storable
from autorag_whisper.jobs.library import DRAFT_S, MOST_VERSIONS, Edition, Found, Sort, Version, Wanted
from autorag_whisper.jobs.search import folded, terms_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from autorag_whisper.jobs.job import Job

Row = Any
"""What a query finds: its columns by name."""
_FINAL = "('done', 'failed', 'cancelled')"
_SORTS = {Sort.CREATED: "place", Sort.NAME: "name_key", Sort.DURATION: "total_s", Sort.FINISHED: "finished_s"}
_PAGE = 500


class Transaction(Protocol):
    """All of it or nothing. Values stand for `?` in the statement."""

    def run(self, statement: str, *values: Any) -> list[Row]:
        """The rows that it gives; [] for none."""
        ...


class Dialect(Protocol):
    """A database as the library uses it. Raises StoreUnavailable."""

    locks: str
    """What a query ends with whose row is changed next in the same transaction."""
    holds_name: str
    """The condition that `name_key` has the value in it."""

    def transaction(self) -> AbstractContextManager[Transaction]: ...

    def put_terms(self, database: Transaction, place: int, lines: str, terms: Sequence[str]) -> None:
        """Keep a text and its terms in the place of the older ones."""
        ...

    def search(self, client: str | None, terms: Sequence[str], limit: int, offset: int) -> list[Row]:
        """Columns of the jobs, and `lines`, as `Library.search` says."""
        ...


class SqlLibrary:
    """Over the tables `jobs`, `versions` and what the dialect keeps its terms in."""

    def __init__(self, dialect: Dialect, job_of: Callable[[Row], Job]) -> None:
        self._dialect, self._job = dialect, job_of

    def save(self, job_id: str, base: int, edition: Edition, now_s: float) -> Version | None:
        made = Version(
            base + 1, now_s, storable(edition.author), storable(edition.note), edition.is_draft, edition.words
        )
        with self._dialect.transaction() as database:
            held = database.run(f"SELECT place, state, version FROM jobs WHERE id = ?{self._dialect.locks}", job_id)
            if not held or held[0]["state"] != "done" or held[0]["version"] != base:
                return None
            grown = len(edition.body) - (
                self._drop_draft(database, job_id, base, made) if edition.replaces_draft else 0
            )
            database.run(
                "INSERT INTO versions (job, number, created_s, author, note, draft, words, body) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                job_id, made.number, now_s, made.author, made.note, int(made.is_draft), made.words, edition.body,
            )  # fmt: skip
            grown -= self._drop_oldest(database, job_id)
            database.run(
                "UPDATE jobs SET version = ?, indexed = ?, kept_bytes = kept_bytes + ? WHERE id = ?",
                made.number, made.number, grown, job_id,
            )  # fmt: skip
            lines = storable(edition.lines)
            self._dialect.put_terms(database, held[0]["place"], lines, _all_terms(database, job_id, lines))
        return made

    @staticmethod
    def _drop_draft(database: Transaction, job_id: str, base: int, made: Version) -> int:
        """How many bytes it took."""
        return _dropped(
            database.run(
                "DELETE FROM versions WHERE job = ? AND number = ? AND draft = 1 AND author = ? AND created_s >= ? "
                "RETURNING length(body) AS bytes",
                job_id, base, made.author, made.created_s - DRAFT_S,
            )
        )  # fmt: skip

    @staticmethod
    def _drop_oldest(database: Transaction, job_id: str) -> int:
        return _dropped(
            database.run(
                "DELETE FROM versions WHERE job = ? AND number <= (SELECT number FROM versions WHERE job = ? "
                "ORDER BY number DESC LIMIT 1 OFFSET ?) RETURNING length(body) AS bytes",
                job_id, job_id, MOST_VERSIONS,
            )
        )  # fmt: skip

    def version(self, job_id: str, number: int) -> tuple[Version, bytes] | None:
        with self._dialect.transaction() as database:
            rows = database.run("SELECT * FROM versions WHERE job = ? AND number = ?", job_id, number)
        return (_version(rows[0]), bytes(rows[0]["body"])) if rows else None

    def versions(self, job_id: str) -> list[Version]:
        columns = "number, created_s, author, note, draft, words"
        with self._dialect.transaction() as database:
            rows = database.run(f"SELECT {columns} FROM versions WHERE job = ? ORDER BY number DESC", job_id)
        return [_version(row) for row in rows]

    def index(self, job_id: str, version: int, lines: str, terms: Sequence[str]) -> bool:
        with self._dialect.transaction() as database:
            held = database.run(f"SELECT place, version FROM jobs WHERE id = ?{self._dialect.locks}", job_id)
            if not held or held[0]["version"] != version:
                return False
            self._dialect.put_terms(database, held[0]["place"], storable(lines), terms)
            database.run("UPDATE jobs SET indexed = ? WHERE id = ?", version, job_id)
        return True

    def unindexed(self, limit: int = 100) -> list[Job]:
        with self._dialect.transaction() as database:
            rows = database.run(
                "SELECT * FROM jobs WHERE state = 'done' AND indexed < version ORDER BY place LIMIT ?", limit
            )
        return [self._job(row) for row in rows]

    def search(self, client: str | None, terms: Sequence[str], *, limit: int = 20, offset: int = 0) -> list[Found]:
        rows = self._dialect.search(client, terms, limit, offset) if terms else []
        return [Found(self._job(row), row["lines"]) for row in rows]

    def find(self, client: str | None, wanted: Wanted) -> tuple[list[Job], int]:
        asked: dict[str, list[Any]] = {} if client is None else {"client = ?": [client]}
        if wanted.states:
            asked[f"state IN ({', '.join('?' * len(wanted.states))})"] = [state.value for state in wanted.states]
        if wanted.folder is not None:
            asked["folder = ?"] = [storable(wanted.folder)]
        if wanted.name:
            asked[self._dialect.holds_name] = [key_of(wanted.name)]
        where, values = " AND ".join(asked) or "1 = 1", [value for given in asked.values() for value in given]
        way = "DESC" if wanted.descending else "ASC"
        order = ", ".join(f"{column} {way}" for column in dict.fromkeys((_SORTS[wanted.sort], "place")))
        with self._dialect.transaction() as database:
            total = database.run(f"SELECT count(*) AS total FROM jobs WHERE {where}", *values)[0]["total"]
            rows = database.run(
                f"SELECT * FROM jobs WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",
                *values, wanted.limit, wanted.offset,
            )  # fmt: skip
        return [self._job(row) for row in rows], int(total)

    def rename(self, job_id: str, name: str) -> Job | None:
        with self._dialect.transaction() as database:
            held = database.run(f"SELECT request FROM jobs WHERE id = ?{self._dialect.locks}", job_id)
            if not held:
                return None
            request = replace(JobRequest.from_json(held[0]["request"]), name=name)
            # What its name was is among its terms: the search finds it anew.
            rows = database.run(
                "UPDATE jobs SET request = ?, name_key = ?, indexed = 0 WHERE id = ? RETURNING *",
                request.to_json(), key_of(name), job_id,
            )  # fmt: skip
        return self._job(rows[0])

    def forget(self, job_id: str) -> Job | None:
        with self._dialect.transaction() as database:
            rows = database.run(f"DELETE FROM jobs WHERE id = ? AND state IN {_FINAL} RETURNING *", job_id)
        return self._job(rows[0]) if rows else None

    def drop_media(self, before_s: float, most_bytes: int | None = None, limit: int = 1000) -> list[Job]:
        dropped: list[Job] = []
        with self._dialect.transaction() as database:
            there = int(database.run("SELECT sum(media_bytes) AS all_ FROM jobs WHERE media_bytes > 0")[0]["all_"] or 0)
            rows = database.run(
                "SELECT * FROM jobs WHERE media_bytes > 0 AND state = 'done' "
                f"ORDER BY finished_s, place LIMIT ?{self._dialect.locks}",
                limit,
            )
            for job in map(self._job, rows):
                if job.finished_s >= before_s and (most_bytes is None or there <= most_bytes):
                    break
                there -= job.media_bytes
                database.run("UPDATE jobs SET media_bytes = 0 WHERE id = ?", job.id)
                dropped.append(replace(job, media_bytes=0))
        return dropped

    def complete(self) -> None:
        """Fill in what an older version did not keep of jobs: their names and folders as they are looked for."""
        while True:
            with self._dialect.transaction() as database:
                rows = database.run("SELECT id, request FROM jobs WHERE name_key = '' LIMIT ?", _PAGE)
                for row in rows:
                    columns = columns_of(JobRequest.from_json(row["request"]))
                    database.run("UPDATE jobs SET name_key = ?, folder = ? WHERE id = ?", *columns.values(), row["id"])
            if len(rows) < _PAGE:
                return


def columns_of(request: JobRequest) -> Mapping[str, str]:
    """What a store keeps of a request besides, for lists."""
    return {"name_key": key_of(request.name), "folder": storable(request.folder)}


def key_of(name: str) -> str:
    """A name as lists are sorted and looked through by it: without case and accents; never ""."""
    return storable(" ".join(folded(name).split()) or " ")


def _all_terms(database: Transaction, job_id: str, lines: str) -> list[str]:
    """The terms of a job: those of its name and of its text."""
    [row] = database.run("SELECT request FROM jobs WHERE id = ?", job_id)
    return job_terms(JobRequest.from_json(row["request"]).name, lines)


def job_terms(name: str, lines: str) -> list[str]:
    """The terms by which a job is found."""
    from autorag_whisper.jobs.search import text_of

    return terms_of(f"{name}\n{text_of(lines)}")


def _dropped(rows: Sequence[Row]) -> int:
    return sum(int(row["bytes"]) for row in rows)


def _version(row: Row) -> Version:
    return Version(row["number"], float(row["created_s"]), row["author"], row["note"], bool(row["draft"]), row["words"])
