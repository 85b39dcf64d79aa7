"""Run the property tests with new random seeds for some minutes: `make explore`.

    make explore MINUTES=15        # 5 if not given
    make explore SEED=1234         # the same examples in the same order as the run that printed this seed

One pass after the other over every test that draws examples, each with a seed of its own, until the time is over or a
pass has found something: exit status 1. Then the output holds the counter-example, the command that repeats it, and a
patch that adds it to its test where it can be written as `@example` (CONTRIBUTING.md).

A test that hangs is no find and does not hold anybody up: it is stopped GRACE_S behind the end. Where it was is in the
output, as for every test that takes more than SLOW_S.
"""

from __future__ import annotations

import argparse
import itertools
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer

ROOT = Path(__file__).resolve().parents[1]
GRACE_S = 90.0
"""What a test may take beyond the end: to finish its examples, or to make the one that fails smaller."""
SLOW_S = 120


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=None, help="of the first pass; the next ones count on")
    parser.add_argument("--passes", type=int, default=0, help="no more than so many; 0: as many as there is time for")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--grace", type=float, default=GRACE_S, help="seconds for a test that runs at the end")
    parser.add_argument("tests", nargs="*", default=["tests"])
    given = parser.parse_args()
    until = time.time() + 60 * given.minutes
    seed = secrets.randbelow(2**32) if given.seed is None else given.seed
    for number in itertools.count(1):
        print(f"explore: seed {seed}, {max(0.0, until - time.time()):.0f} s left", flush=True)
        status = one_pass(given, seed, until)
        if status is not None or number == given.passes:
            return status or 0
        seed += 1
    raise AssertionError("passes end")


def one_pass(given: argparse.Namespace, seed: int, until: float) -> int | None:
    """Every property test once, with this seed; the exit status, or None if time is left and nothing was found."""
    spread = ["-n", str(given.processes), "--dist", "loadfile"]
    limits = ["--until", str(until), "-o", f"faulthandler_timeout={SLOW_S}", "--timeout", "0"]
    process = subprocess.Popen(
        [*command_of(seed), *spread, *limits, "-q", "--tb=no", "-rfE", "-m", "hypothesis and not slow", *given.tests],
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests"), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    was_stopped = []

    def stop() -> None:
        was_stopped.append(process.pid)
        os.killpg(process.pid, signal.SIGKILL)

    timer = Timer(until - time.time() + given.grace, stop)
    timer.start()
    found = dict[str, None]()
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        if line.startswith(("FAILED ", "ERROR ")):
            found[line.split(" ")[1].strip()] = None
    status = process.wait()
    timer.cancel()
    if found:
        for test in found:
            print(f"explore: to repeat it: {shlex.join([*command_of(seed), test])}")
        print("explore: to keep it: CONTRIBUTING.md, Tests")
        return 1
    if was_stopped:
        print(f"explore: a test was stopped {given.grace:.0f} s after the end; nothing was found before")
        return 0
    if status:
        return status
    return 0 if time.time() > until else None


def command_of(seed: int) -> list[str]:
    python = os.path.relpath(sys.executable)
    seeds = [f"--hypothesis-seed={seed}", f"--randomly-seed={seed}"]
    return [python, "-m", "pytest", "-p", "exploring", "--hypothesis-profile=explore", *seeds]


if __name__ == "__main__":
    sys.exit(main())
