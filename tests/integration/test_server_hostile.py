"""Requests of somebody who means ill: each has its documented status in OpenAI's shape, and others notice nothing."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from fastapi.responses import StreamingResponse
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from autorag_whisper.domain.errors import EngineError, PoisonedFile
from autorag_whisper.domain.media_errors import DecoderKilled
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.jobs.job import KEY_PREFIX, JobRequest, JobState
from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.jobs.runner import JobRunner
from autorag_whisper.jobs.store import MOST_DEATHS
from autorag_whisper.server import keys
from autorag_whisper.server.app import Engine, create_app
from autorag_whisper.server.connection import Connection
from autorag_whisper.server.jobs import Jobs, JobSettings
from autorag_whisper.server.pace import Pace
from autorag_whisper.server.running import config_of
from autorag_whisper.server.settings import ServerSettings
from autorag_whisper.testing import speech_samples, write_speech
from autorag_whisper.worker.process import Gone
from examples import examples
from http_world import TRANSCRIPTIONS, Exchange, Gate, app_of, client_of, decoder_of, error_of, held_world, post, until
from run_world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from fastapi import FastAPI
    from fastapi.testclient import TestClient

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="decoder processes")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    world = World()
    with world.transcriber:
        yield world


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_speech(tmp_path_factory.mktemp("speech") / "talk.wav", speech_samples(5)).read_bytes()


def app_with_jobs(world: World, folder: Path, most: int = 0, **settings: Any) -> FastAPI:
    """The service with durable jobs, `most` in work at a time; files in `folder`/media may be named by path."""
    (folder / "media").mkdir(exist_ok=True)
    store = MemoryJobStore()
    runner = JobRunner(store, world.transcriber, folder / "data", time.time, most)
    durable = Jobs(store, runner, time.time, JobSettings(roots=[folder / "media"]))
    return create_app(Engine(world.transcriber, lambda: ["base"], lambda: 0.0), ServerSettings(**settings), durable)


@contextmanager
def jobs_client(world: World, folder: Path, most: int = 0) -> Iterator[TestClient]:
    with client_of(app_with_jobs(world, folder, most)) as client:
        yield client


def asked(app: Any, exchange: Exchange) -> Exchange:
    async def ask() -> None:
        async with asyncio.timeout(60):
            await app(exchange.scope, exchange.receive, exchange.send)

    asyncio.run(ask())
    return exchange


# ---------------------------------------------------------------- text that is none


@pytest.mark.parametrize(
    "charset", ["undefined", "punycode", "idna", "unicode_escape", "utf-16", "utf-7", "rot13", "no-such", "\xff", ""]
)
def test_a_forms_encoding_is_utf_8_whatever_its_head_says(world: World, speech: bytes, charset: str) -> None:
    """Python's codec `undefined` raised, `unicode_escape` made halves of surrogate pairs of a file's name."""
    field = b'--x y\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
    body = field % (b"prompt", b"", "\\ud800 ü".encode()) + field % (b"file", b'; filename="\\ud800.wav"', speech)
    head = {"content-type": f'multipart/form-data; boundary="x y"; charset={charset}'.encode("latin-1")}
    with client_of(app_of(world)) as client:
        answer = client.post(TRANSCRIPTIONS, content=body + b"--x y--\r\n", headers=head)  # type: ignore[arg-type]  # bytes are fine
        assert answer.status_code == 200
        assert answer.json()["text"] == "one two three four five"


NO_TEXT = ["\ud800", "a\udfffb", "\ude00\ud83d"]


@pytest.mark.parametrize("option", ["initial_prompt", "hotwords", "prefix"])
@pytest.mark.parametrize("text", NO_TEXT)
def test_an_option_that_cannot_be_written_is_refused(
    world: World, tmp_path: Path, speech: bytes, option: str, text: str
) -> None:
    with jobs_client(world, tmp_path) as client:
        response = post(client, speech, "/v1/jobs", options=json.dumps({option: text}))
        assert (response.status_code, error_of(response)["param"]) == (400, "options")


@pytest.mark.parametrize("flag", ["vad", "code_switching", "suppress_blank"])
@pytest.mark.parametrize("value", ["no", "", None, [], {}, 2])
def test_a_flag_is_true_or_false(world: World, tmp_path: Path, speech: bytes, flag: str, value: object) -> None:
    with jobs_client(world, tmp_path) as client:
        response = post(client, speech, "/v1/jobs", options=json.dumps({flag: value}))
        assert (response.status_code, error_of(response)["param"]) == (400, "options")
        assert post(client, speech, "/v1/jobs", options=json.dumps({flag: False})).status_code == 201


@pytest.mark.skipif(os.fsencode("\udce9") != b"\xe9", reason="names of files are UTF-8 here")
def test_a_file_whose_name_is_no_utf_8_is_done_and_every_answer_can_be_read(
    world: World, tmp_path: Path, speech: bytes
) -> None:
    """The list of jobs, whoever asked for it, was an internal error until that job was forgotten."""
    with jobs_client(world, tmp_path, most=1) as client:
        path = os.fsencode(tmp_path / "media") + b"/caf\xe9.wav"
        with open(path, "wb") as file:  # noqa: PTH123 - a name in bytes
            file.write(speech)
        content = json.dumps({"path": os.fsdecode(path)})
        added = client.post("/v1/jobs", content=content, headers={"content-type": "application/json"})
        assert (added.status_code, added.json()["name"]) == (201, "caf\ufffd.wav")
        own = added.headers["location"]
        until(lambda: client.get(own).json()["state"] == "done")
        assert client.get("/v1/jobs").json()["data"][0]["name"] == "caf\ufffd.wav"
        assert 'event: state\ndata: {"id":' in client.get(f"{own}/events").text


@pytest.mark.parametrize("text", NO_TEXT)
@pytest.mark.parametrize("field", ["path", "language", "task", "options", "webhook", "priority", "model", "\ud800"])
def test_whatever_json_says_the_answer_can_be_read(world: World, tmp_path: Path, field: str, text: str) -> None:
    headers = {"content-type": "application/json"}
    with client_of(app_with_jobs(world, tmp_path, strict=True)) as client:
        (tmp_path / "media" / "talk.wav").write_bytes(b"RIFF")
        content = json.dumps({"path": str(tmp_path / "media" / "talk.wav")} | {field: text})
        response = client.post("/v1/jobs", content=content, headers=headers)
        assert 400 <= response.status_code < 500
        error_of(response)


# ---------------------------------------------------------------- bodies and heads

_TUS = {"tus-resumable": "1.0.0"}
_FORM = "multipart/form-data; boundary=x"
BODIES = [
    ("POST", "/v1/jobs", "application/json", b'{"path": '),
    ("POST", "/v1/jobs", _FORM, b"--x\r\n"),
    ("POST", TRANSCRIPTIONS, _FORM, b"--x\r\n"),
    ("POST", "/v1/audio/translations", _FORM, b"--x\r\n"),
    ("POST", "/asr", _FORM, b"--x\r\n"),
    ("POST", "/detect-language", _FORM, b"--x\r\n"),
    ("POST", "/v1/jobs/archive", "application/json", b'{"ids": '),
    ("PATCH", "/v1/jobs/{job_id}", "application/json", b'{"name": '),
    ("POST", "/v1/jobs/{job_id}/align", "application/json", b'{"text": '),
    ("PATCH", "/v1/jobs/{job_id}/transcript", "application/json", b'{"edits": '),
    ("POST", "/v1/jobs/{job_id}/versions/{number}/restore", "application/json", b"{"),
    ("PATCH", "/v1/uploads/{upload_id}", "application/offset+octet-stream", b"RIFF"),
]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A service that waits 50 ms for the next piece of a body, with a job that is done and an upload that is begun."""

    app: FastAPI
    job_id: str
    upload_id: str


