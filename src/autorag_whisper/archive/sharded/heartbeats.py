"""Signs of life of a cluster's actors, in the folder that all share: files that are touched, which a driver looks at.

    OUT/base-3f2a90c1b7de/beats/node1-4711-at-work     every ten seconds while this process has a shard in work
    OUT/base-3f2a90c1b7de/beats/node1-4711-gets-on     when a recording got on, at most every ten seconds

Results are a sign as well. Who is at work and does not get on is stuck; where nobody is at work, and there is work, the
cluster has lost it.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

FOLDER = "beats"
AT_WORK, GETS_ON = "at-work", "gets-on"
BEAT_S = 10.0


class Heartbeats:
    """Those of one process, given from any thread. `who`: its host and number. `clock`: seconds of any origin."""

    def __init__(self, results: Path, who: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._who, self._clock = results / FOLDER, who.replace(":", "-"), clock
        self._told_s = -math.inf

    @contextmanager
    def at_work(self, every_s: float = BEAT_S) -> Iterator[None]:
        """A shard is in work: a thread says so, whatever the shard does meanwhile."""
        over = threading.Event()
        threading.Thread(target=self._tell_until, args=(over, every_s), name="at-work", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def gets_on(self) -> None:
        """Part of a recording is done."""
        if (now_s := self._clock()) - self._told_s >= BEAT_S:
            self._told_s = now_s
            self._touch(GETS_ON)

    def _tell_until(self, over: threading.Event, every_s: float) -> None:
        self._touch(AT_WORK)
        while not over.wait(every_s):
            self._touch(AT_WORK)

    def _touch(self, what: str) -> None:
        with suppress(OSError):  # a disk that is full is told by results that cannot be kept
            self._folder.mkdir(exist_ok=True)
            (self._folder / f"{self._who}-{what}").touch()


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in a folder of results: each changes with its signs, and means nothing beside another's.

    `done`: results were written, or a recording got on. `at_work`: a process has a shard in work.
    """

    done: tuple[int, int]
    at_work: tuple[int, int]


def look(results: Path) -> Seen:
    """Look at a folder of results for signs of life."""
    beats = results / FOLDER
    marks = list(beats.iterdir()) if beats.is_dir() else []
    get_on = [mark for mark in marks if mark.name.endswith(GETS_ON)]
    return Seen(_stamp((*(results / "parts").iterdir(), *get_on)), _stamp(set(marks).difference(get_on)))


def _stamp(places: Iterable[Path]) -> tuple[int, int]:
    times = [place.stat().st_mtime_ns for place in places]
    return len(times), sum(times)
