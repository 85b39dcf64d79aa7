"""`python -m benchmarks.fleet answers`: what a fleet needs for 1e5 to 1e8 recordings, as tables in Markdown.

`python -m benchmarks.fleet check`: measures the costs of one process of one thread here, predicts runs of other numbers
of processes, shards and clips, makes these runs, and ends with 1 where a prediction is off by more than 15 %.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from autorag_whisper.archive.sharded.cutting import Sizing
from benchmarks.archive import COMMAND, DEMO, cut_clips, run
from benchmarks.fleet.model import Costs, Fleet, durations, many_shard_seconds, shard_seconds, simulate

WITHIN = 0.15
MEAN_S = 150.0
COUNTS = (100_000, 1_000_000, 10_000_000, 100_000_000)
WORKERS = (1, 16, 128, 1024)


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} d"


def answers(costs: Costs) -> None:
    """How long, and what bites."""
    usual = Sizing(5.0, costs.speed)
    rows = []
    for count in COUNTS:
        shards = many_shard_seconds(count, MEAN_S, costs, usual, 1)
        found = [simulate(shards, Fleet(workers, ramp_s=1.0), costs) for workers in WORKERS]
        rows.append([f"{count:.0e}", f"{len(shards):,}", *(hours(one.wall_s) for one in found)])
    table(f"How long, recordings of {MEAN_S:.0f} s on average", ["recordings", "shards", *map(str, WORKERS)], rows)

    lengths, workers = durations(100_000, MEAN_S, 1), 128
    rows = []
    for minutes in (1.0, 2.0, 5.0, 10.0):
        shards = shard_seconds(lengths, costs, Sizing(minutes, costs.speed), 1)
        for name, fleet in _fleets(workers).items():
            one = simulate(shards, fleet, costs)
            rows.append([f"{minutes:.0f} min", name, hours(one.wall_s), f"{one.tail_s / 60:.1f} min", f"{one.busy:.0%}",
                         str(one.lost), f"{one.waited_s / 60:.1f} min"])  # fmt: skip
    head = ["shard", "fleet", "wall", "since the first was idle", "busy", "lost workers", "waited for storage"]
    table(f"What bites: 1e5 recordings on {workers} workers", head, rows)


def _fleets(workers: int) -> dict[str, Fleet]:
    return {
        "even, whoever is free": Fleet(workers),
        "even, a share each": Fleet(workers, shares=True),
        "uneven by a third, whoever is free": Fleet(workers, unevenness=0.3),
        "uneven by a third, a share each": Fleet(workers, unevenness=0.3, shares=True),
        "started one a 10 s": Fleet(workers, ramp_s=10.0),
        "each lost every 2 h": Fleet(workers, hours_to_loss=2.0, again_s=180.0),
        "one write at a time": Fleet(workers, writes_at_once=1),
    }


# ---------------------------------------------------------------- checked against real runs


def check(model: str, counts: tuple[int, ...], seconds: float) -> bool:
    environ = os.environ | {"AUTORAG_WHISPER_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="fleet-") as name:
        folder = Path(name)
        costs = measured(folder, model, seconds, environ)
        print(json.dumps({"measured": asdict(costs)}))
        good = True
        for count in counts:
            for processes in (1, 2):
                for minutes in (1.0, 4.0):
                    plan, lengths, sizing = planned(folder, count, seconds, minutes, costs)
                    shards = shard_seconds(lengths, costs, sizing, 1)
                    predicted = simulate(shards, Fleet(processes), costs).wall_s
                    real = real_s(plan, folder / f"out-{time.monotonic_ns()}", processes, model, environ)
                    off = predicted / real - 1
                    good = good and abs(off) <= WITHIN
                    print(
                        json.dumps(
                            {
                                "clips": count,
                                "processes": processes,
                                "shards": len(shards),
                                "real_s": round(real, 1),
                                "predicted_s": round(predicted, 1),
                                "off": round(off, 3),
                            }
                        ),
                        flush=True,
                    )
    return good


def planned(
    folder: Path, count: int, seconds: float, minutes: float, costs: Costs
) -> tuple[Path, np.ndarray[Any, np.dtype[np.float64]], Sizing]:
    clips = folder / f"clips-{count}"
    if not clips.is_dir():
        cut_clips(DEMO, clips, count, seconds)
    # A device is taken for slower than it is, so that few clips make several shards.
    sizing = Sizing(minutes, costs.speed / 20, 0.0)
    plan = folder / f"plan-{count}-{minutes}.jsonl"
    options = ("--shard-minutes", str(minutes), "--speed", str(sizing.speed))
    if not plan.exists():
        assert run("archive", "plan", clips, "-o", plan, *options)["code"] == 0
    return plan, np.full(count, seconds), sizing


def measured(folder: Path, model: str, seconds: float, environ: dict[str, str]) -> Costs:
    """From runs of one process: nothing to do but to start, and clips of two lengths."""
    walls = {}
    for count, length in ((2, seconds), (42, seconds), (42, seconds * 2)):
        clips, plan = folder / f"m-{count}-{length}", folder / f"m-{count}-{length}.jsonl"
        cut_clips(DEMO, clips, count, length)
        assert run("archive", "plan", clips, "-o", plan, "--shard-minutes", "10")["code"] == 0
        walls[count, length] = real_s(plan, folder / f"m-out-{count}-{length}", 1, model, environ)
    short = (walls[42, seconds] - walls[2, seconds]) / 40
    long = (walls[42, seconds * 2] - walls[2, seconds]) / 42
    speed = seconds / max(long - short, 0.1 * long)
    each_s = max(0.0, short - seconds / speed)
    return Costs(walls[2, seconds] - 2 * short, speed, each_s, 0.0, 0.0, 0.01)


def real_s(plan: Path, out: Path, processes: int, model: str, environ: dict[str, str]) -> float:
    began = time.monotonic()
    command = [*COMMAND, "archive", "run", str(plan), "-o", str(out), "-m", model, "-q"]
    going = [subprocess.Popen(command, env=environ) for _ in range(processes)]
    assert all(process.wait() in (0, 3) for process in going)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("answers", "check"))
    parser.add_argument("--start-s", type=float, default=2.0)
    parser.add_argument("--speed", type=float, default=15.0)
    parser.add_argument("--each-s", type=float, default=0.03)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--counts", type=int, nargs="+", default=[80, 160])
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    if given.what == "answers":
        answers(Costs(given.start_s, given.speed, given.each_s))
    elif not check(given.model, tuple(given.counts), given.seconds):
        sys.exit(1)


if __name__ == "__main__":
    main()
