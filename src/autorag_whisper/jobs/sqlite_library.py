"""What a file of SQLite has of its own for the `Library`: the search by FTS5."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from autorag_whisper.jobs.job import storable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from autorag_whisper.jobs.sql_library import Row, Transaction
    from autorag_whisper.jobs.sqlite_file import SqliteFile


class _Writing:
    """A `Transaction`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def run(self, statement: str, *values: Any) -> list[Row]:
        return self._database.execute(statement, values).fetchall()


class SqliteDialect:
    """A `Dialect`."""

    locks = ""  # whoever writes has the file
    holds_name = "instr(name_key, ?) > 0"

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._file.writing() as database:
            yield _Writing(database)

    def put_terms(self, database: Transaction, place: int, lines: str, terms: Sequence[str]) -> None:
        database.run("DELETE FROM texts WHERE place = ?", place)
        database.run("INSERT INTO texts (place, terms, lines) VALUES (?, ?, ?)", place, " ".join(terms), lines)

    def search(self, client: str | None, terms: Sequence[str], limit: int, offset: int) -> list[Row]:
        asked = " AND ".join(f'"{storable(term)}"*' for term in terms)  # no term has a quotation mark
        return self._file.rows(
            "SELECT jobs.*, texts.lines FROM texts_terms JOIN texts ON texts.place = texts_terms.rowid "
            "JOIN jobs ON jobs.place = texts.place WHERE texts_terms MATCH ?1 AND (?2 IS NULL OR jobs.client = ?2) "
            "ORDER BY jobs.place DESC LIMIT ?3 OFFSET ?4",
            asked, client, limit, offset,
        )  # fmt: skip
