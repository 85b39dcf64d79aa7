"""`/v1/jobs` over a transcriber of fakes: queued, done, told, stopped, tried again, resumed after a kill."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from autorag_whisper.domain.errors import EngineError
from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.jobs.runner import JobRunner
from autorag_whisper.server import keys
from autorag_whisper.server.app import Engine, create_app
from autorag_whisper.server.health import STALLED_S
from autorag_whisper.server.jobs import Jobs
from autorag_whisper.server.settings import ServerSettings
from autorag_whisper.testing import FakeWhisper, speech_samples, write_speech
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from autorag_whisper.domain.device import Device
    from autorag_whisper.engines.base import Encoded
    from autorag_whisper.jobs.job import Claim

BASE = "http://127.0.0.1:8060"


class HeldWhisper(FakeWhisper):
    """Encodes while it is let."""

    let = threading.Event()

    def encode(self, features: Any) -> Encoded:
        assert self.let.wait(60)
        return super().encode(features)


class Served:
    """The application over fakes, with jobs in memory."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic, **settings: Any) -> None:
        HeldWhisper.let = threading.Event()
        HeldWhisper.let.set()
        self.world, self.store = World(engine=HeldWhisper), MemoryJobStore()
        self.runner = JobRunner(self.store, self.world.transcriber, folder, time.time, most=1)
        engine = Engine(self.world.transcriber, lambda: ["base"], clock)
        durable = Jobs(self.store, self.runner, time.time)
        self.client = TestClient(
            create_app(engine, ServerSettings(**settings), durable), BASE, raise_server_exceptions=False
        )

    def add(self, speech: bytes, headers: dict[str, Any] | None = None, **fields: Any) -> Any:
        return self.client.post("/v1/jobs", files={"file": ("talk.mp3", speech)}, data=fields, headers=headers)

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.client.get(f"/v1/jobs/{job_id}").json())

    def until(self, job_id: str, state: str) -> dict[str, Any]:
        until(lambda: self.job(job_id)["state"] == state)
        return self.job(job_id)


def until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not happen")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    with served.client:
        yield served
        HeldWhisper.let.set()
    served.world.transcriber.close()


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_speech(tmp_path_factory.mktemp("speech") / "talk.wav", speech_samples(5)).read_bytes()


def test_a_job_is_queued_done_and_its_result_had_in_every_format(served: Served, speech: bytes) -> None:
    added = served.add(speech, language="en", priority="7")
    assert added.status_code == 201
    job = added.json()
    assert added.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["object"], job["name"], job["priority"]) == ("transcription.job", "talk.mp3", 7)
    done = served.until(job["id"], "done")
    assert done["progress"]["audio_s"] == done["progress"]["total_s"] == 5.0
    result = served.client.get(f"/v1/jobs/{job['id']}/result")
    assert result.json()["text"] == "one two three four five"
    assert served.client.get(f"/v1/jobs/{job['id']}/result?format=srt").text.startswith("1\n00:00:0")
    assert served.client.get(f"/v1/jobs/{job['id']}/result?format=words").json()[0]["w"] == "one"
    assert served.client.get(f"/v1/jobs/{job['id']}/result?format=docx").status_code == 400
    assert list(served.runner.uploads.iterdir()) == []


