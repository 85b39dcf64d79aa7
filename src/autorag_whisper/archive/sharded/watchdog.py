"""The wait for what a cluster says of a run, which ends where nothing goes on.

Two things end it. Nobody who was at work gives a sign of life: the cluster has lost the work, or those who had it hang
(a node that does not answer; a task that Ray waits for although its process is gone). And nothing gets on, whoever is
at work. Both count looks at the results, not seconds: a driver that was itself stopped has not waited.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autorag_whisper.archive.sharded.heartbeats import Seen, look
from autorag_whisper.domain.archive_errors import ClusterStuck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

PATIENCE_LOOKS = 360
"""Looks at the results without a change, until a run counts as stuck."""
SILENT_S = 120.0
"""Without a sign of life of anybody, until what was in work counts as lost. A sign comes every ten seconds, and a
network's file system may show it a minute later."""


class ActorsSilent(Exception):  # noqa: N818 - it says what is so, as our other errors do
    """Nobody who was at work gives a sign of life, for so many seconds. `got_on`: something was done before that."""

    def __init__(self, waited_s: float, *, got_on: bool) -> None:
        super().__init__(f"no engine gives a sign of life for {waited_s:.0f} s")
        self.waited_s, self.got_on = waited_s, got_on


@dataclass(frozen=True, slots=True)
class Patience:
    """`look_s`: between two looks at `results`. `silent`: looks without a sign of life, `stuck`: without progress."""

    results: Path
    look_s: float
    silent: int
    stuck: int = PATIENCE_LOOKS
    look: Callable[[Path], Seen] = field(default=look)


class _Waited:
    """What was seen since something last came, in looks."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._before: Seen | None = None
        self._stuck = self._silent = 0
        self._somebody = False  # was at work since the wait began: until then there may be no machine yet
        self._got_on = False
        self.look()

    def came(self) -> None:
        self._stuck = self._silent = 0
        self._somebody = self._got_on = True

    def look(self) -> None:
        """Raises ActorsSilent, ClusterStuck, and OSError where the results could not be looked at for so long."""
        try:
            now = self._patience.look(self._patience.results)
        except OSError:  # a disk that does not answer says nothing of anybody
            self._stuck += 1
            if self._stuck >= self._patience.stuck:
                raise
            return
        if self._before is None:
            self._before = now
            return
        gets_on, is_at_work = now.done != self._before.done, now != self._before
        self._stuck = 0 if gets_on else self._stuck + 1
        self._silent = 0 if is_at_work else self._silent + 1
        self._got_on, self._somebody, self._before = self._got_on | gets_on, self._somebody | is_at_work, now
        if self._stuck >= self._patience.stuck:
            raise ClusterStuck(self._stuck * self._patience.look_s)
        if self._somebody and self._silent >= self._patience.silent:
            raise ActorsSilent(self._silent * self._patience.look_s, got_on=self._got_on)


class Watched:
    """What comes of `begin`, read in a thread. Iterate it once.

    Raises ActorsSilent, ClusterStuck, and what `begin` raised.
    """

    def __init__(self, begin: Callable[[], Iterator[Mapping[str, Any]]], patience: Patience) -> None:
        self._begin, self._patience = begin, patience
        self._came: queue.SimpleQueue[Mapping[str, Any] | BaseException | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="ray-data", daemon=True)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        self._reader.start()
        waited = _Waited(self._patience)
        while True:
            try:
                said = self._came.get(timeout=self._patience.look_s)
            except queue.Empty:
                waited.look()
                continue
            waited.came()
            if said is None:
                return
            if isinstance(said, BaseException):
                raise said
            yield said

    def ends(self, timeout_s: float) -> bool:
        """Whether the thread ends within that time, once the cluster is left: it may hang."""
        self._reader.join(timeout_s)
        return not self._reader.is_alive()

    def _read(self) -> None:
        try:
            for said in self._begin():
                self._came.put(said)
            self._came.put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised where the results are taken
            self._came.put(error)
