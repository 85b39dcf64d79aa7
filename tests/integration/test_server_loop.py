"""The event loop answers others while anything else goes on: each test holds some work until the server has answered.

Work that is done on the event loop would hold up that answer, and so itself.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from autorag_whisper.server.app import Engine, create_app
from autorag_whisper.server.bodies import as_json
from autorag_whisper.server.settings import ServerSettings
from autorag_whisper.testing import speech_samples, write_speech
from http_world import TRANSCRIPTIONS, Gate, app_of, client_of, held_world, until
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi.testclient import TestClient

    from autorag_whisper.domain.transcript import Segment, Transcript


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_speech(tmp_path_factory.mktemp("speech") / "talk.wav", speech_samples(5)).read_bytes()


class HeldSegments(tuple["Segment", ...]):
    """Segments that nobody gets to see until the server has answered somebody else; not for ever, which would hang."""

    asked, answered, waited_in_vain = threading.Event(), threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[Any]:
        self.asked.set()
        if not self.answered.wait(60):
            self.waited_in_vain.set()
        return super().__iter__()


class HeldTranscriber:
    """A transcriber whose transcripts have such segments."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def stream(self, *given: Any, **options: Any) -> Any:
        stream = self._real.stream(*given, **options)
        result = stream.result

        class Stream:
            def __enter__(self) -> Any:
                stream.__enter__()
                return self

            def __exit__(self, *ended: Any) -> Any:
                return stream.__exit__(*ended)

            def __iter__(self) -> Any:
                return iter(stream)

            def result(self) -> Transcript:
                transcript: Transcript = result()
                return replace(transcript, segments=HeldSegments(transcript.segments))

        return Stream()


@pytest.fixture
def client() -> Iterator[TestClient]:
    for name in ("asked", "answered", "waited_in_vain"):
        setattr(HeldSegments, name, threading.Event())
    world = World()
    with world.transcriber:
        engine = Engine(HeldTranscriber(world.transcriber), lambda: ["base"], lambda: 0.0)
        with client_of(create_app(engine, ServerSettings())) as client:
            yield client
        HeldSegments.answered.set()


REQUESTS = [
    *((TRANSCRIPTIONS, {"response_format": name}) for name in ("json", "text", "srt", "verbose_json", "vtt")),
    *((f"/asr?output={name}", {}) for name in ("txt", "vtt", "srt", "tsv", "json")),
    (TRANSCRIPTIONS, {"stream": "true"}),
]


@pytest.mark.parametrize(("path", "fields"), REQUESTS)
def test_an_answer_is_written_while_others_are_answered(
    client: TestClient, speech: bytes, path: str, fields: dict[str, str]
) -> None:
    name = "audio_file" if path.startswith("/asr") else "file"
    with ThreadPoolExecutor(1) as threads:
        request = threads.submit(client.post, path, files={name: speech}, data=fields)
        assert HeldSegments.asked.wait(60)
        assert client.get("/livez").status_code == 200
        assert not HeldSegments.waited_in_vain.is_set()
        HeldSegments.answered.set()
        assert request.result().status_code == 200


def test_models_are_looked_for_while_others_are_answered(speech: bytes) -> None:
    asked, answered = threading.Event(), threading.Event()

    def local_models() -> list[str]:
        asked.set()
        assert answered.wait(60)
        return ["base"]

    world = World()
    with world.transcriber, ThreadPoolExecutor(1) as threads:
        engine = Engine(world.transcriber, local_models, lambda: 0.0)
        with client_of(create_app(engine, ServerSettings())) as client:
            for ask in (
                lambda: client.get("/v1/models"),
                lambda: client.get("/v1/models/base"),
                lambda: client.post(TRANSCRIPTIONS, files={"file": speech}, data={"model": "whisper-1"}),
            ):
                asked.clear()
                answered.clear()
                request = threads.submit(ask)
                assert asked.wait(60)
                assert client.get("/livez").status_code == 200
                answered.set()
                assert request.result().status_code == 200


def test_a_full_disk_is_not_ready() -> None:
    room = {"bytes": 1 << 40}
    world = World()
    with world.transcriber:
        engine = Engine(world.transcriber, list, lambda: 0.0, lambda _: room["bytes"])
        with client_of(create_app(engine, ServerSettings())) as client:
            until(lambda: client.get("/readyz").status_code == 200)
            room["bytes"] = 1000
            answer = client.get("/readyz")
            assert (answer.status_code, "is full" in answer.json()["reason"]) == (503, True)
            room["bytes"] = 1 << 40
            assert client.get("/readyz").status_code == 200


def test_a_model_that_takes_for_ever_to_load_holds_up_neither_answers_nor_the_end() -> None:
    """Its thread is nobody's but its own: those of the pool stay free, and the end does not wait for it."""
    gate = Gate()
    with held_world(gate) as world:
        with client_of(app_of(world)) as client:
            assert gate.asked.acquire(timeout=60)  # the probe stands at the engine
            assert client.get("/readyz").status_code == 503
            probes = [thread for thread in threading.enumerate() if thread.name == "autorag-whisper-probe"]
            assert [probe.daemon for probe in probes] == [True]
            assert client.get("/v1/models").status_code == 200
        assert not gate.let.is_set()  # and yet the service has ended
        gate.let.set()
        until(lambda: not any(probe.is_alive() for probe in probes))


def test_json_is_written_an_item_at_a_time_and_says_the_same() -> None:
    words = [{"word": "a", "start": 0.25}, {"word": "\n"}]
    body = {"text": 'a "ü" \u2028', "n": 1.5, "none": None, "words": words, "empty": []}
    assert json.loads(as_json(body)) == body


SIGNALLED = """
import os, signal
from types import SimpleNamespace

import uvicorn
from fastapi import FastAPI

from autorag_whisper.server.running import run
from autorag_whisper.server.settings import ServerSettings

load, app = uvicorn.Config.load, FastAPI()


def signalled(config):
    load(config)
    os.kill(os.getpid(), signal.SIGTERM)


uvicorn.Config.load = signalled
app.state.service = SimpleNamespace(begin_to_end=lambda: print("the end begins", flush=True))
run(app, ServerSettings(port=0), lambda _: None)
"""


def test_a_signal_that_comes_before_the_service_listens_ends_it_as_later_ones_do() -> None:
    ended = subprocess.run([sys.executable, "-c", SIGNALLED], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGTERM, "the end begins\n", "")
