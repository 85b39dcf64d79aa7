"""What PostgreSQL has of its own for the `Library`: the search by `tsvector`, whose terms are made here."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from autorag_whisper.jobs.job import storable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg import Connection
    from psycopg.rows import DictRow

    from autorag_whisper.jobs.postgres_connections import Connections
    from autorag_whisper.jobs.sql_library import Row, Transaction


class _Transaction:
    """A `Transaction`."""

    def __init__(self, database: Connection[DictRow]) -> None:
        self._database = database

    def run(self, statement: str, *values: Any) -> list[Row]:
        cursor = self._database.execute(statement.replace("?", "%s").encode(), values)
        return cursor.fetchall() if cursor.description is not None else []


class PostgresDialect:
    """A `Dialect`."""

    locks = " FOR UPDATE"
    holds_name = "strpos(name_key, ?) > 0"

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._connections.using() as database, database.transaction():
            yield _Transaction(database)

    def put_terms(self, database: Transaction, place: int, lines: str, terms: Sequence[str]) -> None:
        database.run(
            "INSERT INTO texts (place, terms, lines) VALUES (?, array_to_tsvector(?::text[]), ?) "
            "ON CONFLICT (place) DO UPDATE SET terms = EXCLUDED.terms, lines = EXCLUDED.lines",
            place, [storable(term) for term in terms], lines,
        )  # fmt: skip

    def search(self, client: str | None, terms: Sequence[str], limit: int, offset: int) -> list[Row]:
        asked = " & ".join(f"'{storable(term)}':*" for term in terms)  # no term has an apostrophe or a backslash
        with self.transaction() as database:
            return database.run(
                "SELECT jobs.*, texts.lines FROM texts JOIN jobs ON jobs.place = texts.place "
                "WHERE texts.terms @@ ?::tsquery AND (?::text IS NULL OR jobs.client = ?) "
                "ORDER BY jobs.place DESC LIMIT ? OFFSET ?",
                asked, client, client, limit, offset,
            )  # fmt: skip
