"""When a worker process is ended, begun anew, or given up: a pure function whose answer has a reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker process may do. Seconds and bytes.

    `silent_s`: without a sign of life (it is stopped, or the machine is stuck); `stalled_s`: without a chunk of any job
    or a second of audio of one of them done, though it lives; `memory_bytes`: resident, 0 for no limit; `idle_s`:
    without a job, None for ever; `strikes`: deaths of a process that had nothing but that file in hand, and no chunk of
    it done in between, after which the file is taken for poison; `deaths`: the same, whatever was done in between;
    `trial_s`: how long other jobs wait, after a death, for a file that may be at fault to get on. Raises InvalidOption.
    """

    silent_s: float = 15.0
    stalled_s: float = 600.0
    memory_bytes: int = 0
    idle_s: float | None = 300.0
    start_s: float = 120.0
    strikes: int = 2
    deaths: int = 10
    trial_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("silent_s", "stalled_s", "start_s"):
            _check(name, getattr(self, name), getattr(self, name) > 0, "seconds above 0")
        for name in ("idle_s", "trial_s"):
            value = getattr(self, name)
            _check(name, value, (value is None and name == "idle_s") or (value is not None and value >= 0), "seconds")
        for name in ("strikes", "deaths"):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "1 or more")
        _check("memory_bytes", self.memory_bytes, self.memory_bytes >= 0, "bytes, or 0 for no limit")


def _check(name: str, value: object, is_good: bool, allowed: str) -> None:
    if not is_good:
        raise InvalidOption(f"limit {name}", value, allowed)


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
    """A process at a moment: seconds since it said anything, since its jobs got on, since its last job (None: it has
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
    """The files of a job that go to a process together: one that may be at fault for a death goes alone."""

    files: tuple[int, ...]
    poisoned: tuple[int, ...] = ()


def next_round(
    left: tuple[int, ...],
    strikes: dict[int, int],
    deaths: dict[int, int],
    limits: Limits,
    suspects: Collection[int] = (),
) -> Round:
    """Which of the files `left` go next, after processes have died with some of them in hand.

    `strikes`, `deaths`: by file, as `Limits` counts them. Who has one, or is one of the `suspects`, goes alone: if the
    process dies again with nothing else in hand, it was that file.
    """
    poisoned = tuple(
        file for file in left if strikes.get(file, 0) >= limits.strikes or deaths.get(file, 0) >= limits.deaths
    )
    well = tuple(file for file in left if file not in poisoned)
    alone = tuple(file for file in well if strikes.get(file, 0) or file in suspects)
    return Round(alone[:1] or well, poisoned)


def probation(crashes: int) -> int:
    """Chunks that a file has to get done before it is no suspect any more, after so many deaths with it in hand.

    It doubles: so a file that kills late, beside others each time, brings few processes down, and a machine that does
    not bear several files at once ends up with one after the other.
    """
    return int(2 ** max(0, crashes - 1))


@dataclass(frozen=True, slots=True)
class Standing:
    """A job that is on in the process, or waits for that.

    `is_suspect`: one of its files may be at fault for a death. `was_on_trial`: it was the last to join when the process
    died, so it most likely is. `on_s`: for how long it has been on.
    """

    is_on: bool
    is_suspect: bool = False
    was_on_trial: bool = False
    on_s: float = 0.0


def admitted(jobs: Sequence[Standing], limits: Limits) -> tuple[int, ...]:
    """Which of the waiting jobs, by their place, go to the process now.

    All of them, where nobody is suspect. Else the suspects one by one, whoever most likely killed first and so with
    nothing else in hand; the next one joins those that have got on, or did nothing for long, and everybody else joins
    when all have.
    """
    if any(job.is_on and job.is_suspect and job.on_s < limits.trial_s for job in jobs):
        return ()
    waiting = [place for place, job in enumerate(jobs) if not job.is_on]
    suspects = sorted((place for place in waiting if jobs[place].is_suspect), key=lambda n: not jobs[n].was_on_trial)
    return tuple(suspects[:1] or waiting)
