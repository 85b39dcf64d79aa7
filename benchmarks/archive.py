"""Archives in shards: `python -m benchmarks.archive -h`.

`plan`      a plan of a list of ROWS recordings: seconds, peak memory
`resume`    a run of a plan of which all ROWS are done: seconds, peak memory, of the process that finds out
`overhead`  `archive run` against `transcribe` over the same clips, in turn: by the clock and by the processor
`quiet`     `overhead` of clips of 5 s and of recordings over a minute, `resume` with its `plan`: in minutes, for a
            machine that does nothing else
`kills`     processes that run a plan, or a share of its shards each (`--shares`), while they are killed at random:
            results against those of one that is left alone, and how often each process loaded its model

Each prints a line of JSON; `kills` ends with 1 where a word differs, or a recording is missing or there twice.
"""

from __future__ import annotations

import argparse
import collections
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
    """The two commands over the same clips, now the one first and now the other; the plan is not counted."""
    cut_clips(source, folder / "clips", count, seconds)
    planned = run("archive", "plan", folder / "clips", "-o", folder / "plan.jsonl")
    assert planned["code"] == 0, planned
    wall, cpu = {"plain": list[float](), "archive": list[float]()}, {"plain": list[float](), "archive": list[float]()}
    for turn in range(rounds):
        commands = {
            "plain": ("transcribe", folder / "clips", "-o", folder / f"plain{turn}", "-f", "json"),
            "archive": ("archive", "run", folder / "plan.jsonl", "-o", folder / f"out{turn}"),
        }
        for name in sorted(commands, reverse=turn % 2 == 0):
            found = run(*commands[name], "-m", model, "-q")
            assert found["code"] == 0, found
            wall[name].append(found["wall_s"])
            cpu[name].append(found["cpu_s"])
    return {"what": "overhead", "clips": count, "seconds": seconds, "model": model, "wall_s": wall, "cpu_s": cpu,
            "overhead_wall": over(wall), "overhead_cpu": over(cpu), "plan_s": planned["wall_s"]}  # fmt: skip


def over(taken: dict[str, list[float]]) -> float:
    """By how much the archive's sum is larger."""
    return round(sum(taken["archive"]) / sum(taken["plain"]) - 1, 4)


