"""The routes of the service, over a transcriber of fakes: what goes in, what comes out, with which status."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.server import keys
from autorag_whisper.server.app import Engine, create_app
from autorag_whisper.server.errors import ApiError
from autorag_whisper.server.health import STALLED_S, Health
from autorag_whisper.server.settings import ServerSettings
from autorag_whisper.server.uploads import Upload
from autorag_whisper.testing import FakeWhisper, speech_samples, write_speech
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from autorag_whisper.engines.base import Encoded

TRANSCRIPTIONS = "/v1/audio/transcriptions"
KEY = "sk-ünicode-1"
BASE = "http://127.0.0.1:8060"


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    with world.transcriber:
        yield world


def served(world: World, **settings: Any) -> TestClient:
    engine = Engine(world.transcriber, lambda: ["base", "tiny.en"], lambda: 0.0)
    app = create_app(engine, ServerSettings(**settings))
    return TestClient(app, BASE, raise_server_exceptions=False)


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    with served(world) as client:
        yield client


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_speech(tmp_path_factory.mktemp("speech") / "talk.wav", speech_samples(5)).read_bytes()


def post(client: TestClient, speech: bytes, path: str = TRANSCRIPTIONS, **fields: Any) -> httpx.Response:
    return client.post(path, files={"file": ("talk.mp3", speech)}, data=fields)


def error_of(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return dict(body["error"])


def test_json_has_the_text_and_the_usage_and_nothing_else(client: TestClient, speech: bytes) -> None:
    response = post(client, speech, model="base")
    assert response.status_code == 200
    assert set(response.json()) == {"text", "usage"}
    assert response.json()["text"]
    assert response.json()["usage"].keys() == {"type", "seconds"}
    assert "x-autorag-whisper-model" not in response.headers


@pytest.mark.parametrize("spelling", ["timestamp_granularities[]", "timestamp_granularities"])
def test_verbose_json_has_what_was_asked_for_and_no_empty_lists(
    client: TestClient, speech: bytes, spelling: str
) -> None:
    shared = {"task", "language", "duration", "text", "usage"}
    assert set(post(client, speech, response_format="verbose_json").json()) == shared | {"segments"}
    words = post(client, speech, response_format="verbose_json", **{spelling: ["word"]}).json()
    assert set(words) == shared | {"words"}
    assert words["language"] == "english"
    assert all(set(word) == {"word", "start", "end"} for word in words["words"])
    both = post(client, speech, response_format="verbose_json", **{spelling: ["word", "segment"]}).json()
    assert set(both) == shared | {"words", "segments"}
    assert set(both["segments"][0]) == {
        "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio",
        "no_speech_prob",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "begins"), [("text", ""), ("srt", "1\n00:00:0"), ("vtt", "WEBVTT")])
def test_texts_are_texts_and_no_json_strings(client: TestClient, speech: bytes, name: str, begins: str) -> None:
    response = post(client, speech, response_format=name)
    assert response.headers["content-type"].startswith(("text/", "application/x-subrip"))
    assert response.text.startswith(begins)
    assert not response.text.startswith('"')
    assert response.text.endswith("\n")


def test_a_stream_has_deltas_that_are_the_text_and_one_done_at_its_end(client: TestClient, speech: bytes) -> None:
    response = post(client, speech, stream="true")
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]
    *deltas, done = events
    assert {event["type"] for event in deltas} == {"transcript.text.delta"}
    assert done == {"type": "transcript.text.done", "text": "".join(event["delta"] for event in deltas)}
    assert done["text"] == post(client, speech).json()["text"]


def test_what_is_wrong_with_a_streamed_file_has_its_status(client: TestClient) -> None:
    response = post(client, b"no media", stream="true")
    assert response.status_code == 400
    assert error_of(response)["param"] == "file"


def test_an_unknown_or_empty_model_means_the_default_and_a_header_says_so(client: TestClient, speech: bytes) -> None:
    for name in ("whisper-1", "", "gpt-4o-transcribe"):
        response = post(client, speech, model=name)
        assert response.status_code == 200
        assert response.headers["x-autorag-whisper-model"] == "base"


def test_empty_fields_are_absent_and_regional_languages_are_reduced(client: TestClient, speech: bytes) -> None:
    empty = {"language": "", "prompt": "", "response_format": "", "temperature": "", "stream": ""}
    assert post(client, speech, **empty).json() == post(client, speech).json()
    assert post(client, speech, language="en-US").status_code == 200
    assert post(client, speech, language="English").status_code == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"language": "xx"}, "language"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": "2"}, "temperature"),
        ({"temperature": "nan"}, "temperature"),
        ({"response_format": "docx"}, "response_format"),
        ({"response_format": "diarized_json"}, "response_format"),
        ({"timestamp_granularities[]": "letter"}, "timestamp_granularities"),
        ({"stream": "perhaps"}, "stream"),
        ({"chunking_strategy": "[1]"}, "chunking_strategy"),
        ({"chunking_strategy": "[" * 60_000}, "chunking_strategy"),
        ({"chunking_strategy": '{"type": "server_vad", "threshold": "x"}'}, "chunking_strategy[threshold]"),
        ({"prompt": "x" * 60_000}, "prompt"),
    ],
)
def test_a_field_that_makes_no_sense_is_named(
    client: TestClient, speech: bytes, fields: dict[str, str], param: str
) -> None:
    response = post(client, speech, **fields)
    assert response.status_code == 400
    error = error_of(response)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


def test_no_file_two_files_and_no_form_are_told(client: TestClient, speech: bytes) -> None:
    assert error_of(client.post(TRANSCRIPTIONS, data={"model": "base"}))["code"] == "invalid_content_type"
    assert error_of(client.post(TRANSCRIPTIONS, content=b"x"))["code"] == "invalid_content_type"
    wrong = client.post(TRANSCRIPTIONS, files={"audio": ("a.wav", speech)})
    assert (wrong.status_code, error_of(wrong)["code"]) == (400, "missing_file")
    two = client.post(TRANSCRIPTIONS, files=[("file", ("a.wav", speech)), ("file", ("b.wav", speech))])
    assert (two.status_code, error_of(two)["code"]) == (400, "missing_file")
    broken = client.post(
        TRANSCRIPTIONS, content=b"--x\r\nnonsense", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert broken.status_code == 400
    error_of(broken)


def test_the_file_may_stand_anywhere_and_have_any_name_and_type(client: TestClient, speech: bytes) -> None:
    wanted = post(client, speech).json()
    for name, kind in (("talk.txt", "text/plain"), ("../../etc/passwd", "video/webm"), ("\u202e.exe", None)):
        response = client.post(
            TRANSCRIPTIONS, files=[("model", (None, "base")), ("file", (name, speech, kind)), ("language", (None, ""))]
        )
        assert response.json() == wanted


def test_an_unknown_path_names_the_right_base(client: TestClient) -> None:
    response = client.post("/v1/v1/audio/transcriptions")
    assert response.status_code == 404
    assert "http://127.0.0.1:8060/v1" in error_of(response)["message"]
    assert client.get(TRANSCRIPTIONS).status_code == 405
    error_of(client.get(TRANSCRIPTIONS))


def test_models_are_listed_the_default_first(client: TestClient) -> None:
    listed = client.get("/v1/models").json()
    assert [model["id"] for model in listed["data"]] == ["base", "tiny.en"]
    assert client.get("/v1/models/tiny.en").json()["object"] == "model"
    assert error_of(client.get("/v1/models/whisper-9"))["code"] == "model_not_found"


def test_only_keys_that_are_known_are_let_in(world: World, speech: bytes) -> None:
    with served(world, key_digests=(keys.digest(KEY), keys.digest("other"))) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}".encode()}):
            response = client.post(TRANSCRIPTIONS, files={"file": ("a.wav", speech)}, headers=headers)
            assert response.status_code == 401
            assert error_of(response)["code"] == "invalid_api_key"
        let_in = {"Authorization": f"Bearer {KEY}".encode()}
        assert client.post(TRANSCRIPTIONS, files={"file": ("a.wav", speech)}, headers=let_in).status_code == 200
        assert client.get("/livez").status_code == 200


def test_what_is_too_large_is_refused_before_it_is_read(world: World) -> None:
    read = 0

    def body() -> Iterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1000
            yield b"x" * 1000

    with served(world, max_upload_bytes=10_000) as client:
        form = {"content-type": "multipart/form-data; boundary=x"}
        told = client.post(TRANSCRIPTIONS, content=b"", headers=form | {"content-length": "10001"})
        assert (told.status_code, error_of(told)["code"]) == (413, "request_too_large")
        untold = client.post(TRANSCRIPTIONS, content=body(), headers=form)
        assert (untold.status_code, error_of(untold)["code"]) == (413, "request_too_large")


def test_audio_that_is_longer_than_allowed_is_an_error_of_the_request(world: World, speech: bytes) -> None:
    with served(world, max_audio_s=0.5) as client:
        response = post(client, speech)
    assert (response.status_code, error_of(response)["code"]) == (400, "audio_too_long")


class HeldWhisper(FakeWhisper):
    """Encodes when it is let, and says that it was asked."""

    asked, let = threading.Semaphore(0), threading.Event()

    def encode(self, features: Any) -> Encoded:
        self.asked.release()
        assert self.let.wait(240)
        return super().encode(features)


@pytest.fixture
def held() -> Iterator[World]:
    """A world whose engine does nothing until `HeldWhisper.let` is set."""
    HeldWhisper.asked, HeldWhisper.let = threading.Semaphore(0), threading.Event()
    world = World(engine=HeldWhisper)
    with world.transcriber:
        yield world
        HeldWhisper.let.set()  # a batch that is held holds up the closing


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not happen")


def test_equal_requests_in_flight_are_recognised_once(held: World, speech: bytes) -> None:
    with served(held) as client, ThreadPoolExecutor(4) as threads:
        HeldWhisper.let.set()
        until(lambda: client.get("/readyz").status_code == 200)  # the first sound has been through
        HeldWhisper.let.clear()
        encoded = len(held.faults["cpu"].batches)
        requests = [threads.submit(post, client, speech, language="en") for _ in range(3)]
        service = client.app.state.service  # type: ignore[attr-defined]  # the state of a FastAPI
        until(lambda: [work.listeners for work in service.recognitions.in_work] == [3])
        HeldWhisper.let.set()
        [first, *others] = [request.result().json() for request in requests]
        assert [first] * 2 == others
        assert len(held.faults["cpu"].batches) - encoded == 1
        assert not len(service.recognitions)


def test_more_than_the_limit_is_told_to_come_later(held: World, speech: bytes) -> None:
    with served(held, waiting=1) as client, ThreadPoolExecutor(1) as threads:
        first = threads.submit(post, client, speech, language="en")
        service = client.app.state.service  # type: ignore[attr-defined]  # the state of a FastAPI
        until(lambda: len(service.recognitions) == 1)
        second = post(client, speech, language="en", prompt="another")
        assert (second.status_code, error_of(second)["code"]) == (503, "overloaded")
        assert int(second.headers["retry-after"]) <= 120
        HeldWhisper.let.set()
        assert first.result().status_code == 200
        assert post(client, speech, language="en", prompt="another").status_code == 200


def test_readiness_says_why_the_engine_does_not_work_whatever_else_there_is_to_say() -> None:
    # The runner of durable jobs, which looks twice a second, took away what the probe had said.
    health = Health(lambda: 0.0, engine_problem="no memory for the model")
    for problem in ("the disk is full", ""):
        health.problem = problem
        assert health.why_not() == "no memory for the model"
    health.engine_problem, health.warm, health.problem = "", True, "the disk is full"
    assert health.why_not() == "the disk is full"


def test_readiness_is_what_the_engine_does_and_not_that_the_web_process_answers(held: World, speech: bytes) -> None:
    now = [0.0]
    app = create_app(Engine(held.transcriber, list, lambda: now[0]), ServerSettings())
    with TestClient(app, BASE) as client, ThreadPoolExecutor(1) as threads:
        assert client.get("/readyz").json() == {"status": "not ready", "reason": "the model is being loaded"}
        HeldWhisper.let.set()
        until(lambda: client.get("/readyz").status_code == 200)
        HeldWhisper.let.clear()
        request = threads.submit(post, client, speech, language="en")
        until(lambda: app.state.service.health.in_work == 1)
        assert client.get("/readyz").status_code == 200

        def is_red() -> bool:  # what was read ahead may still be told after a step of the clock
            now[0] += STALLED_S + 1
            answer = client.get("/readyz")
            reasons.append(answer.json().get("reason", ""))
            return answer.status_code == 503

        reasons = list[str]()
        until(is_red)
        assert "has not got on" in reasons[-1]
        assert client.get("/livez").status_code == 200
        HeldWhisper.let.set()
        assert request.result().status_code == 200
        assert client.get("/readyz").status_code == 200
        app.state.service.health.draining = True
        assert client.get("/readyz").status_code == 503
        refused = post(client, speech)
        assert (refused.status_code, error_of(refused)["code"]) == (503, "draining")


def test_a_client_that_goes_away_stops_its_work_alone(held: World, speech: bytes) -> None:
    """Two requests for one recognition: it goes on until both are gone."""
    app = create_app(Engine(held.transcriber, list, lambda: 0.0), ServerSettings())

    async def play() -> None:
        service = app.state.service
        uploads = [Upload(io.BytesIO(speech), "talk", {}) for _ in range(2)]
        options = TranscribeOptions(language="en")
        gone = asyncio.Event()

        class Request:
            async def receive(self) -> dict[str, str]:
                await gone.wait()
                return {"type": "http.disconnect"}

        async def ask(upload: Upload, request: Any) -> Any:
            async with service.recognised(upload, options, "base") as work:
                works.append(work)
                return await work.unless_gone(request)

        class Stays:
            receive = asyncio.Event().wait

        works: list[Any] = []
        leaving, staying = (asyncio.create_task(ask(u, r)) for u, r in zip(uploads, (Request(), Stays()), strict=True))
        while len(works) < 2:
            await asyncio.sleep(0.01)
        assert works[0] is works[1]
        gone.set()
        with pytest.raises(ApiError):
            await leaving
        assert not works[0].cancel.cancelled
        staying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await staying
        assert works[0].cancel.cancelled
        assert not len(service.recognitions)

    asyncio.run(play())


def test_bazarr_gets_its_formats_and_raw_samples_are_heard(client: TestClient, speech: bytes) -> None:
    response = client.post("/asr?output=srt&task=transcribe&language=en", files={"audio_file": ("a", speech)})
    assert response.text.startswith("1\n00:00:0")
    samples = np.frombuffer(speech[44:], "<i2").tobytes()
    raw = client.post("/asr?output=txt&encode=false", files={"audio_file": ("a", samples)})
    assert raw.status_code == 200
    found = client.post("/detect-language?encode=false", files={"audio_file": ("a", samples)}).json()
    assert (found["detected_language"], found["language_code"]) == ("english", "en")
    assert client.post("/asr?output=docx", files={"audio_file": ("a", speech)}).status_code == 400
