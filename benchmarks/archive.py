"""Archives in shards: `python -m benchmarks.archive -h`.

`plan`      a plan of a list of ROWS recordings: seconds, peak memory
`resume`    a run of a plan of which all ROWS are done: seconds, peak memory, of the process that finds out
`overhead`  `archive run` against `transcribe` over the same clips, in turn
`kills`     processes that run a plan while they are killed at random: results against those of one that is left alone

Each prints a line of JSON; `kills` ends with 1 where a word differs, or a recording is missing or there twice.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

COMMAND = (sys.executable, "-c", "from autorag_whisper.cli import main; main()")
DEMO = Path(__file__).resolve().parent.parent / "samples" / "demo.flac"
_KILLED, _AGAIN = -signal.SIGKILL, 0.2


def run(*arguments: str | Path, environ: dict[str, str] | None = None) -> dict[str, Any]:
    """A command line as a process: its exit code, seconds, peak megabytes, and what it printed."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([*COMMAND, *map(str, arguments)], stdout=out, env=environ)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read().decode()
    wall_s = round(time.monotonic() - began, 2)
    return {"code": process.returncode, "wall_s": wall_s, "cpu_s": round(used.ru_utime + used.ru_stime, 2),
            "peak_mb": round(used.ru_maxrss / 1024, 1), "said": said}  # fmt: skip


def figures(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "said"}


# ---------------------------------------------------------------- a plan of many


def write_list(path: Path, rows: int) -> None:
    """A synthetic list: addresses, ids and durations of talks of 5 s to two hours."""
    durations = np.random.default_rng(1).lognormal(5.0, 1.2, rows).clip(5, 7200)
    with path.open("w") as file:
        for n, seconds in enumerate(durations.tolist()):
            row = {"id": f"{n:032x}", "uri": f"s3://archive/{n // 1000:05d}/talk-{n:08d}.mp3",
                   "duration_s": round(seconds, 3), "size_bytes": round(seconds * 16_000)}  # fmt: skip
            file.write(json.dumps(row) + "\n")


def measure_plan(rows: int, folder: Path, ending: str) -> dict[str, Any]:
    write_list(folder / "list.jsonl", rows)
    found = run("archive", "plan", "--from", folder / "list.jsonl", "-o", folder / f"plan{ending}", "--speed", "15")
    return {"what": "plan", "rows": rows, "ending": ending} | figures(found)


def measure_resume(rows: int, folder: Path, ending: str) -> dict[str, Any]:
    """Results for every recording are made up: a transcript each of a few words, in the parts of complete shards."""
    from autorag_whisper.archive.sharded.parts import write_part
    from autorag_whisper.archive.sharded.plan_file import PlanFile

    planned = measure_plan(rows, folder, ending)
    plan = PlanFile(folder / f"plan{ending}")
    begun = run(
        "archive", "run", plan.path, "-o", folder / "out", "--shard", f"{plan.head.shards}/{plan.head.shards + 1}"
    )
    assert begun["code"] == 0, begun
    [results] = (folder / "out").iterdir()
    synced, os.fsync = os.fsync, lambda _descriptor: None  # what is made up need not survive a power cut
    try:
        for number, of_shard in plan.shards():
            place = results / "parts" / f"{number // 100:04d}"
            place.mkdir(exist_ok=True)
            made_up = [
                {"id": row.id, "uri": row.uri, "shard": number, "attempt": 1, "result": {"text": "made up"}}
                for row in of_shard
            ]
            write_part(place, number, made_up)
    finally:
        os.fsync = synced
    resumed = run("archive", "run", plan.path, "-o", folder / "out", "--json")
    assert json.loads(resumed["said"])["finished_before"] == rows, resumed
    counted = run("archive", "status", plan.path, "-o", folder / "out", "--json")
    assert json.loads(counted["said"])["done"] == rows, counted
    return {
        "what": "resume",
        "rows": rows,
        "shards": plan.head.shards,
        "plan": planned,
        "status": figures(counted),
    } | figures(resumed)


# ---------------------------------------------------------------- clips


def cut_clips(source: Path, folder: Path, count: int, seconds: float) -> None:
    """Clips of one recording: each begins a little later, so that no two are the same."""
    with av.open(source) as media:
        resampler = av.AudioResampler("s16", "mono", 16_000)
        frames = [frame.to_ndarray()[0] for decoded in media.decode(audio=0) for frame in resampler.resample(decoded)]
    samples = np.concatenate(frames)
    length = round(seconds * 16_000)
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        start = (n * 7_919) % max(1, len(samples) - length)
        with wave.open(str(folder / f"clip-{n:05d}.wav"), "wb") as made:
            made.setnchannels(1)
            made.setsampwidth(2)
            made.setframerate(16_000)
            made.writeframes(samples[start : start + length].tobytes())


