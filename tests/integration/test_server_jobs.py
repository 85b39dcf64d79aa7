"""`/v1/jobs` over a transcriber of fakes: queued, done, told, stopped, tried again, resumed after a kill."""

from __future__ import annotations

import errno
import json
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from autorag_whisper.domain.errors import EngineError
from autorag_whisper.domain.job_errors import StoreUnavailable
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.jobs.clock_guard import ClockGuard
from autorag_whisper.jobs.job import JobRequest, JobState, KeptMedia, QueueLimits
from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.jobs.runner import JobRunner
from autorag_whisper.server import keys
from autorag_whisper.server.app import Engine, create_app
from autorag_whisper.server.health import STALLED_S
from autorag_whisper.server.jobs import Jobs, JobSettings, tidy
from autorag_whisper.server.settings import ServerSettings
from autorag_whisper.testing import FakeWhisper, speech_samples, write_speech
from http_world import Gate, held_world
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from autorag_whisper.domain.device import Device
    from autorag_whisper.engines.base import Encoded
    from autorag_whisper.jobs.job import Claim, Job

BASE = "http://127.0.0.1:8060"


class HeldWhisper(FakeWhisper):
    """Encodes while it is let."""

    let = threading.Event()

    def encode(self, features: Any) -> Encoded:
        assert self.let.wait(240)
        return super().encode(features)


