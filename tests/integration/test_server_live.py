"""The service as it is started, with a real model, asked by OpenAI's own client."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import numpy as np
import openai
import psutil
import pytest
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient

from autorag_whisper.audio.decode import MediaDecoder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "sk-test-1"
SERVE = (sys.executable, "-c", "from autorag_whisper.cli import main; main()", "serve", "--model", "tiny.en")


class Served:
    """A server in a process of its own, on a free port."""

    def __init__(self, folder: Path, *options: str) -> None:
        (folder / "keys").write_text(f"# who may\n{KEY}\n", encoding="utf-8")
        self.process = subprocess.Popen(
            [*SERVE, "--port", "0", *options],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"AUTORAG_WHISPER_API_KEYS": str(folder / "keys")},
        )
        assert self.process.stderr is not None
        self.line = self.process.stderr.readline()
        match = re.search(r"http://127\.0\.0\.1:\d+", self.line)
        assert match, self.line + self.process.stderr.read()
        self.base = match[0]
        for _ in range(600):
            if httpx.get(f"{self.base}/readyz").status_code == 200:
                return
            threading.Event().wait(0.1)
        raise AssertionError(httpx.get(f"{self.base}/readyz").text)

    @property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(api_key=KEY, base_url=f"{self.base}/v1", max_retries=0)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=120)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("served"), "--wyoming", "0")
    yield server
    server.end(signal.SIGKILL)


def test_openais_client_reads_every_format(served: Served, demo_sample: Path) -> None:
    create = served.client.audio.transcriptions.create
    plain = create(file=demo_sample, model="whisper-1")
    assert "tickets" in plain.text
    assert plain.usage is not None
    assert plain.usage.type == "duration"
    verbose = create(
        file=demo_sample, model="whisper-1", response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert (verbose.language, verbose.text) == ("english", plain.text)
    assert verbose.words is not None
    assert [word.word for word in verbose.words] == plain.text.split()
    assert verbose.segments is not None
    assert verbose.segments[0].avg_logprob < 0
    assert create(file=demo_sample, model="whisper-1", response_format="text") == plain.text + "\n"
    assert create(file=demo_sample, model="whisper-1", response_format="srt").startswith("1\n00:00:0")
    assert create(file=demo_sample, model="whisper-1", response_format="vtt").startswith("WEBVTT")


def test_openais_client_reads_the_stream(served: Served, demo_sample: Path) -> None:
    *deltas, done = served.client.audio.transcriptions.create(file=demo_sample, model="whisper-1", stream=True)
    assert done.type == "transcript.text.done"
    assert done.text == "".join(event.delta for event in deltas if event.type == "transcript.text.delta")


def test_openais_client_raises_its_own_errors(served: Served, demo_sample: Path, tmp_path: Path) -> None:
    create = served.client.audio.transcriptions.create
    (tmp_path / "no.wav").write_bytes(b"no media")
    with pytest.raises(openai.BadRequestError) as bad:
        create(file=tmp_path / "no.wav", model="whisper-1")
    assert (bad.value.param, bad.value.code) == ("file", "invalid_value")
    with pytest.raises(openai.BadRequestError):
        create(file=demo_sample, model="whisper-1", language="klingon")
    stranger = openai.OpenAI(api_key="sk-wrong", base_url=f"{served.base}/v1", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    assert next(model.id for model in served.client.models.list()) == "tiny.en"


def test_home_assistants_way_of_asking_by_wyoming_gives_the_same_text(served: Served, demo_sample: Path) -> None:
    port = int(re.search(r"Wyoming at tcp://127\.0\.0\.1:(\d+)", served.line)[1])
    with demo_sample.open("rb") as file, MediaDecoder(file, "demo") as decoded:
        samples = np.concatenate(list(decoded))
    pcm = (np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes()

    async def ask() -> str:
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Transcribe(language="en").event())
            await client.write_event(AudioStart(16_000, 2, 1).event())
            for start in range(0, len(pcm), 2048):
                await client.write_event(AudioChunk(16_000, 2, 1, pcm[start : start + 2048]).event())
            await client.write_event(AudioStop().event())
            while (event := await client.read_event()) is not None:
                if Transcript.is_type(event.type):
                    return Transcript.from_event(event).text
        raise AssertionError("no transcript came")

    wanted = served.client.audio.transcriptions.create(file=demo_sample, model="whisper-1").text
    assert asyncio.run(ask()) == wanted


def test_a_worker_that_is_killed_costs_no_request(served: Served, demo_sample: Path) -> None:
    wanted = served.client.audio.transcriptions.create(file=demo_sample, model="whisper-1").text
    with ThreadPoolExecutor(1) as threads:
        request = threads.submit(
            served.client.audio.transcriptions.create, file=demo_sample, model="whisper-1", prompt="Tickets."
        )
        for worker in psutil.Process(served.process.pid).children():
            worker.kill()
        assert "tickets" in request.result().text
    assert served.client.audio.transcriptions.create(file=demo_sample, model="whisper-1").text == wanted


def test_an_end_that_is_asked_for_finishes_what_is_in_work(tmp_path: Path, demo_sample: Path) -> None:
    server = Served(tmp_path)
    with ThreadPoolExecutor(1) as threads:
        request = threads.submit(server.client.audio.transcriptions.create, file=demo_sample, model="whisper-1")
        process = psutil.Process(server.process.pid)
        while not any(one.status == psutil.CONN_ESTABLISHED for one in process.net_connections()):
            threading.Event().wait(0.01)
        code = server.end()
        assert "tickets" in request.result().text
    assert code == 143
    assert not psutil.pid_exists(server.process.pid)


def test_an_address_for_others_needs_keys(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "AUTORAG_WHISPER_API_KEYS"}
    done = subprocess.run(
        [*SERVE, "--host", "0.0.0.0"], capture_output=True, text=True, env=environ, timeout=120, check=False
    )
    assert done.returncode == 2
    assert "AUTORAG_WHISPER_API_KEYS" in done.stderr
