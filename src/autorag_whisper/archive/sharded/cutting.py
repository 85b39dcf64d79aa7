"""How recordings are cut into shards: as equal as can be, the longest first. Pure."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.domain.errors import InvalidOption

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORTEST_MINUTES, LONGEST_MINUTES = 1.0, 10.0

_BYTES_A_SECOND = {
    ".wav": 64_000, ".wave": 64_000, ".aif": 96_000, ".aiff": 96_000, ".au": 16_000, ".flac": 40_000,
    ".mp4": 150_000, ".mkv": 200_000, ".mov": 300_000, ".webm": 120_000, ".avi": 200_000, ".ts": 300_000,
    ".opus": 6_000, ".amr": 1_600,
}  # fmt: skip
"""By ending, of usual files. It decides how shards are cut, and nothing else."""
_OTHERS_BYTES_A_SECOND = 16_000
_UNKNOWN_S = 60.0


@dataclass(frozen=True, slots=True)
class Sizing:
    """How large shards are. Raises InvalidOption.

    `shard_minutes`: of a device's work in one shard, 1 to 10. `speed`: how many times faster than real time a device
    recognises. `each_s`: what a recording costs a device however short it is.
    """

    shard_minutes: float = 5.0
    speed: float = 10.0
    each_s: float = 0.05

    def __post_init__(self) -> None:
        if not SHORTEST_MINUTES <= self.shard_minutes <= LONGEST_MINUTES:
            raise InvalidOption("--shard-minutes", self.shard_minutes, "1 to 10 minutes of a device's work")
        if not (0 < self.speed < math.inf):
            raise InvalidOption("--speed", self.speed, "a number of times real time, such as bench measures")

    def costs_s(self, durations_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """What recordings cost a device, in seconds."""
        return durations_s / self.speed + self.each_s


def cut(costs_s: NDArray[np.float64], shard_s: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut recordings with these costs into shards of about `shard_s` each.

    Returns:
        The recordings' indices in the order of the plan: by shard, within a shard the dearest first.
        The shard of each, in that order, counted from 0: the dearest shard is 0.

    There are as few shards as hold all at `shard_s`; one that is dearer than that has a shard, however dear it is said
    to be: headers lie, and nobody cuts a recording. The dearest goes first, each to the shard with the least in it, so
    that no two differ by more than the cost of one recording that both could have.
    """
    count = max(1, math.ceil(float(np.minimum(costs_s, shard_s).sum()) / shard_s))
    dearest_first = np.argsort(-costs_s, kind="stable")
    loads = [(0.0, shard) for shard in range(count)]
    shards = np.empty(len(costs_s), np.int64)
    for index, cost in zip(dearest_first.tolist(), costs_s[dearest_first].tolist(), strict=True):
        load, shard = loads[0]
        shards[index] = shard
        heapq.heapreplace(loads, (load + cost, shard))
    rank = np.empty(count, np.int64)
    rank[[shard for _, shard in sorted(loads, key=lambda item: (-item[0], item[1]))]] = np.arange(count)
    ranked = rank[shards] if len(costs_s) else shards
    order = np.lexsort((-costs_s, ranked))  # stable: equal ones stay in the order in which they came
    return order, ranked[order]


def estimated_s(size_bytes: int | None, ending: str) -> float:
    """Seconds of a recording of which nobody knows how long it is, by its size and its ending (`.mp3`)."""
    if size_bytes is None:
        return _UNKNOWN_S
    return size_bytes / _BYTES_A_SECOND.get(ending.lower(), _OTHERS_BYTES_A_SECOND)
