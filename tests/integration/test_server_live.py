"""The service as it is started, with a real model, asked by OpenAI's own client."""

from __future__ import annotations

import asyncio
import math
import os
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import openai
import psutil
import pytest
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.testing import write_speech
from http_world import until
from made_media import decode
from openai_contract import (  # noqa: F401 - they run here, too
    test_answers_are_what_openais_own_types_say,
    test_openais_client_raises_its_own_errors,
    test_openais_client_reads_every_format,
    test_openais_client_reads_the_stream,
)
from served import SERVE, Served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("served"), "--wyoming", "0") as server:
        yield server


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
        with server.http() as client:
            until(lambda: "whisper_requests_in_work 1.0" in client.get("/metrics").text or request.done())
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


@pytest.fixture(scope="module")
def long(demo_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half an hour of speech: more than any machine is through with while a test does its next step."""
    samples, _, _ = decode(demo_sample)
    place = tmp_path_factory.mktemp("long") / "long.wav"
    return write_speech(place, np.tile(samples, math.ceil(1800 * 16_000 / len(samples))))


def test_a_stream_that_the_end_cuts_says_so_as_its_last_event(tmp_path: Path, long: Path) -> None:
    with Served(tmp_path, "--drain", "0") as server:
        events = iter(server.client.audio.transcriptions.create(file=long, model="whisper-1", stream=True))
        assert next(events).type == "transcript.text.delta"
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(openai.APIError) as cut:
            list(events)
        assert cut.value.code == "draining"
        assert server.process.wait(timeout=120) == 143


@pytest.mark.slow
def test_who_follows_a_job_is_let_go_at_the_end_and_goes_on_after_the_restart(tmp_path: Path, long: Path) -> None:
    """Nobody waits for `--drain`, which is longer than the test may take."""
    options = ("--data", str(tmp_path / "data"), "--drain", "3600")
    with Served(tmp_path, *options) as server, server.http() as client:
        job = client.post("/v1/jobs", files={"file": ("long.wav", long.read_bytes())}).json()["id"]
        with client.stream("GET", f"/v1/jobs/{job}/events") as events:
            lines = events.iter_lines()
            number = next(line for line in lines if line.startswith("id: ")).removeprefix("id: ")
            server.process.send_signal(signal.SIGTERM)
            for line in lines:  # to its end, without an error
                if line.startswith("id: "):
                    number = line.removeprefix("id: ")
        assert server.process.wait(timeout=120) == 143
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    with Served(tmp_path, *options) as server, server.http() as client:
        found = client.get(f"/v1/jobs/{job}").json()
        assert found["state"] in ("queued", "running")
        with client.stream("GET", f"/v1/jobs/{job}/events", headers={"Last-Event-ID": number}) as events:
            again = next(line for line in events.iter_lines() if line.startswith("id: "))
            assert int(again.removeprefix("id: ")) > int(number)
        client.delete(f"/v1/jobs/{job}")


def test_the_line_at_the_start_says_where_and_with_what(served: Served) -> None:
    assert re.fullmatch(
        r"autorag-whisper serves http://127\.0\.0\.1:\d+/v1 with tiny\.en on \w+; .*weights .*\n", served.line
    )