def test_one_idempotency_key_is_one_job_and_one_upload(served: Served, speech: bytes) -> None:
    HeldWhisper.let.clear()
    first = served.add(speech, {"Idempotency-Key": "k1"})
    again = served.add(speech, {"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert len(list(served.runner.uploads.iterdir())) == 1
    HeldWhisper.let.set()
    served.until(first.json()["id"], "done")


def test_events_are_segments_and_the_end_and_go_on_behind_the_last_one_that_was_had(
    served: Served, speech: bytes
) -> None:
    job = served.add(speech, language="en").json()
    text = served.client.get(f"/v1/jobs/{job['id']}/events").text
    events = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block]
    assert [event["event"] for event in events] == ["segment", "done", "state"]
    assert json.loads(events[0]["data"])["text"] == "one two three four five"
    assert json.loads(events[-1]["data"])["state"] == "done"
    rest = served.client.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": events[0]["id"]}).text
    assert "segment" not in rest
    assert "event: done" in rest


def test_a_job_in_work_is_stopped_and_one_that_waits_too(served: Served, speech: bytes) -> None:
    HeldWhisper.let.clear()
    first, second = (served.add(speech, language="en").json()["id"] for _ in range(2))
    served.until(first, "running")
    assert served.job(second)["position"] == 0
    third = served.add(speech).json()["id"]
    assert served.job(third)["position"] == 1
    assert served.client.delete(f"/v1/jobs/{second}").json()["state"] == "cancelled"
    assert served.client.delete(f"/v1/jobs/{first}").json()["state"] == "running"
    until(lambda: all(active.cancel.cancelled for active in served.runner._active))
    HeldWhisper.let.set()
    served.until(first, "cancelled")
    refused = served.client.get(f"/v1/jobs/{first}/result")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "no_result")
    assert served.client.post(f"/v1/jobs/{first}/retry").json()["state"] in ("queued", "running", "done")
    served.until(first, "done")
    served.until(third, "done")


def test_a_file_that_is_no_media_fails_at_once_with_its_error(served: Served) -> None:
    job = served.add(b"no media").json()
    failed = served.until(job["id"], "failed")
    assert "talk.mp3" in failed["error"]["message"]
    assert failed["attempts"] == {"deaths": 0, "failures": 0}


def test_what_may_pass_is_tried_again_later(tmp_path: Path, speech: bytes) -> None:
    served = Served(tmp_path)

    def fail(_device: Device) -> None:
        raise EngineError("fake", "load", "not now")

    served.world.fail_load = fail  # before the server starts, which loads the model
    with served.client:
        job = served.add(speech).json()
        until(lambda: served.job(job["id"])["attempts"]["failures"] == 1)
        assert served.job(job["id"])["state"] == "queued"
    served.world.transcriber.close()


def test_an_end_hands_back_what_is_in_work_and_another_process_takes_it_up(tmp_path: Path, speech: bytes) -> None:
    served = Served(tmp_path)
    with served.client:
        HeldWhisper.let.clear()
        job = served.add(speech, language="en").json()["id"]
        served.until(job, "running")
        threading.Timer(0.2, HeldWhisper.let.set).start()
    handed = served.store.get(job)
    assert handed is not None
    assert handed.state in ("queued", "done")
    other = JobRunner(served.store, served.world.transcriber, tmp_path, time.time)
    until(lambda: (found := served.store.get(job)) is not None and found.state == "done")
    other.close()
    assert json.loads(other.result(job).read_text())["text"] == "one two three four five"
    served.world.transcriber.close()


def test_an_engine_that_hangs_at_a_job_is_not_ready(tmp_path: Path, speech: bytes) -> None:
    now = [0.0]
    served = Served(tmp_path, clock=lambda: now[0])
    with served.client as client:
        until(lambda: client.get("/readyz").status_code == 200)
        HeldWhisper.let.clear()
        job = served.add(speech, language="en").json()["id"]
        served.until(job, "running")
        health = client.app.state.service.health  # type: ignore[attr-defined]  # the state of a FastAPI
        until(lambda: health.in_work == 1)
        assert client.get("/readyz").status_code == 200

        def is_red() -> bool:  # what was read ahead may still be told after a step of the clock
            now[0] += STALLED_S + 1
            return client.get("/readyz").status_code == 503

        until(is_red)
        HeldWhisper.let.set()
        served.until(job, "done")
        until(lambda: client.get("/readyz").status_code == 200)
    served.world.transcriber.close()


def test_a_store_that_fails_for_a_moment_ends_no_worker_of_jobs(tmp_path: Path, speech: bytes) -> None:
    served = Served(tmp_path)
    finish = served.store.finish

    def fail(claim: Claim, now_s: float) -> bool:
        served.store.finish = finish  # type: ignore[method-assign]  # it fails once
        raise OSError(28, "No space left on device")

    served.store.finish = fail  # type: ignore[method-assign]  # as a full disk does
    with served.client:
        served.add(speech, language="en")
        second = served.add(speech, language="en").json()["id"]
        served.until(second, "done")
    served.world.transcriber.close()


