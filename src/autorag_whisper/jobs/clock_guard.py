"""Whether the time of day may be believed before results are removed by their age.

A clock that is set ahead, by hand, by a wrong time server or by a battery that is empty, makes everything old at once.
So where it moved a day further than time has passed, nothing is removed by age for a day, in which it can be set right.
A server that was off for longer waits that day, too. What the clock said last is kept beside the jobs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.jobs.store import JobStore

_log = logging.getLogger(__name__)

JUMP_S = 86_400.0
"""What the clock may move beyond the time that passed."""
WAIT_S = 86_400.0
"""By its own measure, how long it has to go on after a jump until it is believed."""


@dataclass(frozen=True, slots=True)
class ClockSeen:
    """What the clock said last, in seconds since the epoch. `doubted_s`: just after a jump; None: it is believed."""

    last_s: float
    doubted_s: float | None = None

    def at(self, now_s: float, passed_s: float = 0.0) -> ClockSeen:
        """A next look; `passed_s`: since the last one, by a clock that nobody sets."""
        doubted_s = self.doubted_s
        if now_s - self.last_s - passed_s > JUMP_S:
            doubted_s = now_s
        elif doubted_s is not None and not 0.0 <= now_s - doubted_s < WAIT_S:  # it was set back, or went on
            doubted_s = None
        return ClockSeen(now_s, doubted_s)


class ClockGuard:
    """The looks of one server. `path`: where what was seen is kept; servers of one store have the same."""

    def __init__(self, path: Path, store: JobStore) -> None:
        self._path, self._store = path, store
        self._was_doubted = False

    def believes(self, now_s: float, passed_s: float = 0.0) -> bool:
        """Whether what is old by this clock may be removed; `passed_s`: since the last call, 0 at the first."""
        before = self._read() or self._of_store(now_s)
        seen = before.at(now_s, passed_s)
        with contextlib.suppress(OSError):  # a full disk: then most of all there is something to be removed
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps(asdict(seen)), encoding="ascii")
            new.replace(self._path)
        is_doubted = seen.doubted_s is not None
        if is_doubted and not self._was_doubted:
            days = (now_s - before.last_s) / 86_400
            _log.warning(
                "the clock is %.1f days ahead of when it was last looked at: for a day no job is forgotten by its age; "
                "set the clock right if it is wrong",
                days,
            )
        self._was_doubted = is_doubted
        return not is_doubted

    def _read(self) -> ClockSeen | None:
        try:
            told = json.loads(self._path.read_text(encoding="ascii"))
            last_s, doubted_s = told["last_s"], told["doubted_s"]
            seen = ClockSeen(float(last_s), None if doubted_s is None else float(doubted_s))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return seen if all(math.isfinite(s or 0.0) for s in (seen.last_s, seen.doubted_s)) else None

    def _of_store(self, now_s: float) -> ClockSeen:
        """Where nothing is kept yet: what the clock said at the newest job."""
        newest = self._store.newest(limit=1)
        return ClockSeen(min(now_s, newest[0].created_s) if newest else now_s)