@pytest.fixture(scope="module")
def waiting(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waiting]:
    folder = tmp_path_factory.mktemp("waiting")
    write_speech(folder / "talk.wav", speech_samples(5))
    store = MemoryJobStore()
    runner = JobRunner(store, world.transcriber, folder / "data", time.time, 1)
    durable = Jobs(store, runner, time.time, JobSettings(roots=[folder]))
    engine = Engine(world.transcriber, lambda: ["base"], lambda: 0.0)
    with client_of(create_app(engine, ServerSettings(), durable)) as client:
        job_id = client.post("/v1/jobs", json={"path": str(folder / "talk.wav")}).json()["id"]
        until(lambda: client.get(f"/v1/jobs/{job_id}").json()["state"] == "done")
        begun = client.post("/v1/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "1000"})
        upload_id = begun.headers["location"].rpartition("/")[2]
        yield Waiting(create_app(engine, ServerSettings(pace=Pace(stall_s=0.05)), durable), job_id, upload_id)


@pytest.mark.parametrize(("method", "path", "kind", "begun"), BODIES)
@pytest.mark.parametrize("leaves", [False, True])
def test_every_body_that_is_read_may_neither_stand_still_nor_break_off(
    waiting: Waiting, method: str, path: str, kind: str, begun: bytes, leaves: bool
) -> None:
    """JSON was waited for without end, and a client that left was an internal error."""
    messages = [{"type": "http.request", "body": begun, "more_body": True}]
    messages += [{"type": "http.disconnect"}] if leaves else []
    head = {"content-type": kind, "host": "127.0.0.1", "if-match": '"1"'}
    if "upload_id" in path:
        already = client_of(waiting.app).head(path.format(upload_id=waiting.upload_id), headers=_TUS)
        head |= _TUS | {"upload-offset": already.headers["upload-offset"]}
    asked_path = path.format(job_id=waiting.job_id, upload_id=waiting.upload_id, number=1)
    exchange = asked(waiting.app, Exchange(asked_path, head, *messages, method=method))
    expected = (400, "incomplete_upload") if leaves else (408, "upload_timeout")
    assert (exchange.status, exchange.error["code"]) == expected


def test_every_route_that_reads_a_body_is_tried_above(waiting: Waiting) -> None:
    paths = waiting.app.openapi()["paths"].items()
    reading = {(method.upper(), path) for path, item in paths for method in item if "requestBody" in item[method]}
    assert reading == {(method, path) for method, path, _, _ in BODIES}


@pytest.mark.parametrize(
    ("length", "status"),
    [("9" * 5000, 413), ("0" * 5000 + "9", 400), (str(1 << 30), 400), (str((1 << 30) + 1), 413), ("1_0", 400)],
)
def test_a_length_of_any_digits_is_compared(world: World, length: str, status: int) -> None:
    """Python reads no number of more than 4,300 digits: it was an internal error."""
    headers = {"content-type": "text/plain", "content-length": length, "host": "127.0.0.1"}
    assert asked(app_of(world), Exchange(TRANSCRIPTIONS, headers)).status == status


# ---------------------------------------------------------------- jobs


def test_an_idempotency_key_is_for_one_request(world: World, tmp_path: Path, speech: bytes) -> None:
    def add(content: bytes, **fields: str) -> Any:
        return client.post(
            "/v1/jobs", files={"file": ("a", content)}, data=fields, headers={"Idempotency-Key": "talk-1"}
        )

    with jobs_client(world, tmp_path) as client:
        first = add(speech, language="en")
        assert first.status_code == 201
        again = add(speech, language="en")
        assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
        for other in (add(speech + b"\0", language="en"), add(speech, language="de"), add(speech, priority="3")):
            assert (other.status_code, error_of(other)["code"]) == (422, "idempotency_key_reused")
        assert len(list((tmp_path / "data" / "uploads").iterdir())) == 1
        assert len(client.get("/v1/jobs").json()["data"]) == 1


def test_no_client_takes_the_key_of_a_watched_file(world: World, tmp_path: Path, speech: bytes) -> None:
    with jobs_client(world, tmp_path) as client:
        headers = {"Idempotency-Key": f"{KEY_PREFIX}1"}
        response = client.post("/v1/jobs", files={"file": ("a", speech)}, headers=headers)
        assert (response.status_code, error_of(response)["param"]) == (400, "Idempotency-Key")


@pytest.mark.parametrize("before", ["%00", "x", "..", "a" * 10_000, "'--"])
def test_a_page_begins_behind_a_job_or_nowhere(world: World, tmp_path: Path, before: str) -> None:
    with jobs_client(world, tmp_path) as client:
        response = client.get(f"/v1/jobs?before={before}")
        assert (response.status_code, error_of(response)["param"]) == (400, "before")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
OPTIONS = st.dictionaries(st.sampled_from(sorted(TranscribeOptions.__dataclass_fields__)), VALUES, max_size=4)
FIELDS = st.dictionaries(
    st.sampled_from(
        ["path", "language", "task", "priority", "webhook", "model", "options", "temperature", "languages[]"]
    ),
    VALUES,
    max_size=4,
)


@pytest.fixture(scope="module")
def strangers(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("jobs")
    with jobs_client(world, folder) as client:
        (folder / "media" / "talk.wav").write_bytes(b"RIFF")
        client.headers["x-media"] = str(folder / "media" / "talk.wav")
        yield client


@examples(300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(OPTIONS, FIELDS)
def test_whatever_is_asked_for_in_json_is_a_job_that_can_be_read_or_an_error_of_the_request(
    strangers: TestClient, options: dict[str, Any], fields: dict[str, Any]
) -> None:
    content = json.dumps({"path": strangers.headers["x-media"], "options": options} | fields)
    answer = strangers.post("/v1/jobs", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (201, 400, 403)
    if answer.status_code == 201:
        assert strangers.get(answer.headers["location"]).json()["state"] == "queued"
        strangers.delete(answer.headers["location"])
        strangers.post("/v1/jobs/prune")
    else:
        error_of(answer)


def test_a_job_whose_decoder_the_system_kills_is_tried_again(tmp_path: Path) -> None:
    """It failed for good: memory that ran out was taken for a fault of the file's."""
    long = write_speech(tmp_path / "long.wav", speech_samples(1500)).read_bytes()
    gate = Gate()
    with held_world(gate) as world, jobs_client(world, tmp_path, most=1) as client:
        own = post(client, long, "/v1/jobs").headers["location"]
        assert gate.asked.acquire(timeout=60)  # it is being recognised, and decoded on
        os.kill(decoder_of(len(long)), signal.SIGKILL)
        gate.let.set()
        again = {"state": "queued", "attempts": {"deaths": 1, "failures": 0}}
        until(lambda: (told := client.get(own).json()) | again == told)


class Raising:
    """A transcriber that fails, each time with the next of `errors`."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = iter(errors)

    def resume(self, *_: Any, **__: Any) -> Any:
        raise next(self._errors)


KILLED = PoisonedFile("talk.wav", Gone(-signal.SIGKILL).reason)


@pytest.mark.parametrize(
    ("error", "state", "attempts"),
    [
        (KILLED, JobState.QUEUED, (1, 0)),
        (DecoderKilled("talk.wav"), JobState.QUEUED, (1, 0)),
        (EngineError("fake", "load", "not now"), JobState.QUEUED, (0, 1)),
        (PoisonedFile("talk.wav", Gone(-signal.SIGSEGV).reason), JobState.FAILED, (0, 0)),
        (PoisonedFile("talk.wav", Gone(1).reason), JobState.FAILED, (0, 0)),
    ],
)
def test_a_process_that_was_killed_from_outside_is_no_fault_of_the_job(
    tmp_path: Path, error: Exception, state: JobState, attempts: tuple[int, int]
) -> None:
    """Two kills of the worker within a chunk failed a durable job for good: chaos on a slow machine found it."""
    store = MemoryJobStore()
    runner = JobRunner(store, Raising(error), tmp_path, lambda: 1e9, most=1)  # type: ignore[arg-type]  # it has resume alone
    try:
        own = store.add(JobRequest("/talk.wav", "talk.wav"), 1e9).id
        until(lambda: (found := store.get(own)) is not None and found.state is state and runner.in_work == 0)
        until(lambda: (found := store.get(own)) is not None and (found.deaths, found.failures) == attempts)
        assert store.claim(30.0, 1e9) is None  # not at once
    finally:
        runner.close()


def test_a_job_with_which_twenty_processes_were_killed_is_poisoned(tmp_path: Path) -> None:
    store, now = MemoryJobStore(), itertools.count(1e9, 1000.0)
    errors = [KILLED] * MOST_DEATHS
    runner = JobRunner(store, Raising(*errors), tmp_path, lambda: next(now), most=1)  # type: ignore[arg-type]  # as above
    try:
        own = store.add(JobRequest("/talk.wav", "talk.wav"), 0.0).id
        until(lambda: (found := store.get(own)) is not None and found.state is JobState.FAILED)
        found = store.get(own)
        assert found is not None
        assert (found.deaths, json.loads(found.error)["code"]) == (MOST_DEATHS - 1, "poisoned")
    finally:
        runner.close()


class SlowToAnswer(MemoryJobStore):
    """A claim ends, and the answer to that takes so long that leases are renewed meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._renewed = threading.Event()

    def renew(self, claim: Any, *given: Any) -> Any:
        if (kept := self.get(claim.job.id)) is not None and kept.state is not JobState.RUNNING:
            self._renewed.set()
        return super().renew(claim, *given)

    def fail(self, *given: Any, **named: Any) -> bool:
        is_kept = super().fail(*given, **named)
        self._renewed.wait(1.0)
        return is_kept


def test_a_job_that_ends_is_not_told_as_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SlowToAnswer()
    runner = JobRunner(store, Raising(KILLED), tmp_path, lambda: 1e9, most=1)  # type: ignore[arg-type]  # it has resume alone
    try:
        own = store.add(JobRequest("/talk.wav", "talk.wav"), 1e9).id
        until(lambda: (found := store.get(own)) is not None and found.deaths == 1 and runner.in_work == 0)
        assert "its lease ran out" not in caplog.text
    finally:
        runner.close()


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_a_clock_that_is_set_takes_no_job_out_of_its_hands(tmp_path: Path, jump_s: float) -> None:
    """Whoever claimed the next job then took one's own for a dead process's: its lease seemed to have run out."""
    now, gate, store = [1e9], Gate(), MemoryJobStore()
    talk = write_speech(tmp_path / "talk.wav", speech_samples(5))
    with held_world(gate) as world:
        runner = JobRunner(store, world.transcriber, tmp_path / "data", lambda: now[0], most=2)
        try:
            first = store.add(JobRequest(str(talk), "talk.wav"), now[0]).id
            assert gate.asked.acquire(timeout=60)
            now[0] += jump_s
            second = store.add(JobRequest(str(talk), "talk.wav", options={"language": "en"}), now[0]).id
            until(lambda: (found := store.get(second)) is not None and found.state is JobState.RUNNING)
            gate.let.set()
            until(lambda: all((found := store.get(job)) and found.state is JobState.DONE for job in (first, second)))
        finally:
            gate.let.set()
            runner.close()
        found = store.get(first)
        assert found is not None
        written = [path.name for path in runner.files.results.iterdir() if first in path.name]
        assert (found.deaths, written) == (0, [f"{first}.1.json"])


# ---------------------------------------------------------------- over a real socket


class Unread(Connection):
    """Does not wait long for a reader."""

    unread_s = 0.2


@contextmanager
def serving(app: FastAPI, http: type[Connection] = Connection) -> Iterator[tuple[str, int]]:
    """The address of an application on loopback."""
    config = config_of(app, ServerSettings(port=0))
    config.http = http
    server, listener = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    until(lambda: server.started)
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        listener.close()


def said(connection: socket.socket) -> bytes:
    """All that it says until it ends."""
    answer = b""
    with suppress(ConnectionError):
        while piece := connection.recv(1 << 16):
            answer += piece
    return answer


def poured(address: tuple[str, int], *pieces: bytes, most: int = 64 << 20) -> tuple[int, bytes]:
    """How much of `pieces`, the last one again and again, was taken before the connection ended; what was said."""
    with socket.create_connection(address) as connection:
        sent = 0
        with suppress(OSError):
            for piece in (*pieces[:-1], *itertools.repeat(pieces[-1], most // len(pieces[-1]))):
                connection.sendall(piece)
                sent += len(piece)
            connection.shutdown(socket.SHUT_WR)  # nothing more will come: what was taken needs no waiting for the rest
        return sent, said(connection)


HEAD = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
CHUNKED = b"Content-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n\r\n"
FIELD = b"10\r\n--x\r\nContent-Dis\r\n"
ENDLESS = {
    "a line of the head": (b"GET /livez?", b"x" * 65_536),
    "a header": (HEAD + b"X-A: ", b"x" * 65_536),
    "headers": (HEAD, b"X-A: b\r\n" * 8192),
    "the line of a chunk": (HEAD + CHUNKED + FIELD, b"1;" + b"x" * 65_536),
    "trailers": (HEAD + CHUNKED + b"0\r\n", b"X-A: b\r\n" * 8192),
    "a header of a part": (HEAD + CHUNKED + b"10\r\n--x\r\nContent-Dis\r\n", b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_has_no_end_is_ended_early_whichever_parser_is_installed(world: World, name: str) -> None:
    """httptools, which uvicorn takes where it is installed, has no limit for a head: it filled the memory."""
    with serving(app_of(world, max_upload_bytes=32 << 20)) as address:
        sent, answer = poured(address, *ENDLESS[name])
        # What sockets hold between the two; the rest of a body that is refused is read, for a while, and thrown away.
        assert sent < (16 << 20) or name == "a header of a part"
        assert not answer or (answer.startswith(b"HTTP/1.1 400 ") and b'"code": ' in answer.replace(b'":"', b'": "'))
        with socket.create_connection(address) as good:
            good.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            assert said(good).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "text", [b"\0\1\2\3\r\n\r\n", b"GET /livez\r\n\r\n", b"GET /livez HTTP/1.1\r\nHost: a\r\nHost : b\r\n\r\n"]
)
def test_what_is_no_http_is_told_in_the_shape_of_every_error(world: World, text: bytes) -> None:
    with serving(app_of(world)) as address, socket.create_connection(address) as evil:
        evil.sendall(text)
        head, _, body = said(evil).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert json.loads(body)["error"]["code"] == "invalid_http"


def test_a_web_socket_is_no_way_around_the_key(world: World) -> None:
    app = app_of(world, key_digests=(keys.digest("sk-1"),))
    with serving(app) as address, socket.create_connection(address) as evil:
        upgrade = b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        evil.sendall(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n" + upgrade + b"Sec-WebSocket-Key: YQ==\r\n\r\n")
        assert said(evil).startswith(b"HTTP/1.1 401 ")


def test_who_does_not_read_the_answer_is_let_go_and_his_place_is_free(world: World) -> None:
    """He held it, and his request's memory, for as long as he liked."""
    app, begun, ended = app_of(world), threading.Event(), threading.Event()

    @app.post("/detect-language-of-many")
    async def many() -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            begun.set()
            try:
                while True:
                    yield bytes(1 << 20)
                    await asyncio.sleep(0)
            finally:
                ended.set()

        return StreamingResponse(lines())

    with serving(app, Unread) as address, socket.create_connection(address) as lazy:
        lazy.sendall(b"POST /detect-language-of-many HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")
        assert begun.wait(60)
        assert ended.wait(60)


def test_followers_of_jobs_are_counted(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speech: bytes
) -> None:
    monkeypatch.setattr("autorag_whisper.server.jobs.MOST_FOLLOWERS", 2)
    with (
        serving(app_with_jobs(world, tmp_path)) as (host, port),
        httpx.Client(base_url=f"http://{host}:{port}", timeout=120) as client,
    ):
        job = client.post("/v1/jobs", files={"file": ("a", speech)}).json()["id"]
        with client.stream("GET", f"/v1/jobs/{job}/events") as one, client.stream("GET", f"/v1/jobs/{job}/events"):
            assert one.status_code == 200
            third = client.get(f"/v1/jobs/{job}/events")
            assert (third.status_code, error_of(third)["code"]) == (503, "overloaded")
            assert third.headers["retry-after"]
        until(lambda: head_of(client, f"/v1/jobs/{job}/events") == 200)  # those who left are counted no more
        client.delete(f"/v1/jobs/{job}")
        assert "event: state" in client.get(f"/v1/jobs/{job}/events").text


def head_of(client: httpx.Client, path: str) -> int:
    with client.stream("GET", path) as answer:
        return answer.status_code
