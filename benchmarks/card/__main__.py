"""Run the steps that are not done yet, and write what was found as JSON and as a table.

    python -m benchmarks.card --work DIR [--device cuda] [--tiny] [--minutes 13] [--only NAME ...] [--again]

Exit code 0: all that ran is well; 1: something is not; 2: no card (with `--device cuda`).
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from benchmarks.card.day import Day, NotHereError
from benchmarks.card.steps import STEPS, Step

_LEFT_FOR_THE_END_S = 5.0
_TINY = 5
"""How much longer a step may take on a CPU that may be busy: there the limits are for a hang alone."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="models, recordings and results")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes with which a CPU is through in minutes")
    parser.add_argument("--minutes", type=float, default=13.0, help="no step begins that could end behind them")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this step alone; may be repeated")
    parser.add_argument("--again", action="store_true", help="also what was done before")
    parser.add_argument("--step", help=argparse.SUPPRESS)  # the child's
    given = parser.parse_args()
    given.work = given.work.absolute()
    if given.step:
        return _child(given)
    ends = time.monotonic() + 60 * given.minutes
    for step in STEPS:
        if given.only and step.name not in given.only:
            continue
        state = given.work / "done" / f"{STEPS.index(step):02}.json"
        if state.exists() and not given.again:
            continue
        left_s = ends - time.monotonic() - _LEFT_FOR_THE_END_S
        if left_s < min(step.limit_s, 30):
            print(f"no time is left for: {step.name}", file=sys.stderr)
            continue
        outcome = _run(step, given, min(step.limit_s * (_TINY if given.tiny else 1), left_s))
        state.parent.mkdir(parents=True, exist_ok=True)
        state.write_text(json.dumps(outcome), encoding="utf-8")
        _write(given.work)
    return _write(given.work)


def _run(step: Step, given: argparse.Namespace, limit_s: float) -> dict[str, Any]:
    """The step in a process of its own: a crash, a hang or a spoilt context of CUDA is that process's alone."""
    command = [sys.executable, "-m", "benchmarks.card", "--work", str(given.work), "--device", given.device]
    command += ["--step", step.name, *(["--tiny"] if given.tiny else [])]
    day = Day(given.device, given.work, step.name, given.tiny)
    day.forget()
    began = time.monotonic()
    try:
        code = subprocess.run(command, timeout=limit_s, check=False).returncode
    except subprocess.TimeoutExpired:
        code = -1
        day.tell("time", f"not through after {limit_s:.0f} s", ok=False)
    took_s = time.monotonic() - began
    if code not in (-1, 0):
        day.tell("end", f"exit code {code}", ok=False)
    print(f"{step.name}: {took_s:.1f} s", file=sys.stderr, flush=True)
    return {"step": step.name, "took_s": round(took_s, 1), "exit": code}


def _child(given: argparse.Namespace) -> int:
    step = next(step for step in STEPS if step.name == given.step)
    module, _, function = step.function.partition(":")
    day = Day(given.device, given.work, step.name, given.tiny)
    try:
        getattr(importlib.import_module(f"benchmarks.card.{module}"), function)(day)
    except NotHereError as reason:
        day.skip("all of it", str(reason))
    except Exception as error:  # noqa: BLE001 - whatever a step dies of is its finding
        traceback.print_exc()
        day.tell("end", f"{type(error).__name__}: {error}"[:300], ok=False)
    return 0


def _write(work: Path) -> int:
    """`card.json` and `card.md` of everything that is known; 1 if something is not as it should be."""
    files = sorted((work / "results").glob("*.jsonl"), key=lambda file: file.stat().st_mtime)
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    order = {step.name: n for n, step in enumerate(STEPS)}
    rows.sort(key=lambda row: order[row["step"]])
    done = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((work / "done").glob("*.json"))]
    goals = {step.name: step.goal for step in STEPS}
    (work / "card.json").write_text(
        json.dumps({"rows": rows, "steps": done}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    lines = ["| step | goal | what | found | verdict |", "|---|---|---|---|---|"]
    lines += [f"| {r['step']} | {goals[r['step']]} | {r['what']} | {r['found']} | {r['verdict']} |" for r in rows]
    (work / "card.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 1 if any(row["verdict"] == "MISSED" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
