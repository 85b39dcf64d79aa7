"""The service with durable jobs over fakes, for tests of what is done with transcripts."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fastapi.testclient import TestClient

from autorag_whisper.jobs.job import KeptMedia
from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.jobs.runner import JobRunner
from autorag_whisper.server import keys
from autorag_whisper.server.app import Engine, create_app
from autorag_whisper.server.jobs import Jobs, JobSettings
from autorag_whisper.server.settings import ServerSettings
from http_world import BASE, until
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from autorag_whisper.jobs.store import JobStore


class JobsWorld:
    """The application, jobs in a store (in memory unless given), a client of it. `now_s`: what its clock says."""

    def __init__(
        self, folder: Path, store: JobStore | None = None, jobs: JobSettings | None = None, **settings: Any
    ) -> None:
        self.world, self.store = World(), store or MemoryJobStore()
        self.now_s, self.free_bytes = 1_000_000.0, 1 << 40
        self.runner = JobRunner(self.store, self.world.transcriber, folder, self.clock, 1, lambda: self.free_bytes)
        engine = Engine(self.world.transcriber, lambda: ["base"], time.monotonic)
        durable = Jobs(self.store, self.runner, self.clock, jobs or JobSettings(kept_media=KeptMedia(3600.0)))
        self.app = create_app(engine, ServerSettings(**settings), durable)
        self.client = TestClient(self.app, BASE, raise_server_exceptions=False)

    def clock(self) -> float:
        """Seconds since the epoch."""
        return self.now_s

    def add(self, speech: bytes, name: str = "talk.mp3", headers: dict[str, str] | None = None, **fields: Any) -> str:
        """A job that is done: its id."""
        given = self.client.post("/v1/jobs", files={"file": (name, speech)}, data=fields, headers=headers)
        assert given.status_code == 201, given.text
        job_id = str(given.json()["id"])
        until(lambda: self.client.get(f"/v1/jobs/{job_id}", headers=headers).json()["state"] == "done")
        # The search is told behind the end.
        until(lambda: all(job.id != job_id for job in self.store.library.unindexed()))
        return job_id

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.client.get(path, params=query)

    def edit(self, job_id: str, base: int, edits: Any, **more: Any) -> httpx.Response:
        """Save an edit of version `base`."""
        body, headers = {"edits": edits} | more, {"If-Match": f'"{base}"'}
        return self.client.patch(f"/v1/jobs/{job_id}/transcript", json=body, headers=headers)

    def segments(self, job_id: str, **query: Any) -> list[dict[str, Any]]:
        """Of a version, the newest unless it is said."""
        found = self.get(f"/v1/jobs/{job_id}/transcript", **query).json()["transcript"]["segments"]
        return list(found)


@contextmanager
def jobs_world(folder: Path, store: JobStore | None = None, **settings: Any) -> Iterator[JobsWorld]:
    """One that is closed in the end."""
    world = JobsWorld(folder, store, **settings)
    with world.world.transcriber, world.client:
        yield world
        world.runner.close()


def bearer(key: str) -> dict[str, str]:
    """The header with a key."""
    return {"Authorization": f"Bearer {key}"}


def digests(*given: str) -> tuple[str, ...]:
    """What the service knows of keys."""
    return tuple(keys.digest(key) for key in given)
