"""`python -m benchmarks.fleet costs -o FILE`: what one process of one thread costs here, measured, as JSON.

`... answers --costs FILE`: what a fleet needs for 1e5 to 1e8 recordings, as tables in Markdown.
`... plots --costs FILE -o FOLDER`: the same as pictures (needs the extra `bench`).
`... check`: measures the costs, predicts runs of few and many clips by one and two processes, makes these runs, and
ends with 1 where a prediction is off by more than 15 %. `--by cpu` compares seconds of the processor, which hold beside
other work, too; `--by wall` those of the clock, with a run whose second process comes later.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from autorag_whisper.archive.sharded.cutting import Sizing
from benchmarks.archive import DEMO, cut_clips, machine, run
from benchmarks.fleet.costs import measure, seconds_of
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
        for name, fleet in fleets(workers).items():
            one = simulate(shards, fleet, costs)
            rows.append([f"{minutes:.0f} min", name, hours(one.wall_s), f"{one.tail_s / 60:.1f} min", f"{one.busy:.0%}",
                         str(one.lost), f"{one.waited_s / 60:.1f} min"])  # fmt: skip
    head = ["shard", "fleet", "wall", "since the first was idle", "busy", "lost workers", "waited for storage"]
    table(f"What bites: 1e5 recordings on {workers} workers", head, rows)


def fleets(workers: int) -> dict[str, Fleet]:
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


def check(given: argparse.Namespace) -> bool:
    environ = os.environ | {"AUTORAG_WHISPER_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="fleet-") as name:
        folder = Path(name)
        found = measure(folder, given.source, given.seconds, given.model, given.by, environ)
        print(json.dumps({"measured": found.facts()}), flush=True)
        good = True
        for count in given.counts:
            plan, sizing = planned(folder, given.source, count, given.seconds, found.costs)
            shards = shard_seconds(np.full(count, given.seconds), found.costs, sizing, 1)
            fleets = [Fleet(1), Fleet(2, shares=given.by == "cpu", per_machine=2)]
            if given.by == "wall":
                fleets.append(Fleet(2, ramp_s=20.0, per_machine=2))
            for fleet in fleets:
                predicted = simulate(shards, fleet, found.costs).over_s
                out = folder / f"out-{time.monotonic_ns()}"
                starts = [n * fleet.ramp_s for n in range(fleet.workers)]
                real = seconds_of(plan, out, given.model, given.by, environ, starts)
                off = predicted / real - 1
                good = good and abs(off) <= WITHIN
                print(json.dumps({"clips": count, "processes": fleet.workers, "second_after_s": fleet.ramp_s,
                                  "shards": len(shards), "real_s": round(real, 1), "predicted_s": round(predicted, 1),
                                  "off": round(off, 3)}), flush=True)  # fmt: skip
    return good


def planned(folder: Path, source: Path, count: int, seconds: float, costs: Costs) -> tuple[Path, Sizing]:
    cut_clips(source, folder / f"clips-{count}", count, seconds)
    # A device is taken for slower than it is, so that few clips make several shards.
    sizing = Sizing(1.0, costs.speed / max(1.0, 8 * 60 / (count * seconds / costs.speed)), 0.0)
    plan = folder / f"plan-{count}.jsonl"
    options = ("--shard-minutes", "1", "--speed", str(sizing.speed))
    assert run("archive", "plan", folder / f"clips-{count}", "-o", plan, *options)["code"] == 0
    return plan, sizing


def costs_of(given: argparse.Namespace) -> Costs:
    """Those of a file that `costs` wrote, or of the command line."""
    if given.costs is None:
        return Costs(given.start_s, given.speed, given.each_s)
    return Costs(**json.loads(given.costs.read_text())["costs"])


def write_costs(given: argparse.Namespace) -> None:
    environ = os.environ | {"AUTORAG_WHISPER_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="fleet-") as name:
        found = measure(Path(name), given.source, given.seconds, given.model, given.by, environ).facts()
    text = json.dumps(found | machine(), indent=1)
    print(text)
    if given.output is not None:
        given.output.write_text(text + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("costs", "answers", "plots", "check"))
    parser.add_argument("--costs", type=Path, help="a file that `costs` wrote; else:")
    parser.add_argument("--start-s", type=float, default=2.0)
    parser.add_argument("--speed", type=float, default=15.0)
    parser.add_argument("--each-s", type=float, default=0.03)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--source", type=Path, default=DEMO, help="a recording that clips are cut of")
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--by", choices=("cpu", "wall"), default="cpu")
    parser.add_argument("--counts", type=int, nargs="+", default=[42, 1200])
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    if given.what == "costs":
        write_costs(given)
    elif given.what == "answers":
        answers(costs_of(given))
    elif given.what == "plots":
        from benchmarks.fleet.plots import plot

        plot(costs_of(given), given.output or Path())
    elif not check(given):
        sys.exit(1)


if __name__ == "__main__":
    main()
