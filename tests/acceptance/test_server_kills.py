"""A server that is killed at random moments loses no job, and gives each result once."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from pathlib import Path

SERVE = (sys.executable, "-c", "from autorag_whisper.cli import main; main()", "serve", "--model", "tiny.en")
JOBS, KILLS = 8, 5


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
def test_a_server_killed_at_random_moments_loses_no_job_and_doubles_no_result(
    tmp_path: Path, demo_sample: Path
) -> None:
    chance, media = random.Random(1), demo_sample.read_bytes()
    keys, ids = [f"key-{n}" for n in range(JOBS)], dict[str, str]()
    kept: dict[tuple[str, int], str] = {}
    process, base = started(tmp_path)
    for kill in range(KILLS + 1):
        for key in keys:  # as a client does that does not know what became of its requests
            with httpx.Client(base_url=base, timeout=60) as client:
                try:
                    answer = client.post(
                        "/v1/jobs", files={"file": ("talk.flac", media)}, headers={"Idempotency-Key": key}
                    )
                except httpx.HTTPError:
                    continue
                assert ids.setdefault(key, answer.json()["id"]) == answer.json()["id"]
        if kill < KILLS:
            threading.Event().wait(chance.uniform(0.0, 4.0))
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            seen = chunks(tmp_path / "jobs.sqlite3")
            again = {place for place, digest in seen.items() if kept.setdefault(place, digest) != digest}
            assert not again, f"chunks that were kept were recognised again: {sorted(again)}"
            process, base = started(tmp_path)
    ends = time.monotonic() + 600
    with httpx.Client(base_url=base, timeout=60) as client:
        while {job["state"] for job in client.get("/v1/jobs").json()["data"]} != {"done"}:
            assert time.monotonic() < ends, client.get("/v1/jobs").text
            threading.Event().wait(0.5)
        jobs = client.get("/v1/jobs").json()["data"]
        assert sorted(job["id"] for job in jobs) == sorted(ids.values())
        assert len(jobs) == JOBS
        texts = {json.loads(client.get(f"/v1/jobs/{job['id']}/result").text)["text"] for job in jobs}
    assert len(texts) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 143
    assert list((tmp_path / "uploads").iterdir()) == []
    results = [file.name.partition(".")[0] for file in (tmp_path / "results").iterdir()]
    assert sorted(results) == sorted(ids.values())