def measure_quiet(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """All goals of time in one go; each is printed as it is found."""
    steps = {
        "clips": lambda at: measure_overhead(at, given.sources[0], given.count, 5.0, given.model, given.rounds),
        "long": lambda at: measure_overhead(at, long_of(given.sources[0], at), 4, 75.0, given.model, given.rounds),
        "resume": lambda at: measure_resume(given.rows, at, ".jsonl"),
    }
    found: dict[str, Any] = {}
    for name, measure in steps.items():
        (folder / name).mkdir()
        began = time.monotonic()
        found[name] = measure(folder / name) | {"took_s": round(time.monotonic() - began, 1)}
        print(json.dumps({name: found[name]}), file=sys.stderr, flush=True)
    return {"what": "quiet"} | found


def long_of(source: Path, folder: Path) -> Path:
    """A recording of three minutes at least: clips of one, one behind the other."""
    cut_clips(source, folder / "pieces", 20, 10.0)
    path = folder / "long.wav"
    with wave.open(str(path), "wb") as made:
        made.setparams((1, 2, 16_000, 0, "NONE", ""))
        for piece in sorted((folder / "pieces").iterdir()):
            with wave.open(str(piece), "rb") as part:
                made.writeframes(part.readframes(part.getnframes()))
    return path


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
    shares: bool = False
    after_s: tuple[float, float] = (1.0, 6.0)
    """A process is killed when it has used so many processor seconds: it gets on beside whatever else is at work."""
    killed: int = 0
    starts: int = 0
    logs: list[Path] = field(default_factory=list)

    def run(self, out: Path, patience_s: float = 3000.0) -> None:
        """Until a process finds nothing left, or with shares of their own all do."""
        chance = random.Random(self.seed)
        ends = time.monotonic() + patience_s
        going = {index: self._start(out, index) for index in range(self.processes)}
        lives_s = {index: chance.uniform(*self.after_s) for index in going}
        try:
            while going:
                assert time.monotonic() < ends, [log.read_text()[-2000:] for log in self.logs[-3:]]
                threading.Event().wait(0.05)
                for index, process in list(going.items()):
                    if self.killed < self.kills and processor_s(process.pid) > lives_s[index]:
                        process.kill()
                        self.killed += 1
                        lives_s[index] = chance.uniform(*self.after_s)
                        process.wait()
                    code = process.poll()
                    if code == 0 and not self.shares:
                        return
                    if code == 0:
                        del going[index]
                    elif code is not None:
                        assert code in (_KILLED, 3), (code, self.logs[-1].read_text())
                        going[index] = self._start(out, index)
        finally:
            for process in going.values():
                if process.poll() is None:
                    process.terminate()
                process.wait()

    def loads(self) -> list[int]:
        """How often each process has loaded a model."""
        return [log.read_text().count(" loaded on ") for log in self.logs]

    def _start(self, out: Path, index: int) -> subprocess.Popen[bytes]:
        self.starts += 1
        log = self.folder / f"log-{self.starts}.txt"
        self.logs.append(log)
        share = ("--shard", f"{index}/{self.processes}") if self.shares else ()
        command = [*COMMAND, "archive", "run", str(self.plan), "-o", str(out), "-m", self.model, "-v", *share]
        with log.open("wb") as file:
            return subprocess.Popen(command, stdout=file, stderr=file)


def processor_s(pid: int) -> float:
    """What a process has used so far; 0 where it has ended."""
    try:
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


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
    sources = given.sources
    for number, source in enumerate(sources):  # the same number of each, and what is left over of the first
        share = count // len(sources) + (count % len(sources) if not number else 0)
        cut_clips(source, folder / "clips" / f"{number}", share, given.seconds)
    (folder / "clips" / "broken.mp3").write_bytes(b"broken")
    plan = folder / "plan.jsonl"
    planned = run("archive", "plan", folder / "clips", "-o", plan, "--shard-minutes", "1", "--speed", "1")
    assert planned["code"] == 0, planned
    recordings = sum(1 for _ in plan.open()) - 1  # clips of the same silence are one recording
    alone = run("archive", "run", plan, "-o", folder / "alone", "-m", model, "-q")
    assert alone["code"] == 0, alone
    began = time.monotonic()
    chaos = Kills(folder, plan, model, given.processes, given.kills, given.seed, given.shares, given.kill_after_s)
    chaos.run(folder / "killed")
    wall_s = round(time.monotonic() - began, 1)
    one, other = (merged(plan, folder / name, folder / f"merged-{name}") for name in ("alone", "killed"))
    failed = collections.Counter(value for value in other.values() if isinstance(value, str))
    words = sum(len(value) for value in one.values() if isinstance(value, list))
    return {"what": "kills", "recordings": recordings, "processes": given.processes, "shares": given.shares,
            "killed": chaos.killed, "starts": chaos.starts, "wall_s": wall_s, "alone_s": alone["wall_s"],
            "equal": one == other, "differ": sum(one[who] != other.get(who) for who in one), "failed": failed,
            "missing": recordings - len(other), "words": words,
            "most_loads_of_a_process": max(chaos.loads())}  # fmt: skip


def machine() -> dict[str, Any]:
    return {"machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores", "when": time.strftime("%Y-%m-%d")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("plan", "resume", "overhead", "quiet", "kills"))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--ending", choices=(".jsonl", ".parquet"), default=".jsonl")
    parser.add_argument("--sources", type=Path, nargs="+", default=[DEMO], help="recordings that clips are cut of")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kill-after-s", type=float, nargs=2, default=(1.0, 6.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--shares", action="store_true", help="each process has --shard I/N")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="archive-") as name:
        folder = Path(name)
        if given.what == "plan":
            found = measure_plan(given.rows, folder, given.ending)
        elif given.what == "resume":
            found = measure_resume(given.rows, folder, given.ending)
        elif given.what == "overhead":
            found = measure_overhead(folder, given.sources[0], given.count, given.seconds, given.model, given.rounds)
        elif given.what == "quiet":
            found = measure_quiet(folder, given)
        else:
            found = measure_kills(folder, given)
    print(json.dumps(found | machine()))
    if not found.get("equal", True) or found.get("missing"):
        sys.exit(1)


if __name__ == "__main__":
    main()