def test_a_job_whose_lease_ran_out_is_given_up_by_whoever_had_it(tmp_path: Path, speech: bytes) -> None:
    served = Served(tmp_path)
    with served.client:
        HeldWhisper.let.clear()
        job = served.add(speech, language="en").json()["id"]
        served.until(job, "running")
        [active] = served.runner._active
        other = served.store.claim(1000.0, time.time() + 3600)  # the clock was put forward
        assert other is not None
        until(lambda: active.claim is None)
        assert active.cancel.cancelled
        HeldWhisper.let.set()
        until(lambda: not served.runner.in_work)
        assert served.job(job)["state"] == "running"  # the other's
        assert served.store.finish(other, time.time())
    served.world.transcriber.close()


def test_a_clients_jobs_are_shown_to_nobody_else(tmp_path: Path, speech: bytes) -> None:
    served = Served(tmp_path, key_digests=(keys.digest("ann"), keys.digest("bob")))
    ann, bob = ({"Authorization": f"Bearer {name}"} for name in ("ann", "bob"))
    with served.client as client:
        job = served.add(speech, ann).json()["id"]
        assert client.get(f"/v1/jobs/{job}", headers=ann).status_code == 200
        for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/result", f"/v1/jobs/{job}/events"):
            assert client.get(path, headers=bob).status_code == 404
        assert client.delete(f"/v1/jobs/{job}", headers=bob).status_code == 404
        assert client.get("/v1/jobs", headers=bob).json()["data"] == []
        assert [one["id"] for one in client.get("/v1/jobs", headers=ann).json()["data"]] == [job]
    served.world.transcriber.close()


def test_pages_of_jobs_and_fields_that_make_no_sense(served: Served, speech: bytes) -> None:
    jobs = [served.add(speech).json()["id"] for _ in range(3)]
    page = served.client.get("/v1/jobs?limit=2").json()
    assert [job["id"] for job in page["data"]] == jobs[:0:-1]
    assert page["has_more"]
    rest = served.client.get(f"/v1/jobs?limit=2&before={jobs[1]}").json()
    assert [job["id"] for job in rest["data"]] == jobs[:1]
    assert served.client.get("/v1/jobs?state=lost").status_code == 400
    assert served.client.get("/v1/jobs?limit=0").status_code == 400
    invalid = served.client.get("/v1/jobs?limit=x")
    assert (invalid.status_code, invalid.json()["error"]["param"]) == (400, "limit")
    for told in ("\u00b2", "x", "9" * 30):
        answer = served.client.get(f"/v1/jobs/{jobs[0]}/events", headers={"Last-Event-ID": told.encode("latin-1")})
        assert answer.status_code == 200
    assert served.add(speech, priority="101").status_code == 400
    assert served.add(speech, {"Idempotency-Key": "k" * 300}).status_code == 400
    assert served.client.get("/v1/jobs/../../etc/passwd").status_code == 404


def test_an_upload_whose_request_never_became_a_job_is_removed_at_the_next_start(tmp_path: Path, speech: bytes) -> None:
    served = Served(tmp_path)
    HeldWhisper.let.clear()
    with served.client:
        served.add(speech)
        [wanted] = served.runner.uploads.iterdir()
        (served.runner.uploads / "stray").write_bytes(b"x")
        threading.Timer(0.2, HeldWhisper.let.set).start()
    JobRunner(served.store, served.world.transcriber, tmp_path, time.time, most=1).close(drain_s=60)
    left = list(served.runner.uploads.iterdir())
    assert left in ([wanted], [])  # it may have been done meanwhile
    served.world.transcriber.close()


def test_old_jobs_are_forgotten_with_their_results(served: Served, speech: bytes) -> None:
    job = served.add(speech).json()["id"]
    served.until(job, "done")
    assert served.runner.result(job).exists()
    assert served.runner.prune(time.time() + 1) == 1
    assert served.client.get(f"/v1/jobs/{job}").status_code == 404
    assert not served.runner.result(job).exists()
