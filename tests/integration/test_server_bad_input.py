"""What a server must survive: each has its status in OpenAI's shape, leaves no file, and the next request is served."""

from __future__ import annotations

import asyncio
import io
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import uvicorn

from autorag_whisper.domain.decoding import DecodingLimits
from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.jobs.runner import JobRunner
from autorag_whisper.server import keys
from autorag_whisper.server.app import Engine, create_app
from autorag_whisper.server.connection import Connection
from autorag_whisper.server.jobs import Jobs
from autorag_whisper.server.pace import Pace
from autorag_whisper.server.running import config_of
from autorag_whisper.server.settings import ServerSettings
from autorag_whisper.testing import speech_samples, write_speech
from http_world import (
    TRANSCRIPTIONS,
    Exchange,
    Gate,
    app_of,
    client_of,
    decoder_of,
    error_of,
    form,
    held_world,
    post,
    until,
)
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi.testclient import TestClient

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="decoder processes, /proc")


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    with world.transcriber:
        yield world


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    with client_of(app_of(world)) as client:
        yield client


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_speech(tmp_path_factory.mktemp("speech") / "talk.wav", speech_samples(5)).read_bytes()


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files of this process lie in a folder of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


def temporary_files() -> list[str]:
    """Those that are there, also those without a name that this process has open."""
    folder = tempfile.gettempdir()
    return [str(path) for path in Path(folder).iterdir()] + [link for link in links("self") if link.startswith(folder)]


def links(process: str) -> list[str]:
    """What its descriptors are."""
    found = []
    for entry in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):  # closed by now
            found.append(str(entry.readlink()))
    return found


@contextmanager
def nothing_left() -> Iterator[None]:
    """Whatever is uploaded within leaves no file behind."""
    yield
    until(lambda: not temporary_files())


@pytest.fixture(scope="module")
def hour_of_silence() -> bytes:
    """One hour in less than a megabyte."""
    out = io.BytesIO()
    with av.open(out, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=8_000, layout="mono")
        silence = np.zeros((1, 8_000 * 60), np.int16)
        for minute in range(60):
            frame = av.AudioFrame.from_ndarray(silence, "s16", "mono")
            frame.sample_rate, frame.time_base, frame.pts = 8_000, Fraction(1, 8_000), minute * 8_000 * 60
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def test_an_hour_in_a_small_file_are_refused_by_what_comes_out_of_it(
    world: World, speech: bytes, hour_of_silence: bytes
) -> None:
    assert len(hour_of_silence) < 1 << 20
    with client_of(app_of(world, max_audio_s=600)) as client, nothing_left():
        response = post(client, hour_of_silence)
        assert (response.status_code, error_of(response)["code"]) == (400, "audio_too_long")
        streamed = post(client, hour_of_silence, stream="true")
        assert (streamed.status_code, error_of(streamed)["code"]) == (400, "audio_too_long")
        assert post(client, speech).status_code == 200


def test_what_would_cost_too_much_to_decode_is_told_with_413(
    world: World, speech: bytes, hour_of_silence: bytes
) -> None:
    with client_of(app_of(world, decoding=DecodingLimits(samples=2_000_000))) as client, nothing_left():
        for content, code in ((hour_of_silence, "media_over_limit"), (speech, None)):
            response = post(client, content)
            assert response.status_code == (413 if code else 200)
            assert not code or (error_of(response)["code"], error_of(response)["param"]) == (code, "file")


