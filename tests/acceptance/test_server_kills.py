"""Servers that are killed at random moments lose no job, give each result once, and go on behind finished chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benchmarks.chaos import Chaos, repeated

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.postgres_server import PostgresServer

JOBS, KILLS, CHUNKS = 8, 6, 4


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_server_killed_at_random_moments_loses_no_job_and_doubles_no_result(
    tmp_path: Path, demo_sample: Path
) -> None:
    media = repeated(demo_sample, CHUNKS, tmp_path / "talk.flac")
    found = Chaos(tmp_path, media, None, JOBS, KILLS).run()
    assert found["jobs"] == JOBS


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_servers_on_one_database_killed_at_random_moments_lose_and_double_nothing(
    tmp_path: Path, demo_sample: Path, postgres_server: PostgresServer
) -> None:
    media = repeated(demo_sample, CHUNKS, tmp_path / "talk.flac")
    found = Chaos(tmp_path, media, postgres_server, JOBS, KILLS, servers=3).run()
    assert (found["jobs"], found["servers"]) == (JOBS, 3)
