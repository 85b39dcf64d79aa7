"""Where `serve` keeps its durable jobs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import ExtraNotInstalled, InvalidOption
from autorag_whisper.files import system_reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autorag_whisper.jobs.store import JobStore


def open_store(folder: Path, address: str) -> JobStore:
    """The jobs in a file of `folder`, or, where there is an `address` (postgresql://...), in that database.

    Raises StoreUnavailable, InvalidOption for an address that is none or a folder that cannot be, ExtraNotInstalled.
    """
    with _writing_in(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what people said is this user's alone
    if not address:
        from autorag_whisper.jobs.sqlite import SqliteJobStore

        return SqliteJobStore(folder / "jobs.sqlite3")
    try:
        from autorag_whisper.jobs.postgres import PostgresJobStore
    except ImportError as error:
        raise ExtraNotInstalled("psycopg", "postgres", str(error)) from error
    from autorag_whisper.jobs.files import mark_of

    with _writing_in(folder):
        mark = mark_of(folder)
    return PostgresJobStore(address, mark)


@contextmanager
def _writing_in(folder: Path) -> Iterator[None]:
    """What the disk refuses is told as the option's fault."""
    try:
        yield
    except OSError as error:
        raise InvalidOption("--data", str(folder), f"a folder that can be written ({system_reason(error)})") from error