@pytest.mark.parametrize(
    ("number", "status", "code", "told"),
    [(signal.SIGSEGV, 400, "decoder_crashed", "SIGSEGV"), (signal.SIGKILL, 503, "unavailable", "memory runs out")],
)
def test_a_decoder_that_ends_costs_one_request(
    tmp_path: Path, speech: bytes, number: int, status: int, code: str, told: str
) -> None:
    long = write_speech(tmp_path / "long.wav", speech_samples(1500)).read_bytes()
    gate = Gate()
    with held_world(gate) as world, client_of(app_of(world)) as client, nothing_left():
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.append(post(client, long)))
        asking.start()
        assert gate.asked.acquire(timeout=60)  # it is being recognised, and decoded on
        os.kill(decoder_of(len(long)), number)
        gate.let.set()
        asking.join()
        assert (answers[0].status_code, error_of(answers[0])["code"]) == (status, code)
        assert told in error_of(answers[0])["message"]
        assert post(client, speech).json()["text"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "invalid_value"),
        (b"\0" * 5000, "invalid_value"),
        (b"#!ffconcat\nfile '/etc/passwd'\n", "invalid_value"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:/etc/passwd\n", "invalid_value"),
        (b"http://127.0.0.1/talk.mp3", "invalid_value"),
        (bytes(range(256)) * 50, "invalid_value"),
    ],
)
def test_what_is_no_audio_is_an_error_of_the_request(
    client: TestClient, speech: bytes, content: bytes, code: str
) -> None:
    with nothing_left():
        response = post(client, content)
        assert (response.status_code, error_of(response)["code"]) == (400, code)
        assert "/etc" not in response.text
    assert post(client, speech).status_code == 200


def test_media_that_were_damaged_at_random_are_text_or_an_error_of_the_request(client: TestClient) -> None:
    rng = np.random.default_rng(18)
    out = io.BytesIO()
    with av.open(out, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(rng.integers(-9000, 9000, (1, 96_000)).astype(np.int16), "s16", "mono")
        frame.sample_rate, frame.time_base, frame.pts = 48_000, Fraction(1, 48_000), 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    whole = out.getvalue()
    with nothing_left():
        for _ in range(12):
            data = bytearray(whole)
            for at in rng.integers(0, len(data), 60):
                data[at] = rng.integers(0, 256)
            response = post(client, bytes(data))
            assert response.status_code in (200, 400)
            assert response.status_code == 200 or error_of(response)["param"] == "file"


def many(count: int, *, files: bool) -> tuple[dict[str, str], bytes]:
    name = '; filename="a"' if files else ""
    part = f'--x\r\nContent-Disposition: form-data; name="f"{name}\r\n\r\n1\r\n'
    return {"content-type": "multipart/form-data; boundary=x"}, (part * count + "--x--\r\n").encode()


@pytest.mark.parametrize("files", [True, False])
def test_a_thousand_parts_are_refused(client: TestClient, speech: bytes, files: bool) -> None:
    headers, body = many(1000, files=files)
    with nothing_left():
        response = client.post(TRANSCRIPTIONS, content=body, headers=headers)
        assert (response.status_code, error_of(response)["code"]) == (400, "invalid_form")
    assert post(client, speech).status_code == 200


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=", b"--\r\n"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nR',
        ),
        ("multipart/form-data; boundary=" + "x" * 3000, b"--x--\r\n"),
        ("multipart/form-data; boundary=\xff", b"--x--\r\n"),
        ("text/plain", b"hello"),
    ],
)
def test_forms_that_are_none_are_errors_of_the_request(client: TestClient, kind: str, body: bytes) -> None:
    with nothing_left():
        headers = {"content-type": kind.encode("latin-1")}
        response = client.post(TRANSCRIPTIONS, content=body, headers=headers)  # type: ignore[arg-type]  # bytes are fine
        assert response.status_code == 400
        error_of(response)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "C:\\windows\\evil.wav",
        "a\r\nX-Evil: 1",
        "\0",
        "%2e%2e%2f",
        "\u202egpj.exe",
        "x" * 3000,
        'a"b',
    ],
)
def test_no_file_name_is_anything_but_a_name(client: TestClient, speech: bytes, name: str) -> None:
    wanted = post(client, speech).json()
    with nothing_left():
        response = client.post(TRANSCRIPTIONS, files={"file": (name, speech)})
        assert response.json() == wanted
        assert "x-evil" not in response.headers


@pytest.mark.parametrize("model", ["a\r\nX-Evil: 1", "\0", "../../etc/passwd", "\u2028", "x" * 5000])
def test_no_field_gets_into_the_headers(client: TestClient, speech: bytes, model: str) -> None:
    response = post(client, speech, model=model)
    assert response.status_code == 200
    assert response.headers["x-autorag-whisper-model"] == "base"
    assert "x-evil" not in response.headers