class Served:
    """The application over fakes, with jobs in memory."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        jobs: JobSettings | None = None,
        **settings: Any,
    ) -> None:
        HeldWhisper.let = threading.Event()
        HeldWhisper.let.set()
        self.world, self.store = World(engine=HeldWhisper), MemoryJobStore()
        self.free_bytes = 1 << 40
        self.runner = JobRunner(self.store, self.world.transcriber, folder, time.time, 1, lambda: self.free_bytes)
        engine = Engine(self.world.transcriber, lambda: ["base"], clock)
        durable = Jobs(self.store, self.runner, time.time, jobs or JobSettings())
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
    until(lambda: list(served.runner.files.uploads.iterdir()) == [])  # removed behind its end


def test_one_idempotency_key_is_one_job_and_one_upload(served: Served, speech: bytes) -> None:
    HeldWhisper.let.clear()
    first = served.add(speech, {"Idempotency-Key": "k1"})
    again = served.add(speech, {"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert len(list(served.runner.files.uploads.iterdir())) == 1
    HeldWhisper.let.set()
    served.until(first.json()["id"], "done")


def test_events_are_segments_and_the_end_and_go_on_behind_the_last_one_that_was_had(
    served: Served, speech: bytes
) -> None:
    job = served.add(speech, language="en").json()
    text = served.client.get(f"/v1/jobs/{job['id']}/events").text
    events = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block]
    events = [event for event in events if event.get("event", "progress") != "progress"]  # nor what keeps it alive
    assert [event["event"] for event in events] == ["segment", "done", "state"]
    assert json.loads(events[0]["data"])["text"] == "one two three four five"
    assert json.loads(events[-1]["data"])["state"] == "done"
    rest = served.client.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": events[0]["id"]}).text
    assert "segment" not in rest
    assert "event: done" in rest


def test_a_job_in_work_is_stopped_and_one_that_waits_too(served: Served, speech: bytes) -> None:
    HeldWhisper.let.clear()
    first, second = (served.add(speech, language="en").json()["id"] for _ in range(2))
    until(lambda: served.runner.in_work == 1)
    assert served.job(first)["state"] == "running"
    assert served.job(second)["position"] == 0
    third = served.add(speech).json()["id"]
    assert served.job(third)["position"] == 1
    assert served.client.delete(f"/v1/jobs/{second}").json()["state"] == "cancelled"
    assert served.client.delete(f"/v1/jobs/{first}").json()["state"] == "running"
    assert [active.cancel.cancelled for active in served.runner._active] == [True]
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
        until(lambda: (told := served.job(job["id"]))["attempts"]["failures"] == 1 and told["state"] == "queued")
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
    assert (done := served.store.get(job)) is not None
    assert json.loads(other.files.result(done).read_text())["text"] == "one two three four five"
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

    def fail(claim: Claim, now_s: float, result: str = "", result_bytes: int = 0, media_bytes: int = 0) -> bool:
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
        until(lambda: served.runner.in_work == 1)
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


def test_a_store_that_was_away_for_longer_than_a_lease_costs_no_server_its_own_job(
    tmp_path: Path, speech: bytes
) -> None:
    # When the store was back, whichever thread was first: one that looked for a job took that of its neighbour.
    looks, attempts, now = threading.Semaphore(0), threading.Semaphore(0), [1e6]

    def look() -> int:
        looks.release()
        return 1 << 40

    store, gate = MemoryJobStore(), Gate()
    media = tmp_path / "talk.wav"
    media.write_bytes(speech)
    with held_world(gate) as world:
        runner = JobRunner(store, world.transcriber, tmp_path / "data", lambda: now[0], 2, look)
        job = store.add(JobRequest(str(media), "talk.wav"), now[0])
        assert gate.asked.acquire(timeout=60)
        renew = store.renew

        def fail(*_: object) -> None:
            attempts.release()
            raise StoreUnavailable("the store", "it is away")

        store.renew = fail  # type: ignore[method-assign]  # as a database that is away does
        now[0] += 100.0
        for waited in (attempts, looks):
            for _ in range(4):
                assert waited.acquire(timeout=60)
        store.renew = renew  # type: ignore[method-assign]  # it is back
        for _ in range(4):
            assert looks.acquire(timeout=60)
        gate.let.set()
        until(lambda: store.get(job.id).state is JobState.DONE)  # type: ignore[union-attr]  # it is there
        runner.close()
    done = store.get(job.id)
    assert done is not None
    assert (done.deaths, done.result) == (0, f"{job.id}.1.json")


def test_who_was_let_go_at_the_end_and_comes_back_at_once_does_not_hold_it_up(tmp_path: Path, speech: bytes) -> None:
    # A page asks for the events again as soon as they end: those were followed until `--drain` was over.
    served = Served(tmp_path, drain_s=3600.0)
    with served.client:
        HeldWhisper.let.clear()
        job = served.add(speech).json()["id"]
        served.client.portal.call(served.client.app.state.service.begin_to_end)  # type: ignore[attr-defined,union-attr]  # it is served
        told = served.client.get(f"/v1/jobs/{job}/events")
        assert (told.status_code, told.json()["error"]["code"]) == (503, "draining")
        HeldWhisper.let.set()
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
        [wanted] = served.runner.files.uploads.iterdir()
        (served.runner.files.uploads / "stray").write_bytes(b"x")
        threading.Timer(0.2, HeldWhisper.let.set).start()
    JobRunner(served.store, served.world.transcriber, tmp_path, time.time, most=1).close(drain_s=60)
    left = list(served.runner.files.uploads.iterdir())
    assert left in ([wanted], [])  # it may have been done meanwhile
    served.world.transcriber.close()


def test_old_jobs_are_forgotten_with_their_results(served: Served, speech: bytes) -> None:
    job = served.add(speech).json()["id"]
    served.until(job, "done")
    assert len(list(served.runner.files.results.iterdir())) == 1
    assert served.runner.prune(time.time() + 1) == 1
    assert served.client.get(f"/v1/jobs/{job}").status_code == 404
    assert list(served.runner.files.results.iterdir()) == []


def test_a_full_disk_stops_the_claiming_and_not_the_server_and_all_goes_on_when_there_is_room(
    served: Served, speech: bytes
) -> None:
    served.free_bytes = 10 << 20
    until(lambda: served.client.get("/readyz").json().get("reason", "").startswith("the disk"))  # it has looked
    queued = served.store.add(JobRequest(str(write_speech_of(served, speech)), "talk.wav"), time.time())
    refused = served.add(speech)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "disk_full")
    assert refused.headers["retry-after"]
    assert served.job(queued.id)["state"] == "queued"
    assert served.client.get("/livez").status_code == 200
    served.free_bytes = 1 << 40
    served.until(queued.id, "done")
    until(lambda: served.client.get("/readyz").status_code == 200)
    assert served.add(speech).status_code == 201


def test_a_result_that_finds_no_room_waits_for_it_and_counts_as_no_failure(served: Served, speech: bytes) -> None:
    write, tries = served.runner.files.write_result, [0]

    def full(claim: Claim, text: str) -> Path:
        tries[0] += 1
        if tries[0] < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(claim, text)

    served.runner.files.write_result = full  # type: ignore[method-assign]  # as a full disk does
    job = served.add(speech, language="en").json()["id"]
    done = served.until(job, "done")
    assert tries[0] == 3
    assert done["attempts"] == {"deaths": 0, "failures": 0}


def write_speech_of(served: Served, speech: bytes) -> Path:
    path = served.runner.files.uploads.parent / "talk.wav"
    path.write_bytes(speech)
    return path


def test_a_file_below_an_allowed_folder_is_named_by_path_and_stays_and_no_other_is_read(
    tmp_path: Path, speech: bytes
) -> None:
    media, secret = tmp_path / "media", tmp_path / "secret.wav"
    media.mkdir()
    (media / "talk.wav").write_bytes(speech)
    secret.write_bytes(speech)
    (media / "link.wav").symlink_to(secret)
    (media / "fine.wav").symlink_to(media / "talk.wav")
    served = Served(tmp_path / "data", jobs=JobSettings(roots=(media,)))
    with served.client as client:
        for name in ("talk.wav", "fine.wav"):
            added = client.post("/v1/jobs", json={"path": str(media / name), "language": "en", "priority": 3})
            assert added.status_code == 201, added.text
            assert added.json()["priority"] == 3
            served.until(added.json()["id"], "done")
        assert (media / "talk.wav").exists()
        for path in (secret, media / "link.wav", media / "../secret.wav", media, media / "none.wav", "/etc/passwd"):
            refused = client.post("/v1/jobs", json={"path": str(path)})
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "path_not_allowed"), path
            assert "secret" not in refused.text
        for body in ({"path": "talk.wav"}, {"path": ""}, {"path": []}, {}, {"path": "/a\0b"}, {"path": 7}):
            assert client.post("/v1/jobs", json=body).status_code == 400, body
        assert client.post("/v1/jobs", json=[1]).status_code == 400
        assert client.post("/v1/jobs", content=b"{", headers={"content-type": "application/json"}).status_code == 400
        large = client.post("/v1/jobs", json={"path": "/x" * (1 << 20)})
        assert large.status_code == 413
        assert list(served.runner.files.uploads.iterdir()) == []
    served.world.transcriber.close()


def test_no_path_is_read_where_no_folder_is_allowed(served: Served, tmp_path: Path) -> None:
    refused = served.client.post("/v1/jobs", json={"path": str(tmp_path)})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "path_not_allowed")
    assert "--allow-path" in refused.json()["error"]["message"]


def test_every_option_of_a_transcription_may_be_given_and_is_checked_before_the_job_is_queued(
    served: Served, speech: bytes
) -> None:
    options = {"quality": "best", "clips": [[0, 1.0], [2.0, None]], "temperatures": [0.0, 0.4], "vad": False}
    job = served.add(speech, options=json.dumps(options), task="translate", language="en")
    assert job.status_code == 201, job.text
    kept = served.store.get(job.json()["id"])
    assert kept is not None
    given = TranscribeOptions(**kept.request.options)
    assert given == TranscribeOptions(**options, task="translate", language="en", max_duration_s=given.max_duration_s)
    assert JobRequest.from_json(kept.request.to_json()) == replace(
        kept.request, options=json.loads(kept.request.to_json())["options"]
    )
    assert TranscribeOptions(**JobRequest.from_json(kept.request.to_json()).options) == given
    for bad in ("{", "[]", '{"none": 1}', '{"quality": "worst"}', '{"clips": {"a": 1}}', '{"temperatures": 7}', "7"):
        refused = served.add(speech, options=bad)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "options"), bad
    assert served.add(speech, task="sing").status_code == 400
    unlimited = served.add(speech, options='{"max_duration_s": null}').json()["id"]
    assert (own := served.store.get(unlimited)) is not None
    assert own.request.options["max_duration_s"] == 6 * 3600.0
    assert len(list(served.runner.files.uploads.iterdir())) <= 2


def test_who_has_too_much_is_told_429_and_who_comes_when_all_is_full_503_and_nothing_is_left_of_them(
    tmp_path: Path, speech: bytes
) -> None:
    limits = QueueLimits(queued=2, client_jobs=1)
    served = Served(tmp_path, jobs=JobSettings(limits=limits), key_digests=tuple(map(keys.digest, "abcd")))
    HeldWhisper.let.clear()
    heads = [{"Authorization": f"Bearer {name}"} for name in "abcd"]
    with served.client:
        first = served.add(speech, heads[0])
        until(lambda: served.runner.in_work == 1)
        over = served.add(speech, heads[0])
        assert (over.status_code, over.json()["error"]["code"]) == (429, "quota_exceeded")
        assert int(over.headers["retry-after"]) > 0
        assert [served.add(speech, head).status_code for head in heads[1:3]] == [201, 201]
        full = served.add(speech, heads[3])
        assert (full.status_code, full.json()["error"]["code"]) == (503, "queue_full")
        assert len(list(served.runner.files.uploads.iterdir())) == 3
        HeldWhisper.let.set()
        until(lambda: served.client.get(f"/v1/jobs/{first.json()['id']}", headers=heads[0]).json()["state"] == "done")
    served.world.transcriber.close()


def test_a_client_forgets_its_own_old_jobs(tmp_path: Path, speech: bytes) -> None:
    served = Served(tmp_path, key_digests=(keys.digest("ann"), keys.digest("bob")))
    ann, bob = ({"Authorization": f"Bearer {name}"} for name in ("ann", "bob"))
    with served.client as client:
        own, other = served.add(speech, ann).json()["id"], served.add(speech, bob).json()["id"]
        until(lambda: all((job := served.store.get(one)) and job.state.is_final for one in (own, other)))
        assert client.post("/v1/jobs/prune?older_than_s=3600", headers=ann).json()["count"] == 0
        assert client.post("/v1/jobs/prune", headers=ann).json()["count"] == 1
        assert client.get(f"/v1/jobs/{own}", headers=ann).status_code == 404
        assert client.get(f"/v1/jobs/{other}", headers=bob).status_code == 200
        assert client.post("/v1/jobs/prune?older_than_s=-1", headers=ann).status_code == 400
        assert client.post("/v1/jobs/prune?older_than_s=nan", headers=ann).status_code == 400
    served.world.transcriber.close()


def test_a_webhook_is_asked_for_where_there_is_a_secret_and_what_became_of_it_is_told(
    tmp_path: Path, speech: bytes
) -> None:
    served = Served(tmp_path, jobs=JobSettings(tells=True))
    with served.client:
        job = served.add(speech, webhook="https://host.example/hook").json()["id"]
        served.until(job, "done")
        [sent] = served.job(job)["webhook"]
        assert (sent["delivered"], sent["over"], sent["attempts"]) == (False, False, 0)
        for url in ("ftp://host/", "https://", "https://u:p@host/", "no url", "https://host/\nx", "http://h:0/"):
            refused = served.add(speech, webhook=url)
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, "webhook"), url
    served.world.transcriber.close()


def test_no_webhook_is_taken_where_none_would_be_sent(served: Served, speech: bytes) -> None:
    refused = served.add(speech, webhook="https://host.example/hook")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "webhook")
    assert list(served.runner.files.uploads.iterdir()) == []


def test_a_strict_server_refuses_fields_of_a_job_that_it_would_ignore(tmp_path: Path, speech: bytes) -> None:
    served = Served(tmp_path, strict=True)
    with served.client:
        assert served.add(speech, langauge="en").status_code == 400
        taken = served.add(speech, language="en", priority="1", task="transcribe", options='{"quality": "fast"}')
        assert taken.status_code == 201, taken.text
        served.until(taken.json()["id"], "done")
    served.world.transcriber.close()


def test_a_clock_that_is_set_ahead_by_weeks_removes_no_result_and_no_recording(
    served: Served, speech: bytes, tmp_path: Path
) -> None:
    keep_s, now = 30 * 86_400.0, time.time()
    served.runner.kept_media = KeptMedia(7 * 86_400.0)
    job = served.until(served.add(speech, language="en").json()["id"], "done")
    settings = JobSettings(kept_media=KeptMedia(7 * 86_400.0))
    guard = ClockGuard(tmp_path / "seen.json", served.store)

    def tidied(now_s: float, passed_s: float, *, most_bytes: int | None = None) -> Job | None:
        jobs = Jobs(served.store, served.runner, lambda: now_s, replace(settings, most_bytes=most_bytes))
        tidy(jobs, keep_s, guard, passed_s)
        return served.store.get(job["id"])

    ahead = now + 60 * 86_400.0
    assert tidied(now, 0.0)
    kept = tidied(ahead, 3600.0)
    assert kept is not None
    assert kept.media_bytes == len(speech)
    assert served.client.get(f"/v1/jobs/{job['id']}/result").status_code == 200
    assert tidied(now + 7200.0, 3600.0), "it was set back"
    assert tidied(ahead, 3600.0), "and ahead again"
    assert tidied(ahead + 3600.0, 3600.0, most_bytes=0) is None, "what is too much goes all the same"


def test_what_is_old_by_a_clock_that_went_on_for_a_day_is_forgotten(
    served: Served, speech: bytes, tmp_path: Path
) -> None:
    job = served.until(served.add(speech, language="en").json()["id"], "done")
    guard, ahead = ClockGuard(tmp_path / "seen.json", served.store), time.time() + 60 * 86_400.0
    for hours in range(26):
        tidy(Jobs(served.store, served.runner, lambda h=hours: ahead + h * 3600.0), 30 * 86_400.0, guard, 3600.0)
        assert (served.store.get(job["id"]) is not None) == (hours < 24)
