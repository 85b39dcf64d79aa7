"""A long job whose server is killed again and again goes on behind its finished chunks."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.testing import write_speech

if TYPE_CHECKING:
    from pathlib import Path

SERVE = (sys.executable, "-c", "from autorag_whisper.cli import main; main()", "serve", "--model", "tiny.en")


def started(data: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [*SERVE, "--port", "0", "--data", str(data)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    match = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
    assert match
    return process, match[0]


def chunks(path: Path) -> dict[tuple[str, int], str]:
    """The finished chunks of all jobs, each with its content's digest: one that is recognised again has another."""
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT job, number, checkpoint FROM chunks").fetchall()
    return {(job, number): hashlib.sha256(content).hexdigest() for job, number, content in rows}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_long_job_goes_on_behind_its_finished_chunks_whenever_its_server_is_killed(
    tmp_path: Path, demo_sample: Path
) -> None:
    with MediaSource.from_path(demo_sample).open() as file, MediaDecoder(file, "demo") as decoder:
        said = np.concatenate([*decoder, np.zeros(48_000, np.float32)])
    talk = write_speech(tmp_path / "talk.wav", np.tile(said, 40))
    kept: dict[tuple[str, int], str] = {}
    job = ""
    for _ in range(4):
        process, base = started(tmp_path / "data")
        with httpx.Client(base_url=base, timeout=60) as client:
            job = job or client.post("/v1/jobs", files={"file": ("talk.wav", talk.read_bytes())}).json()["id"]
            # Progress is told before the chunk that it comes of is kept.
            while len(chunks(tmp_path / "data/jobs.sqlite3")) <= len(kept):
                told = client.get(f"/v1/jobs/{job}").json()
                assert told["state"] in ("queued", "running"), told
                threading.Event().wait(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        seen = chunks(tmp_path / "data/jobs.sqlite3")
        assert len(seen) > len(kept)  # it got on, behind what there was
        assert {place: seen.get(place) for place in kept} == kept  # none was recognised again
        kept = seen
    process, base = started(tmp_path / "data")
    with httpx.Client(base_url=base, timeout=60) as client:
        with client.stream("GET", f"/v1/jobs/{job}/events") as stream:
            events = [line.removeprefix("event: ") for line in stream.iter_lines() if line.startswith("event: ")]
        assert "restart" not in events
        done = client.get(f"/v1/jobs/{job}").json()
        assert (done["state"], done["notes"]) == ("done", [])
        segments = json.loads(client.get(f"/v1/jobs/{job}/result").text)["segments"]
    assert events.count("segment") == len(segments)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 143
