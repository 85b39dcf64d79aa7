"""Durable jobs while whatever does them is killed: `python -m benchmarks.chaos -h`.

`kill -9` of a server, of its worker or of both at random moments, and of the database now and then;
clients that ask again until they are answered. At the end every job is done, once, with the same text as every other,
and no chunk that was kept has been recognised again. Prints a line of JSON; exit code 1 where that is not so.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import av
import httpx
import psutil
import psycopg

from benchmarks.postgres_server import PostgresServer

SERVE = (sys.executable, "-c", "from autorag_whisper.cli import main; main()", "serve")
DEMO = Path(__file__).resolve().parent.parent / "samples" / "demo.flac"
_AGAIN = 8


def repeated(source: Path, times: int, target: Path) -> Path:
    """Media that says the same several times: more than one chunk."""
    with av.open(source) as media, av.open(target, "w") as made:
        stream = made.add_stream("flac", rate=16_000, layout="mono", format="s16")
        resampler = av.AudioResampler("s16", "mono", 16_000)
        frames = [frame for decoded in media.decode(audio=0) for frame in resampler.resample(decoded)]
        at = 0
        for _ in range(times):
            for frame in frames:
                frame.pts = at
                at += frame.samples
                made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    return target


class Server:
    """`autorag-whisper serve` as a process, which can be killed and started again."""

    def __init__(
        self, folder: Path, options: list[str], environ: dict[str, str], log: Path, most_s: float = 180.0
    ) -> None:
        """`most_s`: how long a start may take."""
        self._command = [*SERVE, "--port", "0", "--data", str(folder), *options]
        self._environ, self._log, self._most_s = environ, log, most_s
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Until it says where it serves; one that could not begin is begun again, as a supervisor does."""
        began = time.monotonic()
        ends = began + self._most_s
        while True:
            self.starts += 1
            with self._log.open("ab") as log:
                begun = log.tell()
                self.process = subprocess.Popen(
                    self._command, stdout=log, stderr=log, env=self._environ, start_new_session=True
                )
            while self.process.poll() is None:
                with self._log.open("rb") as log:
                    log.seek(begun)
                    if found := re.search(rb"serves (http://127\.0\.0\.1:\d+)", log.read()):
                        self.base = found[1].decode()
                        self.start_s = time.monotonic() - began
                        return
                assert time.monotonic() < ends, self._log.read_text()
                threading.Event().wait(0.05)
            assert time.monotonic() < ends, self._log.read_text()

    def kill(self, target: str) -> None:
        """`server`: its own process; `worker`: the engine's, not a decoder's; `both`: all of them."""
        process, own = psutil.Process(self.process.pid), [self.process.pid]
        workers = [child.pid for child in process.children()]  # decoders are below them
        below = [child.pid for child in process.children(recursive=True)]
        killed = {"server": own, "worker": workers, "both": own + below}[target]
        for pid in killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if target != "worker":
            self.process.wait()

    def end(self) -> int:
        """As an operator does."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


@dataclass
class Chaos:
    """A run. `database` None: jobs in a file. `most_s`: for a start; ten times that for what is left at the end."""

    folder: Path
    media: Path
    database: PostgresServer | None
    jobs: int
    kills: int
    servers: int = 1
    seed: int = 1
    model: str = "tiny.en"
    pace: float = 2.0
    most_s: float = 180.0
    killed: collections.Counter[str] = field(default_factory=collections.Counter)
    ids: dict[str, str] = field(default_factory=dict)
    chunks: dict[tuple[str, int], str] = field(default_factory=dict)
    again: int = 0

    def run(self) -> dict[str, Any]:
        """All of it. Raises AssertionError where a promise was broken."""
        began, chance = time.monotonic(), random.Random(self.seed)
        log, data = self.folder / "log", self.folder / "data"
        environ = dict(os.environ)
        if self.database is not None:
            environ["AUTORAG_WHISPER_JOB_STORE"] = self.database.emptied()
        running = [
            Server(data, ["--model", self.model, "--keep-media-days", "0"], environ, log, self.most_s)
            for _ in range(self.servers)
        ]
        try:
            for kill in range(self.kills):
                self._ask(running, self.jobs * (kill + 1) // self.kills)
                # By the machine: on a slow one a kill every few seconds leaves no moment to do anything.
                threading.Event().wait(chance.uniform(0.0, self.pace * running[0].start_s))
                self._kill(running, chance)
                if (kill + 1) % 10 == 0:
                    print(f"{kill + 1} kills, {len(self.ids)} jobs, {len(self.chunks)} chunks kept", file=sys.stderr)
            self._ask(running, self.jobs, until_all=True)
            jobs = self._done(running[0])
            self._check(running, jobs, data)
            ends = [server.end() for server in running]
            assert set(ends) == {143}, ends
        finally:
            for server in running:
                if server.process.poll() is None:
                    server.kill("both")
        assert list((data / "uploads").iterdir()) == []
        if self.database is not None:
            password = (self.database.folder / "password").read_text()
            assert password not in log.read_text(), "the log holds the password"
        return {
            "store": "sqlite" if self.database is None else "postgres", "servers": self.servers, "jobs": len(jobs),
            "kills": dict(self.killed), "starts": sum(server.starts for server in running), "lost": 0, "doubled": 0,
            "died_with": sum(job["attempts"]["deaths"] for job in jobs), "chunks_kept_at_kills": len(self.chunks),
            "chunks_done_again": self.again, "seconds": round(time.monotonic() - began),
        }  # fmt: skip

    def _ask(self, running: list[Server], until: int, *, until_all: bool = False) -> None:
        """Add jobs by their keys, as clients do that do not know what became of their requests."""
        ends = time.monotonic() + self.most_s
        asked = [f"key-{n}" for n in range(until)]
        known = [key for key in asked if key in self.ids][-_AGAIN:]  # some of those that were answered once more
        waiting = [*known, *(key for key in asked if key not in self.ids)]
        while waiting:
            for key in list(waiting):
                server = running[zlib.crc32(key.encode()) % len(running)]
                try:
                    with self.media.open("rb") as media:
                        answer = httpx.post(
                            f"{server.base}/v1/jobs", files={"file": ("talk.flac", media)}, timeout=60,
                            headers={"Idempotency-Key": key},
                        )  # fmt: skip
                except httpx.HTTPError:
                    continue
                if answer.status_code not in (200, 201):
                    assert answer.status_code in (408, 503), answer.text  # 408: this process was not let run for long
                    continue
                assert self.ids.setdefault(key, answer.json()["id"]) == answer.json()["id"], f"{key} is two jobs"
                waiting.remove(key)
            if not until_all:
                return
            assert time.monotonic() < ends, f"never answered: {waiting}"

    def _kill(self, running: list[Server], chance: random.Random) -> None:
        server, target = chance.choice(running), chance.choice(("server", "worker", "both"))
        if self.database is not None and chance.random() < 0.1:
            self.database.kill()
            self.database.start()
            self.killed["database"] += 1
        server.kill(target)
        self.killed[target] += 1
        if server.process.poll() is not None:
            self._look_at_chunks()
            server.start()

    def _look_at_chunks(self) -> None:
        """One that is recognised again has another content: its times of computing differ."""
        wanted = "SELECT job, number, checkpoint FROM chunks"
        rows: list[tuple[str, int, bytes]]
        if self.database is not None:
            with psycopg.connect(self.database.url(), options="-csearch_path=autorag_whisper") as database:
                rows = database.execute(wanted).fetchall()
        else:
            with closing(sqlite3.connect(self.folder / "data" / "jobs.sqlite3")) as file:
                rows = file.execute(wanted).fetchall()
        for job, number, content in rows:
            digest = hashlib.sha256(content).hexdigest()
            self.again += self.chunks.setdefault((job, number), digest) != digest
        assert not self.again, "a chunk that was kept was recognised again"

    def _done(self, server: Server) -> list[dict[str, Any]]:
        """All jobs, when they are."""
        ends = time.monotonic() + 10 * self.most_s
        while True:
            jobs: list[dict[str, Any]] = httpx.get(f"{server.base}/v1/jobs?limit=1000", timeout=60).json()["data"]
            states = collections.Counter(job["state"] for job in jobs)
            assert "failed" not in states, [job for job in jobs if job["state"] == "failed"]
            if set(states) == {"done"}:
                return jobs
            assert time.monotonic() < ends, states
            threading.Event().wait(0.5)

    def _check(self, running: list[Server], jobs: list[dict[str, Any]], data: Path) -> None:
        """Nothing is lost, nothing is there twice; any server answers for any job."""
        assert sorted(job["id"] for job in jobs) == sorted(self.ids.values())
        assert len(set(self.ids.values())) == self.jobs
        ends = time.monotonic() + self.most_s
        while True:  # what an earlier claim had written is removed behind the end of its job
            results = [file.name.partition(".")[0] for file in (data / "results").iterdir()]
            if sorted(results) == sorted(self.ids.values()):
                break
            assert time.monotonic() < ends, "a result is lost, or there twice"
            threading.Event().wait(0.5)
        texts = set()
        for number, job in enumerate(jobs):
            at = f"{running[number % len(running)].base}/v1/jobs/{job['id']}"
            result = httpx.get(f"{at}/result", timeout=60).json()
            texts.add(result["text"])
            events = [block.splitlines() for block in httpx.get(f"{at}/events", timeout=60).text.split("\n\n") if block]
            told = [(kind.partition(": ")[2], data) for _, kind, data in (event[-3:] for event in events[:-1])]
            begun = max((at for at, (kind, _) in enumerate(told) if kind == "restart"), default=-1)
            segments = [json.loads(data.partition(": ")[2]) for kind, data in told[begun + 1 :] if kind == "segment"]
            assert [kind for kind, _ in told].count("done") == 1, told
            assert [s["text"] for s in segments] == [s["text"] for s in result["segments"]], (
                "segments told twice, or lost"
            )
        assert len(texts) == 1, texts


def main(arguments: list[str] | None = None, out: IO[str] = sys.stdout) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--servers", type=int, default=1, help="on one store; a file has one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--repeat", type=int, default=4, help="the sample of 12 s, so often")
    parser.add_argument("--pace", type=float, default=2.0, help="starts of a server that fit between two kills at most")
    parser.add_argument(
        "--most-s", type=float, default=180.0, help="that a start may take; ten times it all jobs at the end"
    )
    given = parser.parse_args(arguments)
    database = PostgresServer() if given.store == "postgres" else None
    try:
        with tempfile.TemporaryDirectory(prefix="chaos") as place:
            folder = Path(place)
            media = repeated(DEMO, given.repeat, folder / "talk.flac")
            chaos = Chaos(
                folder, media, database, given.jobs, given.kills, given.servers, given.seed, given.model, given.pace,
                given.most_s,
            )  # fmt: skip
            out.write(json.dumps(chaos.run()) + "\n")
    finally:
        if database is not None:
            database.close()


if __name__ == "__main__":
    main()
