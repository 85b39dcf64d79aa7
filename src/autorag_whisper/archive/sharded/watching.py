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

from autorag_whisper.archive.sharded.life_signs import Seen, look
from autorag_whisper.domain.archive_errors import ClusterStuck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

PATIENCE_LOOKS = 360
"""Looks at the results without a change, until a run counts as stuck."""
SILENT_LOOKS = 24
"""Looks without a sign of life of anybody, until what was in work counts as lost: two minutes of half an hour."""


class ActorsSilent(Exception):  # noqa: N818 - it says what is so, as our other errors do
    """Nobody who was at work gives a sign of life, for so many seconds."""

    def __init__(self, waited_s: float) -> None:
        super().__init__(f"no actor gives a sign of life for {waited_s:.0f} s")
        self.waited_s = waited_s


@dataclass(frozen=True, slots=True)
class Patience:
    """`look_s`: between two looks at `results`. `silent`: looks without a sign of life, `stuck`: without progress."""

    results: Path
    look_s: float
    silent: int = SILENT_LOOKS
    stuck: int = PATIENCE_LOOKS
    look: Callable[[Path], Seen] = field(default=look)


class _Waited:
    """What was seen since something last came, in looks."""

    def __init__(self, patience: Patience) -> None:
        self._patience, self._before = patience, Seen()
        self._before = self._seen()
        self._stuck = self._silent = 0
        self._somebody = False  # was at work since the wait began: until then there may be no machine yet

    def came(self) -> None:
        self._stuck = self._silent = 0
        self._somebody = True

    def look(self) -> None:
        patience, now = self._patience, self._seen()
        self._stuck = 0 if now.done != self._before.done else self._stuck + 1
        self._silent = 0 if now != self._before else self._silent + 1
        self._somebody |= now != self._before
        self._before = now
        if self._stuck >= patience.stuck:
            raise ClusterStuck(self._stuck * patience.look_s)
        if self._somebody and self._silent >= patience.silent:
            raise ActorsSilent(self._silent * patience.look_s)

    def _seen(self) -> Seen:
        try:
            return self._patience.look(self._patience.results)
        except OSError:  # a disk that does not answer shows no sign of life, and may again
            return self._before


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

    def leave(self, timeout_s: float) -> None:
        """Wait for the thread, which ends when the cluster is left; not for longer than that, as it may hang."""
        if self._reader.ident is not None:
            self._reader.join(timeout_s)

    def _read(self) -> None:
        try:
            for said in self._begin():
                self._came.put(said)
            self._came.put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised where the results are taken
            self._came.put(error)