def measure_overhead(folder: Path, source: Path, count: int, seconds: float, model: str, rounds: int) -> dict[str, Any]:
    """Seconds of the two commands over the same clips, in turn; the plan is not counted."""
    cut_clips(source, folder / "clips", count, seconds)
    planned = run("archive", "plan", folder / "clips", "-o", folder / "plan.jsonl")
    assert planned["code"] == 0, planned
    plain, archive = list[float](), list[float]()
    for turn in range(rounds):
        found = run("transcribe", folder / "clips", "-o", folder / f"plain{turn}", "-f", "json", "-m", model, "-q")
        assert found["code"] == 0, found
        plain.append(found["wall_s"])
        found = run("archive", "run", folder / "plan.jsonl", "-o", folder / f"out{turn}", "-m", model, "-q")
        assert found["code"] == 0, found
        archive.append(found["wall_s"])
    share = round(min(archive) / min(plain) - 1, 4)
    return {"what": "overhead", "clips": count, "seconds": seconds, "model": model, "plain_s": plain,
            "archive_s": archive, "overhead": share, "plan_s": planned["wall_s"]}  # fmt: skip


# ---------------------------------------------------------------- kills


@dataclass
class Kills:
    """Processes that run the same plan; each that ends is followed by another until nothing is left."""

    folder: Path
    plan: Path
    model: str
    processes: int = 2
    kills: int = 6
    seed: int = 1
    extra: tuple[str, ...] = ()
    killed: int = 0
    starts: int = 0
    logs: list[Path] = field(default_factory=list)

    def run(self, out: Path, patience_s: float = 1200.0) -> None:
        """Until a process finds nothing left."""
        chance = random.Random(self.seed)
        ends = time.monotonic() + patience_s
        going = [self._start(out) for _ in range(self.processes)]
        next_kill_s = time.monotonic() + chance.uniform(1, 6)
        try:
            while not any(process.poll() == 0 for process in going):
                assert time.monotonic() < ends, [log.read_text()[-2000:] for log in self.logs[-3:]]
                threading.Event().wait(0.05)
                if self.killed < self.kills and time.monotonic() >= next_kill_s:
                    victim = chance.choice(going)
                    if victim.poll() is None:
                        victim.kill()
                        self.killed += 1
                    next_kill_s = time.monotonic() + chance.uniform(1, 6)
                for index, process in enumerate(going):
                    if process.poll() not in (None, 0):
                        assert process.returncode in (_KILLED, 3), (process.returncode, self.logs[-1].read_text())
                        going[index] = self._start(out)
        finally:
            for process in going:
                if process.poll() is None:
                    process.terminate()
                process.wait()

    def _start(self, out: Path) -> subprocess.Popen[bytes]:
        self.starts += 1
        log = self.folder / f"log-{self.starts}.txt"
        self.logs.append(log)
        command = [*COMMAND, "archive", "run", str(self.plan), "-o", str(out), "-m", self.model, "-v", *self.extra]
        with log.open("wb") as file:
            return subprocess.Popen(command, stdout=file, stderr=file)


def merged(plan: Path, out: Path, target: Path) -> dict[str, Any]:
    """id -> the words with their times, or the error's type; fails where an id comes twice."""
    found = run("archive", "merge", plan, "-o", out, "--to", target, "-f", "jsonl")
    assert found["code"] == 0, found
    records = [json.loads(line) for line in (target / "results.jsonl").read_text().splitlines()]
    heard = {one["id"]: _heard(one) for one in records}
    assert len(heard) == len(records), "a recording is there twice"
    return heard


def _heard(record: dict[str, Any]) -> Any:
    if "error" in record:
        return record["error"]["type"]
    return [(word["word"], word["start"], word["end"]) for word in record["result"]["words"]]


def measure_kills(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    count, model = given.count, given.model
    cut_clips(given.source, folder / "clips", count, given.seconds)
    (folder / "clips" / "broken.mp3").write_bytes(b"broken")
    plan = folder / "plan.jsonl"
    planned = run("archive", "plan", folder / "clips", "-o", plan, "--shard-minutes", "1", "--speed", "1")
    assert planned["code"] == 0, planned
    alone = run("archive", "run", plan, "-o", folder / "alone", "-m", model, "-q")
    assert alone["code"] == 0, alone
    began = time.monotonic()
    chaos = Kills(folder, plan, model, given.processes, given.kills, given.seed)
    chaos.run(folder / "killed")
    wall_s = round(time.monotonic() - began, 1)
    one, other = (merged(plan, folder / name, folder / f"merged-{name}") for name in ("alone", "killed"))
    return {"what": "kills", "recordings": count + 1, "killed": chaos.killed, "starts": chaos.starts, "wall_s": wall_s,
            "alone_s": alone["wall_s"], "equal": one == other, "missing": count + 1 - len(other)}  # fmt: skip


def machine() -> dict[str, Any]:
    return {"machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores", "when": time.strftime("%Y-%m-%d")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("plan", "resume", "overhead", "kills"))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--ending", choices=(".jsonl", ".parquet"), default=".jsonl")
    parser.add_argument("--source", type=Path, default=DEMO)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="archive-") as name:
        folder = Path(name)
        if given.what == "plan":
            found = measure_plan(given.rows, folder, given.ending)
        elif given.what == "resume":
            found = measure_resume(given.rows, folder, given.ending)
        elif given.what == "overhead":
            found = measure_overhead(folder, given.source, given.count, given.seconds, given.model, given.rounds)
        else:
            found = measure_kills(folder, given)
    print(json.dumps(found | machine()))
    if not found.get("equal", True) or found.get("missing"):
        sys.exit(1)


if __name__ == "__main__":
    main()
