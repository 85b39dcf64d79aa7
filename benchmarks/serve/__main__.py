"""`python -m benchmarks.serve PART...`: what the service does under load, and other servers beside it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.serve import parts
from benchmarks.serve.parts import Plan
from benchmarks.serve.peers import CHOICES, ROOT
from benchmarks.serve.soak import soak
from benchmarks.serve.tables import markdown, put_into

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KIT = Path(os.environ.get("AUTORAG_WHISPER_KIT") or ROOT.parent / "shared" / "kit")


def main() -> None:
    """Measure what is asked for, and say it as a table; `--json` keeps the figures."""
    parser = _parser()
    given = parser.parse_args()
    if given.readme and "throughput" not in given.parts:
        parser.error("--readme needs throughput")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers are ended on the way out
    plan = Plan(**{field.name: getattr(given, field.name) for field in fields(Plan)})
    measurements: Mapping[str, Callable[[Plan], dict[str, Any]]] = {
        "latency": parts.latency,
        "throughput": parts.throughput,
        "beside-a-long-job": parts.beside_a_long_job,
        "first-delta": parts.first_delta,
        "shutdown": parts.shutdown,
        "soak": lambda plan: soak(plan, given.minutes),
    }
    found: dict[str, Any] = {"about": _about(plan)}
    for name in given.parts:
        found[name] = measurements[name](plan)
        print(json.dumps({name: found[name]}), file=sys.stderr)
        if given.json:
            given.json.write_text(json.dumps(found, indent=1) + "\n")
        if given.readme and name == "throughput":
            given.readme.write_text(put_into(given.readme.read_text(encoding="utf-8"), found), encoding="utf-8")
    print(markdown(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=__doc__)
    names = ("latency", "throughput", "beside-a-long-job", "first-delta", "shutdown", "soak")
    parser.add_argument("parts", nargs="+", choices=names)
    parser.add_argument("--json", type=Path, help="where the figures are kept")
    parser.add_argument("--readme", type=Path, help="which gets the table of servers (with `throughput`)")
    parser.add_argument("--kit", type=Path, default=KIT)
    parser.add_argument("--model", default=Plan.model)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--clients", type=int, default=Plan.clients)
    parser.add_argument("--rounds", type=int, default=Plan.rounds, help="turns of each server")
    parser.add_argument("--count", type=int, default=Plan.count, help="requests in a turn, or pairs")
    parser.add_argument(
        "--turn-s", type=float, default=Plan.turn_s, help="after which a server gets no more in its turn"
    )
    parser.add_argument("--language", default="", help="told, and clips of it alone; default: all, to be detected")
    parser.add_argument("--pause-s", type=float, default=Plan.pause_s)
    parser.add_argument("--long-file", default=Plan.long_file)
    parser.add_argument("--minutes", type=float, default=3.0, help="of the soak")
    parser.add_argument(
        "--servers",
        type=_servers,
        default=Plan.servers,
        help=f"of {', '.join(CHOICES)}; ours is compared with the rest",
    )
    return parser


def _servers(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(CHOICES):
        raise argparse.ArgumentTypeError(f"no server {', '.join(sorted(unknown))}")
    return names


def _about(plan: Plan) -> dict[str, Any]:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "model": f"{plan.model}, int8, {plan.threads} threads",
        "commit": commit,
    }


if __name__ == "__main__":
    main()
