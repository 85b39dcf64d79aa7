"""Every store of jobs, one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.jobs.sqlite import SqliteJobStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autorag_whisper.jobs.store import JobStore


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JobStore]:
    made: JobStore
    if request.param == "postgres":
        from autorag_whisper.jobs.postgres import PostgresJobStore  # not in every environment that has contract tests

        made = PostgresJobStore(request.getfixturevalue("postgres_server").emptied())
    else:
        made = MemoryJobStore() if request.param == "memory" else SqliteJobStore(tmp_path / "jobs.sqlite3")
    yield made
    made.close()
