"""Uploads that go on after a broken connection: what came stays, nothing is taken twice, limits hold."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from autorag_whisper.jobs.clock_guard import ClockGuard
from autorag_whisper.jobs.job import KeptMedia, QueueLimits
from autorag_whisper.jobs.partial import KEPT_S, PartialUploads
from autorag_whisper.server.jobs import Jobs, JobSettings, tidy
from autorag_whisper.testing import speech_samples, write_speech
from http_world import Exchange, error_of, until
from jobs_world import JobsWorld, bearer, digests, jobs_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

TUS = {"Tus-Resumable": "1.0.0"}
KIND = {"Content-Type": "application/offset+octet-stream"}


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_speech(tmp_path_factory.mktemp("speech") / "a.wav", speech_samples(3)).read_bytes()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[JobsWorld]:
    with jobs_world(tmp_path) as made:
        yield made


def begun(world: JobsWorld, length: int, name: str = "talk.mp3", **headers: str) -> str:
    """The address of a new upload."""
    told = {"Upload-Length": str(length), "Upload-Metadata": f"filename {base64.b64encode(name.encode()).decode()}"}
    made = world.client.post("/v1/uploads", headers=TUS | told | headers)
    assert made.status_code == 201, made.text
    return str(made.headers["location"])


def send(world: JobsWorld, url: str, data: bytes, at: int, **headers: str) -> httpx.Response:
    return world.client.patch(url, content=data, headers=TUS | KIND | {"Upload-Offset": str(at)} | headers)


def offset(world: JobsWorld, url: str) -> int:
    head = world.client.head(url, headers=TUS)
    assert (head.status_code, head.content, head.headers["tus-resumable"]) == (200, b"", "1.0.0")
    return int(head.headers["upload-offset"])


def test_an_upload_in_pieces_becomes_a_job_with_the_same_words(world: JobsWorld, speech: bytes) -> None:
    whole = world.add(speech)
    url = begun(world, len(speech), "../Übung 1.mp3")
    assert offset(world, url) == 0
    at = 0
    for size in (1, 1000, len(speech)):
        piece = speech[at : at + size]
        sent = send(world, url, piece, at)
        assert (sent.status_code, sent.content) == (204, b"")
        at += len(piece)
        assert int(sent.headers["upload-offset"]) == at == offset(world, url)
    asked = {"upload": url.rpartition("/")[2], "folder": "f"}
    job = world.client.post("/v1/jobs", json=asked)
    assert (job.status_code, job.json()["name"], job.json()["folder"]) == (201, "Übung 1.mp3", "f")
    again = world.client.post("/v1/jobs", json=asked)
    assert (again.status_code, again.json()["id"]) == (200, job.json()["id"])  # the answer to the first may be lost
    until(lambda: world.get(f"/v1/jobs/{job.json()['id']}").json()["state"] == "done")
    texts = [world.get(f"/v1/jobs/{one}/result", format="txt").text for one in (whole, job.json()["id"])]
    assert texts[0] == texts[1]
    assert world.get(f"/v1/jobs/{job.json()['id']}/media").content == speech
    assert not list(world.runner.files.uploads.parent.glob("partial/*.part"))


def test_what_came_before_a_connection_broke_stays(world: JobsWorld, speech: bytes) -> None:
    url = begun(world, len(speech))
    headers = TUS | KIND | {"Upload-Offset": "0", "Host": "127.0.0.1:8060", "Content-Length": str(len(speech))}
    part = {"type": "http.request", "body": speech[:500], "more_body": True}
    broken = Exchange(url, headers, part, {"type": "http.disconnect"}, method="PATCH")
    asyncio.run(world.app(broken.scope, broken.receive, broken.send))
    assert offset(world, url) == 500
    assert send(world, url, speech[500:], 500).status_code == 204


def test_uploads_outlive_the_process(tmp_path: Path, speech: bytes) -> None:
    with jobs_world(tmp_path) as first:
        url = begun(first, len(speech))
        send(first, url, speech[:100], 0)
    with jobs_world(tmp_path) as second:
        assert offset(second, url) == 100
        assert send(second, url, speech[100:], 100).status_code == 204


def test_a_wrong_place_or_too_much_is_refused_and_changes_nothing(world: JobsWorld) -> None:
    url = begun(world, 10)
    assert send(world, url, b"12345", 0).status_code == 204
    for at in (0, 4, 6):
        refused = send(world, url, b"x", at)
        assert (refused.status_code, error_of(refused)["code"]) == (409, "offset_mismatch")
        assert refused.headers["upload-offset"] == "5"
    assert send(world, url, b"123456", 5).status_code == 400
    assert offset(world, url) == 5
    early = world.client.post("/v1/jobs", json={"upload": url.rpartition("/")[2]})
    assert (early.status_code, error_of(early)["code"]) == (409, "upload_incomplete")


@pytest.mark.parametrize(
    ("headers", "status", "param"),
    [
        ({"Upload-Length": "10", "Tus-Resumable": "0.2.2"}, 412, "Tus-Resumable"), ({}, 400, "Upload-Length"),
        ({"Upload-Length": "x"}, 400, "Upload-Length"), ({"Upload-Length": "-1"}, 400, "Upload-Length"),
        ({"Upload-Length": "0"}, 400, "Upload-Length"), ({"Upload-Length": "9" * 15}, 413, "Upload-Length"),
        ({"Upload-Length": "9", "Upload-Metadata": "filename !!"}, 400, "Upload-Metadata"),
        ({"Upload-Length": "9", "Upload-Metadata": "x" * 9000}, 400, "Upload-Metadata"),
    ],
)  # fmt: skip
def test_an_upload_that_cannot_be_is_refused(
    headers: dict[str, str], status: int, param: str, world: JobsWorld
) -> None:
    refused = world.client.post("/v1/uploads", headers=TUS | headers)
    assert (refused.status_code, error_of(refused)["param"]) == (status, param)
    assert not list(world.runner.files.uploads.parent.glob("partial/*"))


def test_the_protocol_is_told(world: JobsWorld) -> None:
    told = world.client.options("/v1/uploads")
    assert (told.status_code, told.headers["tus-version"]) == (204, "1.0.0")
    assert told.headers["tus-extension"] == "creation,termination,expiration"
    assert int(told.headers["tus-max-size"]) == 1 << 30
    url = begun(world, 5)
    assert world.client.patch(url, content=b"x", headers=TUS | {"Upload-Offset": "0"}).status_code == 415
    assert world.client.patch(url, content=b"x", headers=KIND | {"Upload-Offset": "0"}).status_code == 412
    assert world.client.delete(url, headers=TUS).status_code == 204
    assert world.client.head(url, headers=TUS).status_code == 404
    assert send(world, url, b"x", 0).status_code == 404
    for other in ("/v1/uploads/x", "/v1/uploads/..%2f..%2fx", f"/v1/uploads/{'0' * 32}"):
        assert world.client.head(other, headers=TUS).status_code == 404


def test_while_one_writes_another_is_told(world: JobsWorld) -> None:
    url = begun(world, 5)
    partial = world.runner.files.partial
    upload = partial.get(url.rpartition("/")[2], "")
    assert upload is not None
    with partial.writing(upload):
        refused = send(world, url, b"12345", 0)
    assert (refused.status_code, error_of(refused)["code"]) == (423, "upload_locked")
    assert send(world, url, b"12345", 0).status_code == 204


def test_a_disk_that_takes_its_time_holds_up_nobody_else(world: JobsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    url, held, let, sync = begun(world, 5), threading.Event(), threading.Event(), os.fsync

    def slow(file: int) -> None:
        held.set()
        assert let.wait(60)
        sync(file)

    monkeypatch.setattr(os, "fsync", slow)
    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(send, world, url, b"12345", 0)
        try:
            assert held.wait(60)
            assert world.client.get("/livez").status_code == 200
        finally:
            let.set()
        assert sending.result().status_code == 204


def test_limits_of_clients_and_of_the_disk_hold_for_pieces_too(tmp_path: Path) -> None:
    limits = JobSettings(limits=QueueLimits(client_bytes=100, total_bytes=150), kept_media=KeptMedia(9.0))

    def asked(key: str, length: int) -> Any:
        return world.client.post("/v1/uploads", headers=TUS | bearer(key) | {"Upload-Length": str(length)})

    with jobs_world(tmp_path, jobs=limits, key_digests=digests("ann", "bob")) as world:
        url = begun(world, 60, **bearer("ann"))
        refused = asked("ann", 41)
        assert (refused.status_code, error_of(refused)["code"]) == (429, "quota_exceeded")
        refused = asked("bob", 91)
        assert (refused.status_code, error_of(refused)["code"]) == (503, "queue_full")
        assert asked("bob", 90).status_code == 201
        assert world.client.head(url, headers=TUS | bearer("bob")).status_code == 404
        assert send(world, url, b"x", 0, **bearer("bob")).status_code == 404
        world.free_bytes = 0
        assert error_of(asked("ann", 1))["code"] == "disk_full"
        assert error_of(send(world, url, b"x", 0, **bearer("ann")))["code"] == "disk_full"


def test_an_upload_is_one_job_however_many_ask_at_once(world: JobsWorld, speech: bytes) -> None:
    url = begun(world, len(speech))
    send(world, url, speech, 0)
    start = threading.Barrier(4)

    def ask(_: int) -> tuple[int, str]:
        start.wait()
        told = world.client.post("/v1/jobs", json={"upload": url.rpartition("/")[2]})
        return told.status_code, told.json().get("id", "")

    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(ask, range(4)))
    assert len({job for status, job in told if status < 300}) == 1
    assert sorted(status for status, _ in told)[-1] == 423 or [status for status, _ in told].count(201) == 1
    assert len(world.store.newest()) == 1


def test_what_nobody_goes_on_with_is_removed(world: JobsWorld) -> None:
    old, young = begun(world, 5), begun(world, 5)
    folder = world.runner.files.uploads.parent / "partial"
    for path in folder.iterdir():
        moment = world.now_s + (0 if path.stem in old else KEPT_S)
        os.utime(path, (moment, moment))
    left = [folder / f"{'0' * 32}.part", folder / f".{'0' * 32}"]  # of a process that died
    for path in left:
        path.touch()
        os.utime(path, (world.now_s, world.now_s))
    jobs, guard = Jobs(world.store, world.runner, world.clock), ClockGuard(folder.parent / "clock.json", world.store)
    until((folder.parent / "clock.json").exists)  # the service tidies up at its start, and has seen its clock for that
    world.now_s += 30 * 86_400  # a clock that was set: it is not believed
    tidy(jobs, 1.0, guard)
    begun(world, 5)
    world.now_s -= 30 * 86_400
    assert [world.client.head(url, headers=TUS).status_code for url in (old, young)] == [200, 200]
    world.now_s += KEPT_S + 9
    tidy(jobs, 1.0, guard, KEPT_S + 9)
    assert [world.client.head(url, headers=TUS).status_code for url in (old, young)] == [404, 200]
    assert not any(path.exists() for path in left)


def test_an_upload_whose_job_was_added_as_the_process_died_is_that_job(world: JobsWorld, speech: bytes) -> None:
    url = begun(world, len(speech))
    send(world, url, speech, 0)
    upload = url.rpartition("/")[2]
    folder = world.runner.files.uploads.parent / "partial"
    noted = {path.name: path.read_bytes() for path in folder.iterdir()}
    first = world.client.post("/v1/jobs", json={"upload": upload})
    assert first.status_code == 201
    for name, content in noted.items():  # as if it had died behind the row
        (folder / name).write_bytes(content)
    again = world.client.post("/v1/jobs", json={"upload": upload, "language": "en"})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert len(world.store.newest()) == 1
    until(lambda: len(list(world.runner.files.uploads.iterdir())) == 1)
    assert world.client.post("/v1/jobs", json={"upload": upload}).json()["id"] == first.json()["id"]


def test_others_uploads_that_end_meanwhile_disturb_no_count_of_them(tmp_path: Path) -> None:
    # One that was removed between the list of its folder and its reading was a 500 for whoever began another.
    partial = PartialUploads(tmp_path)
    kept = partial.create("ann", "a", 7)
    (tmp_path / f"{'1' * 32}.json").write_text("")  # half written as the machine went down
    with ThreadPoolExecutor(2) as threads:
        ended = threading.Event()

        def come_and_go() -> None:
            while not ended.is_set():
                partial.remove(partial.create("bob", "b", 5).id)

        busy = threads.submit(come_and_go)
        try:
            for _ in range(200):
                assert partial.expected_bytes("ann") == (1, 7)
                partial.remove_old(0.0)
        finally:
            ended.set()
        busy.result()
    assert partial.get(kept.id, "ann") == kept


def test_a_full_disk_leaves_nothing_of_an_upload_that_could_not_begin(tmp_path: Path) -> None:
    partial = PartialUploads(tmp_path)
    with pytest.raises(TypeError):
        partial.create("ann", object(), 5)  # type: ignore[arg-type]  # what cannot be written
    assert list(tmp_path.iterdir()) == []