@pytest.mark.parametrize("sign", ["ключ", "\xff\xfe", "k" * 10_000, "", " "])
def test_a_key_of_any_signs_is_known_or_not(world: World, speech: bytes, sign: str) -> None:
    with client_of(app_of(world, key_digests=(keys.digest("sk-ü"),))) as client:
        headers = {"authorization": b"Bearer " + sign.encode()}
        response = client.post(TRANSCRIPTIONS, files={"file": ("a", speech)}, headers=headers)  # type: ignore[arg-type]  # bytes are fine
        assert (response.status_code, error_of(response)["code"]) == (401, "invalid_api_key")


def asked(app: Any, exchange: Exchange) -> Exchange:
    async def ask() -> None:
        async with asyncio.timeout(60):
            await app(exchange.scope, exchange.receive, exchange.send)

    asyncio.run(ask())
    return exchange


def begun(speech: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    """A form that goes on."""
    headers, message = form(speech + bytes(2 << 20))
    return headers, message | {"body": message["body"][:-20], "more_body": True}


def test_an_upload_that_stands_still_is_ended(world: World, speech: bytes) -> None:
    headers, message = begun(speech)
    with nothing_left():
        exchange = asked(app_of(world, pace=Pace(stall_s=0.05)), Exchange(TRANSCRIPTIONS, headers, message))
    assert (exchange.status, exchange.error["code"]) == (408, "upload_timeout")
    assert exchange.headers["connection"] == "close"


def test_an_upload_of_a_byte_now_and_then_is_ended(world: World, speech: bytes) -> None:
    headers, message = begun(speech)
    drops = [{"type": "http.request", "body": b"x", "more_body": True}] * 3
    pace = Pace(stall_s=60, grace_s=0.05, least_bytes_s=10**9)
    with nothing_left():
        exchange = asked(app_of(world, pace=pace), Exchange(TRANSCRIPTIONS, headers, message, *drops))
    assert (exchange.status, exchange.error["code"]) == (408, "upload_timeout")
    assert "1e+09 bytes a second" in exchange.error["message"]


def test_an_upload_that_breaks_off_leaves_nothing(world: World, speech: bytes) -> None:
    headers, message = begun(speech)
    with nothing_left():
        exchange = asked(app_of(world), Exchange(TRANSCRIPTIONS, headers, message, {"type": "http.disconnect"}))
    assert (exchange.status, exchange.error["code"]) == (400, "incomplete_upload")


def test_more_bytes_than_were_announced_end_the_upload(world: World, speech: bytes) -> None:
    headers, message = begun(speech)
    del headers["content-length"]
    more = [{"type": "http.request", "body": bytes(1 << 20), "more_body": True}] * 3
    with nothing_left():
        exchange = asked(app_of(world, max_upload_bytes=4 << 20), Exchange(TRANSCRIPTIONS, headers, message, *more))
    assert (exchange.status, exchange.error["code"]) == (413, "request_too_large")


@contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """Files of this process grow no further: as on a full disk, writing fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_refuses_the_upload_and_not_the_next_one(client: TestClient, speech: bytes) -> None:
    with nothing_left():
        with no_room_beyond(1 << 20):
            response = post(client, speech + bytes(3 << 20))
        assert (response.status_code, error_of(response)["code"]) == (503, "no_room")
        assert response.headers["retry-after"]
    assert post(client, speech).status_code == 200


class FailingStore(MemoryJobStore):
    """Fails to add; `queued`: but the job is there all the same."""

    def __init__(self, *, queued: bool) -> None:
        super().__init__()
        self._queued = queued

    def add(self, *given: Any, **named: Any) -> Any:
        if self._queued:
            super().add(*given, **named)
        raise OSError("the store is gone")


@pytest.mark.parametrize("queued", [False, True])
def test_an_upload_whose_job_could_not_be_queued_is_removed(
    tmp_path: Path, world: World, speech: bytes, queued: bool
) -> None:
    store = FailingStore(queued=queued)
    runner = JobRunner(store, world.transcriber, tmp_path, time.time, most=0)
    app = create_app(
        Engine(world.transcriber, lambda: ["base"], lambda: 0.0), ServerSettings(), Jobs(store, runner, time.time)
    )
    with client_of(app) as client:
        assert post(client, speech, "/v1/jobs").status_code == 500
        assert len(list(runner.files.uploads.iterdir())) == queued
        with no_room_beyond(len(speech) - 1000):
            response = post(client, speech, "/v1/jobs")
        assert (response.status_code, error_of(response)["code"]) == (503, "no_room")
        assert len(list(runner.files.uploads.iterdir())) == queued


@pytest.mark.parametrize(
    "name", ["..%2f..%2fetc%2fpasswd", "%00", "..", "a%0d%0aX-Evil:%201", "%ff", "x" * 3000, "'--"]
)
@pytest.mark.parametrize("suffix", ["", "/result", "/events"])
def test_no_id_is_a_path(tmp_path: Path, world: World, name: str, suffix: str) -> None:
    store = MemoryJobStore()
    runner = JobRunner(store, world.transcriber, tmp_path, time.time, most=0)
    engine = Engine(world.transcriber, lambda: ["base"], lambda: 0.0)
    with client_of(create_app(engine, ServerSettings(), Jobs(store, runner, time.time))) as client:
        response = client.get(f"/v1/jobs/{name}{suffix}")
        assert response.status_code == 404
        error_of(response)
        assert "x-evil" not in response.headers


# ---------------------------------------------------------------- over a real socket


class Counted(Connection):
    """Counts what was read, of all connections."""

    read_bytes = 0

    def data_received(self, data: bytes) -> None:
        Counted.read_bytes += len(data)
        super().data_received(data)


class Hasty(Connection):
    """Does not wait long for a head."""

    head_s = 0.1


class Threaded(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.up.set()


@contextmanager
def serving(world: World, http: type[Connection] = Counted, **settings: Any) -> Iterator[int]:
    """The port of the service on loopback."""
    app = app_of(world, port=0, **settings)
    config = config_of(app, ServerSettings(port=0))
    config.http = http
    server = Threaded(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.up.wait(60)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def test_a_hundred_megabytes_without_a_key_are_refused_with_less_than_64_kib_read(world: World) -> None:
    with serving(world, key_digests=(keys.digest("sk-1"),)) as port:
        Counted.read_bytes = 0
        with socket.create_connection(("127.0.0.1", port)) as sending:
            head = f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {100 << 20}\r\n\r\n"
            sent, answer = 0, b""
            try:
                sent = sending.send(head.encode() + bytes(1 << 20))
                while sent < 100 << 20:
                    sent += sending.send(bytes(1 << 20))
            except ConnectionError:
                pass
            try:
                while piece := sending.recv(1 << 16):
                    answer += piece
            except ConnectionError:
                pass
        assert sent < 100 << 20
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b'"invalid_api_key"' in answer
        assert Counted.read_bytes < 64 << 10


def test_a_head_that_never_ends_is_not_waited_for(world: World, speech: bytes) -> None:
    with serving(world, Hasty) as port:
        for said in (b"", b"POST / HT", b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "):
            with socket.create_connection(("127.0.0.1", port)) as slow, suppress(ConnectionError):
                slow.sendall(said)  # or it is too late for that already
                assert slow.recv(100) == b""

        def is_served() -> bool:
            with socket.create_connection(("127.0.0.1", port)) as good, suppress(ConnectionError):
                good.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                return good.recv(100).startswith(b"HTTP/1.1 200")
            return False

        until(is_served)  # a client that was held up between the two is late as well


@pytest.mark.parametrize(
    "line", [b"X: a\nY: b\r\n bad", b"Content-Length: 1\r\nContent-Length: 2", b"X\0: 1", b"Transfer-Encoding: chonked"]
)
def test_headers_that_are_none_are_refused_and_the_server_lives(world: World, line: bytes) -> None:
    with serving(world) as port:
        with socket.create_connection(("127.0.0.1", port)) as evil:
            evil.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" + line + b"\r\n\r\n")
            assert evil.recv(100)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 501", b"HTTP/1.1 200")
        with socket.create_connection(("127.0.0.1", port)) as good:
            good.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            assert good.recv(100).startswith(b"HTTP/1.1 200")
