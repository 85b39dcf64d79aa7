"""A fleet over an archive in shards, event by event. Pure: all chance comes from a seed.

Workers come up one after another, load the model, and take shards from the front of the plan (or have a share of their
own each). A worker may be lost: what it had in hand is lost with it, what it had kept is not; another one comes up in
its place. The storage takes so many writes a second, which all workers share.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.archive.sharded.cutting import Sizing, cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


_KEPT_EVERY_S = 2.0
"""How much work the loss of a worker costs at most."""
_READING = 0.05
"""Of the time that a shard's work takes: reading it ahead, by which workers that start together have equal parts."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured on one worker.

    `start_s`: from the command to the model in memory. `speed`: audio seconds recognised in a second. `each_s`: for a
    recording whatever its length. `shard_s`: for a shard whatever is in it (the last batches, joining its parts).
    `spread`: standard deviation of the logarithm of a recording's time over what its length says. `write_s`: of the
    storage for one part. `beside`: by what part each other worker that is at work on the same machine makes it slower
    (they share cores, caches and memory). `ahead_s`: how much work a worker has in hand at least while there is some:
    it reads ahead, and whoever comes later finds that taken.
    """

    start_s: float
    speed: float
    each_s: float = 0.0
    shard_s: float = 0.0
    spread: float = 0.2
    write_s: float = 0.02
    beside: float = 0.0
    ahead_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """Who does it.

    `workers`: at a time. `ramp_s`: between the starts of two workers. `hours_to_loss`: mean of a worker's life; inf:
    none is lost. `again_s`: until another is there in its place. `unevenness`: standard deviation of the logarithm of
    workers' speeds. `shares`: each worker has every n-th shard, in place of who is free taking the next.
    `writes_at_once`: how many parts the storage takes at a time; 0: any number. `per_machine`: workers on each.
    """

    workers: int
    ramp_s: float = 0.0
    hours_to_loss: float = math.inf
    again_s: float = 60.0
    unevenness: float = 0.0
    shares: bool = False
    writes_at_once: int = 0
    per_machine: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """`wall_s` until the last shard is done; `over_s` until every worker has found that nothing is left. `tail_s`: of
    `wall_s`, since the first worker found nothing to do.

    `busy`: the share of the workers' time in which recordings were recognised and kept. `lost`: workers. `lost_s`: work
    that was done again. `waited_s`: for the storage, all workers together.
    """

    shards: int
    wall_s: float
    tail_s: float
    busy: float
    lost: int
    lost_s: float
    waited_s: float
    over_s: float


def durations(count: int, mean_s: float, seed: int, spread: float = 1.2) -> NDArray[np.float64]:
    """Lengths of recordings as archives have them: lognormal, with a long tail of hours."""
    drawn = np.random.default_rng(seed).lognormal(0.0, spread, count).clip(0.02, 60)
    return drawn * (mean_s / drawn.mean())


def shard_seconds(lengths: NDArray[np.float64], costs: Costs, sizing: Sizing, seed: int) -> NDArray[np.float64]:
    """What each shard costs a worker of speed 1, in the order of the plan, when it is cut as `archive plan` does."""
    order, shards = cut(sizing.costs_s(lengths), sizing.shard_minutes * 60)
    chance = np.random.default_rng(seed)
    noise = np.exp(chance.normal(0.0, costs.spread, len(lengths)) - costs.spread**2 / 2)
    real = lengths[order] / costs.speed * noise + costs.each_s
    return np.bincount(shards, weights=real) + costs.shard_s


def many_shard_seconds(count: int, mean_s: float, costs: Costs, sizing: Sizing, seed: int) -> NDArray[np.float64]:
    """As `shard_seconds`, for so many recordings that a sample stands for all: its shards, drawn again and again."""
    sample = shard_seconds(durations(200_000, mean_s, seed), costs, sizing, seed)
    shards = max(1, round(len(sample) * count / 200_000))
    return np.random.default_rng(seed).choice(sample, shards)


class _Storage:
    """So many writes at a time: when a write that is asked for now will be over."""

    def __init__(self, at_once: int, write_s: float) -> None:
        self._write_s, self._free = write_s, [0.0] * at_once

    def done_at(self, now_s: float) -> float:
        if not self._free:
            return now_s + self._write_s
        begin = max(now_s, self._free[0])
        heapq.heapreplace(self._free, begin + self._write_s)
        return begin + self._write_s


@dataclass(slots=True)
class _Worker:
    """`own`: shards it has taken and not begun. `reads`: one more is on its way; `has_all`: none is left to take."""

    slow: float
    dies_s: float
    own: deque[int] = field(default_factory=deque)
    in_hand_s: float = 0.0
    reads: bool = False
    has_all: bool = False


def simulate(shards: NDArray[np.float64], fleet: Fleet, costs: Costs, seed: int = 1) -> Outcome:
    """Run a fleet over shards."""
    chance = np.random.default_rng(seed)
    slow = np.exp(chance.normal(0.0, fleet.unevenness, fleet.workers)) if fleet.unevenness else np.ones(fleet.workers)
    storage, queues, left = _Storage(fleet.writes_at_once, costs.write_s), _queues(len(shards), fleet), shards.tolist()
    machines, read_s = _Machines(fleet, costs.beside), _READING * float(shards.mean())
    starts = [n * fleet.ramp_s + costs.start_s * machines.slower(n, n * fleet.ramp_s) for n in range(fleet.workers)]
    workers = [_Worker(slow[n], _life(chance, fleet) + start_s) for n, start_s in enumerate(starts)]
    events = [(start_s, n, False) for n, start_s in enumerate(starts)]  # when, who, whether a shard was read
    heapq.heapify(events)
    wall_s = busy_s = lost_s = waited_s = over_all_s = 0.0
    first_idle_s, lost = math.inf, 0
    while events:
        now_s, n, is_read = heapq.heappop(events)
        worker = workers[n]
        if is_read:
            worker.reads, shard = False, next(queues[n if fleet.shares else 0], None)
            worker.has_all = shard is None
            worker.own.extend(() if shard is None else (shard,))
        else:
            worker.in_hand_s = 0.0
        if worker.own and not worker.in_hand_s:
            work_s = worker.in_hand_s = left[worker.own.popleft()] * worker.slow * machines.slower(n, now_s)
            done_s, worked_s, again_s, dead = _worked(worker, now_s, work_s, fleet, costs.start_s, chance)
            over_s = storage.done_at(done_s)
            busy_s, lost_s, lost = busy_s + worked_s, lost_s + again_s, lost + dead
            waited_s += over_s - done_s - costs.write_s
            wall_s = max(wall_s, over_s)
            heapq.heappush(events, (over_s, n, False))
        held_s = worker.in_hand_s + sum(left[shard] for shard in worker.own)
        if not worker.reads and not worker.has_all and (not held_s or held_s < costs.ahead_s):
            worker.reads = True
            heapq.heappush(events, (now_s + (read_s if held_s else 0.0), n, True))
        if worker.has_all and not held_s:
            first_idle_s, over_all_s = min(first_idle_s, now_s), max(over_all_s, now_s)
            machines.ends(n)
    tail_s = max(0.0, wall_s - first_idle_s) if math.isfinite(first_idle_s) else 0.0
    return Outcome(len(shards), wall_s, tail_s, busy_s / (wall_s * fleet.workers), lost, lost_s, waited_s, over_all_s)


def _worked(
    worker: _Worker, now_s: float, work_s: float, fleet: Fleet, start_s: float, chance: np.random.Generator
) -> tuple[float, float, float, int]:
    """Do so much work from now on, with whoever comes in the place of workers that are lost, behind what was kept.

    When it is done, how long it was worked at, how much of that for the second time, and how many were lost.
    """
    worked_s = again_s = 0.0
    lost = 0
    while worker.dies_s < now_s + work_s:
        done_s = max(0.0, worker.dies_s - now_s)
        again = min(done_s, float(chance.uniform(0, _KEPT_EVERY_S)))
        worked_s, again_s, lost = worked_s + done_s - again, again_s + again, lost + 1
        work_s -= done_s - again
        now_s = worker.dies_s + fleet.again_s + start_s
        worker.dies_s = now_s + _life(chance, fleet)
    return now_s + work_s, worked_s + work_s, again_s, lost


class _Machines:
    """Who is at work beside whom: from its start until there is nothing left for it."""

    def __init__(self, fleet: Fleet, beside: float) -> None:
        self._fleet, self._beside = fleet, beside
        self._going = [True] * fleet.workers

    def slower(self, worker: int, now_s: float) -> float:
        """How many times as long something takes that a worker begins now."""
        first = worker - worker % self._fleet.per_machine
        those = range(first, min(first + self._fleet.per_machine, self._fleet.workers))
        others = sum(self._going[n] and n * self._fleet.ramp_s <= now_s for n in those if n != worker)
        return 1 + self._beside * others

    def ends(self, worker: int) -> None:
        self._going[worker] = False


def _queues(count: int, fleet: Fleet) -> list[Iterator[int]]:
    if not fleet.shares:
        return [iter(range(count))]
    return [iter(range(worker, count, fleet.workers)) for worker in range(fleet.workers)]


def _life(chance: np.random.Generator, fleet: Fleet) -> float:
    return math.inf if math.isinf(fleet.hours_to_loss) else float(chance.exponential(fleet.hours_to_loss * 3600))
