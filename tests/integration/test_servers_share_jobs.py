"""Three servers on one database and one folder: each takes jobs, any answers for all, and what one leaves others do."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from autorag_whisper.cli.job_store import open_store
from autorag_whisper.domain.job_errors import StoreUnavailable
from autorag_whisper.jobs.postgres import PostgresJobStore
from autorag_whisper.jobs.runner import JobRunner
from autorag_whisper.server.app import Engine, create_app
from autorag_whisper.server.jobs import Jobs
from autorag_whisper.server.settings import ServerSettings
from autorag_whisper.testing import FakeWhisper, speech_samples, write_speech
from postgres_wire import silenced
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.postgres_server import PostgresServer

    from autorag_whisper.engines.base import Encoded


class HeldWhisper(FakeWhisper):
    """Encodes while it is let."""

    let = threading.Event()

    def encode(self, features: Any) -> Encoded:
        assert self.let.wait(240)
        return super().encode(features)


class Served:
    """A server over fakes."""

    def __init__(self, folder: Path, url: str, stack: ExitStack) -> None:
        self.world, self.store = World(engine=HeldWhisper), open_store(folder, url)
        stack.callback(self.world.transcriber.close)
        stack.callback(self.store.close)
        self.runner = JobRunner(self.store, self.world.transcriber, folder, time.time, 1)
        app = create_app(
            Engine(self.world.transcriber, lambda: ["base"], time.monotonic),
            ServerSettings(),
            Jobs(self.store, self.runner, time.time),
        )
        self.client = stack.enter_context(TestClient(app, "http://127.0.0.1:8060", raise_server_exceptions=False))
        self.folder = folder

    def add(self, speech: bytes, key: str = "") -> dict[str, Any]:
        headers = {"Idempotency-Key": key} if key else {}
        files, fields = {"file": ("talk.mp3", speech)}, {"language": "en"}
        return dict(self.client.post("/v1/jobs", files=files, data=fields, headers=headers).json())

    def job(self, job: dict[str, Any]) -> dict[str, Any]:
        return dict(self.client.get(f"/v1/jobs/{job['id']}").json())


def until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.02)
    raise AssertionError("it did not happen")


@pytest.fixture
def servers(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[list[Served]]:
    HeldWhisper.let = threading.Event()
    HeldWhisper.let.set()
    url = postgres_server.emptied()
    with ExitStack() as stack:
        yield [Served(tmp_path / "data", url, stack) for _ in range(3)]
        HeldWhisper.let.set()


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_speech(tmp_path_factory.mktemp("speech") / "talk.wav", speech_samples(5)).read_bytes()


def test_each_takes_jobs_and_any_answers_for_all_of_them(servers: list[Served], speech: bytes) -> None:
    HeldWhisper.let.clear()
    jobs = [servers[n % 3].add(speech) for n in range(6)]
    until(lambda: all(server.runner.in_work for server in servers))  # whoever was asked, each has one
    assert servers[0].add(speech, "k")["id"] == servers[1].add(speech, "k")["id"]
    HeldWhisper.let.set()
    for job in jobs:
        until(lambda job=job: servers[0].job(job)["state"] == "done")  # type: ignore[misc]  # it is bound
        for server in servers:
            assert server.client.get(f"/v1/jobs/{job['id']}/result").json()["text"] == "one two three four five"
        events = servers[1].client.get(f"/v1/jobs/{job['id']}/events").text
        assert events.count("event: segment\n") == events.count("event: done\n") == 1
    until(lambda: all(job["state"] == "done" for job in servers[2].client.get("/v1/jobs").json()["data"]))
    until(lambda: list((servers[0].folder / "uploads").iterdir()) == [])  # removed behind the end of each
    assert len(list((servers[0].folder / "results").iterdir())) == 7


def test_a_job_is_stopped_through_another_server_than_has_it(servers: list[Served], speech: bytes) -> None:
    HeldWhisper.let.clear()
    jobs = [servers[0].add(speech) for _ in range(3)]
    until(lambda: all(server.runner.in_work for server in servers))
    held = [active for server in servers for active in server.runner._active]
    for asked, job in zip((servers[1], servers[2], servers[0]), jobs, strict=True):
        assert asked.client.delete(f"/v1/jobs/{job['id']}").status_code == 200
    until(lambda: all(active.cancel.cancelled for active in held))
    HeldWhisper.let.set()
    until(lambda: all(servers[0].job(job)["state"] == "cancelled" for job in jobs))


def test_what_a_server_that_died_had_in_hand_is_done_by_the_others(
    servers: list[Served], speech: bytes, postgres_server: PostgresServer
) -> None:
    HeldWhisper.let.clear()
    busy = [servers[0].add(speech) for _ in range(3)]
    until(lambda: all(server.runner.in_work for server in servers))
    left = servers[0].add(speech)
    dead = PostgresJobStore(postgres_server.url())
    claim = dead.claim(0.0, time.time())
    assert claim is not None
    assert claim.job.id == left["id"]
    servers[0].runner.files.write_result(claim, "{}")  # it died before its row said so
    dead.close()
    HeldWhisper.let.set()
    for job in (*busy, left):
        until(lambda job=job: servers[2].job(job)["state"] == "done")  # type: ignore[misc]  # it is bound
    assert servers[1].job(left)["attempts"] == {"deaths": 0, "failures": 0}  # it got on, so it was not its fault
    assert not servers[1].store.finish(claim, time.time(), "late.json", 1)
    until(lambda: not any(server.runner.in_work for server in servers))
    results = [path.name.partition(".")[0] for path in (servers[0].folder / "results").iterdir()]
    assert sorted(results) == sorted(job["id"] for job in (*busy, left))


def held_jobs(servers: list[Served], speech: bytes) -> list[dict[str, Any]]:
    """Four jobs, of which every server has one in work, until `HeldWhisper.let` is set."""
    for server in servers:
        until(lambda server=server: server.client.get("/readyz").status_code == 200)  # type: ignore[misc]  # it is bound
    HeldWhisper.let.clear()
    jobs = [servers[0].add(speech) for _ in range(4)]
    until(lambda: all(server.runner.in_work for server in servers))
    return jobs


def test_a_database_that_is_away_makes_servers_unready_and_costs_no_job(
    servers: list[Served], speech: bytes, postgres_server: PostgresServer
) -> None:
    jobs = held_jobs(servers, speech)
    postgres_server.kill()
    HeldWhisper.let.set()
    for server in servers:
        until(lambda server=server: server.client.get("/readyz").status_code == 503)  # type: ignore[misc]  # it is bound
        assert "start the database" in server.client.get("/readyz").json()["reason"]
        assert server.client.get("/livez").status_code == 200
    for refused in (servers[0].client.get("/v1/jobs"), servers[1].client.get(f"/v1/jobs/{jobs[0]['id']}")):
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
    password = (postgres_server.folder / "password").read_text()
    assert password not in servers[0].client.get("/v1/jobs").text
    postgres_server.start()
    for job in jobs:
        until(lambda job=job: servers[1].job(job).get("state") == "done")  # type: ignore[misc]  # it is bound
        events = servers[2].client.get(f"/v1/jobs/{job['id']}/events").text
        assert events.count("event: segment\n") == events.count("event: done\n") == 1
    for server in servers:
        until(lambda server=server: server.client.get("/readyz").status_code == 200)  # type: ignore[misc]  # it is bound
    assert len(list((servers[0].folder / "results").iterdir())) == 4


@pytest.mark.slow
def test_a_database_that_is_silent_holds_up_who_needs_a_job_and_nobody_else_and_costs_no_job(
    servers: list[Served], speech: bytes, postgres_server: PostgresServer
) -> None:
    # Whoever asked for a job waited for up to three minutes, each in one of the threads that all routes share.
    jobs = held_jobs(servers, speech)
    one = f"/v1/jobs/{jobs[0]['id']}"
    with silenced(postgres_server), ThreadPoolExecutor(40) as clients:
        HeldWhisper.let.set()
        asked = [clients.submit(servers[0].client.get, path) for path in ("/v1/jobs", one, f"{one}/events") * 12]
        asked += [clients.submit(servers[0].client.post, "/v1/jobs", files={"file": ("a.wav", speech)})]
        for path in ("/livez", "/v1/models", "/"):
            assert servers[0].client.get(path).status_code == 200, path
        said = servers[0].client.post("/v1/audio/transcriptions", files={"file": ("talk.wav", speech)})
        assert said.json()["text"] == "one two three four five"
        for refused in (answer.result() for answer in asked):  # while it is silent
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
            assert int(refused.headers["retry-after"]) > 0
        for server in servers:
            until(lambda server=server: server.client.get("/readyz").status_code == 503)  # type: ignore[misc]  # it is bound
            assert "cannot be used" in server.client.get("/readyz").json()["reason"]
            assert server.client.get("/livez").status_code == 200
    for server in servers:
        until(lambda server=server: server.client.get("/readyz").status_code == 200)  # type: ignore[misc]  # it is bound
    for job in jobs:
        until(lambda job=job: servers[1].job(job).get("state") == "done")  # type: ignore[misc]  # it is bound
        events = servers[2].client.get(f"/v1/jobs/{job['id']}/events").text
        assert events.count("event: segment\n") == events.count("event: done\n") == 1
    # What was sent meanwhile was refused; that it became a job all the same is allowed.
    assert len(servers[1].client.get("/v1/jobs").json()["data"]) in (4, 5)


def test_what_another_server_is_about_to_add_or_to_finish_is_no_stray(
    servers: list[Served], speech: bytes, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    data = servers[0].folder
    (data / "uploads" / "coming").write_bytes(b"x")
    HeldWhisper.let.clear()
    job = servers[0].add(speech)
    until(lambda: servers[0].job(job)["state"] == "running")
    (data / "results" / f"{job['id']}.1.json").write_text("{}")
    for days in (0, 2):
        with ExitStack() as stack:
            store = open_store(data, postgres_server.url())
            stack.callback(store.close)
            servers[0].runner.files.remove_strays(store, time.time() + days * 86_400)
        assert (data / "uploads" / "coming").exists() == (days == 0)
        assert (data / "results" / f"{job['id']}.1.json").exists()
    with pytest.raises(StoreUnavailable, match="same folder as --data"):
        open_store(tmp_path / "another", postgres_server.url())
    HeldWhisper.let.set()
    until(lambda: servers[0].job(job)["state"] == "done")


def test_a_folder_has_one_mark_whoever_asks_first(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from autorag_whisper.jobs.files import mark_of

    start = threading.Barrier(8)

    def ask(_: int) -> str:
        start.wait()
        return mark_of(tmp_path)

    with ThreadPoolExecutor(8) as threads:
        marks = set(threads.map(ask, range(8)))
    assert len(marks) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folder-id"]
    assert marks.pop()
