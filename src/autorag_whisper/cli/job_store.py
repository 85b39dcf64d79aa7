"""Where `serve` keeps its durable jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import ExtraNotInstalled

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.jobs.store import JobStore


def open_store(folder: Path, address: str) -> JobStore:
    """The jobs in a file of `folder`, or, where there is an `address` (postgresql://...), in that database.

    Raises StoreUnavailable, InvalidOption for an address that is none, ExtraNotInstalled.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what people said is this user's alone
    if not address:
        from autorag_whisper.jobs.sqlite import SqliteJobStore

        return SqliteJobStore(folder / "jobs.sqlite3")
    try:
        from autorag_whisper.jobs.postgres import PostgresJobStore
    except ImportError as error:
        raise ExtraNotInstalled("psycopg", "postgres", str(error)) from error
    from autorag_whisper.jobs.files import mark_of

    return PostgresJobStore(address, mark_of(folder))
