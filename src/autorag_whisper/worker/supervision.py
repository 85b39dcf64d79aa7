"""When a worker process is ended, begun anew, or given up: a pure function whose answer has a reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker process may do. Seconds and bytes.

    `silent_s`: without a sign of life (it is stopped, or the machine is stuck); `stalled_s`: without a chunk or a
    second of audio done, though it lives; `memory_bytes`: resident, 0 for no limit; `idle_s`: without a job, None for
    ever; `strikes`: deaths of a process with a file in hand, and no chunk of it done in between, after which that file
    is taken for poison; `deaths`: the same, whatever was done in between.
    """

    silent_s: float = 15.0
    stalled_s: float = 600.0
    memory_bytes: int = 0
    idle_s: float | None = 300.0
    start_s: float = 120.0
    strikes: int = 2
    deaths: int = 10


class Act(StrEnum):
    """What to do with a process."""

    GO_ON = "go on"
    KILL = "kill"
    """It is stuck: no question will be answered. The job goes on in a new one."""
    REPLACE = "replace"
    """End it at its next batch, and go on in a new one."""
    END = "end"
    """End it: nobody needs it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A process at a moment: seconds since it said anything, since its job got on, since its last job (None: it has
    one), since it was started, and its resident bytes. `is_ready`: it has been heard of at all. `broken`: why nothing
    that it does on its card can work any more; "" if that is not so."""

    silent_s: float = 0.0
    stalled_s: float = 0.0
    idle_s: float | None = None
    since_start_s: float = 0.0
    resident_bytes: int = 0
    is_ready: bool = True
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, and why."""

    act: Act
    reason: str = ""


def judge(seen: Seen, limits: Limits) -> Verdict:
    """What to do with a process that is running."""
    if not seen.is_ready:
        if seen.since_start_s > limits.start_s:
            return Verdict(Act.KILL, f"it did not start within {limits.start_s:g} s")
        return Verdict(Act.GO_ON)
    if seen.silent_s > limits.silent_s:
        return Verdict(Act.KILL, f"no sign of life for {seen.silent_s:.0f} s")
    if seen.idle_s is not None:
        if seen.broken:
            return Verdict(Act.END, f"its context on the card is broken: {seen.broken}")
        if limits.idle_s is not None and seen.idle_s >= limits.idle_s:
            return Verdict(Act.END, f"idle for {seen.idle_s:.0f} s")
        return Verdict(Act.GO_ON)
    if seen.stalled_s > limits.stalled_s:
        return Verdict(Act.KILL, f"it lives, but nothing was done for {seen.stalled_s:.0f} s")
    if seen.broken:
        return Verdict(Act.REPLACE, f"its context on the card is broken: {seen.broken}")
    if limits.memory_bytes and seen.resident_bytes > limits.memory_bytes:
        grown, limit = seen.resident_bytes >> 20, limits.memory_bytes >> 20
        return Verdict(Act.REPLACE, f"it has grown to {grown} MiB, the limit is {limit}")
    return Verdict(Act.GO_ON)


@dataclass(frozen=True, slots=True)
class Round:
    """The files of a job that go to the next process: those that may be at fault for a death go alone."""

    files: tuple[int, ...]
    poisoned: tuple[int, ...] = ()


def next_round(left: tuple[int, ...], strikes: dict[int, int], deaths: dict[int, int], limits: Limits) -> Round:
    """Which of the files `left` go next, after processes have died with some of them in hand.

    `strikes`, `deaths`: by file, as `Limits` counts them. A suspect goes alone: if the process dies again, it was that
    file.
    """
    poisoned = tuple(
        file for file in left if strikes.get(file, 0) >= limits.strikes or deaths.get(file, 0) >= limits.deaths
    )
    well = tuple(file for file in left if file not in poisoned)
    suspects = tuple(file for file in well if strikes.get(file, 0))
    return Round(suspects[:1] or well, poisoned)
