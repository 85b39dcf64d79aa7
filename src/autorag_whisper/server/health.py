"""Whether the service works: by what the engine does, not by the web process being up."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

STALLED_S = 120.0
"""Without a sign of progress for so long, while there is work, it hangs."""


LEAST_FREE = 64 << 20
"""Bytes that must be free where uploads, jobs and results go."""


@dataclass(slots=True)
class Health:
    """`clock` gives seconds. `begin`, `beat` and `end` may be called from any thread.

    `warm`: the engine has recognised a second of sound; `engine_problem`: why it has not, where that was tried.
    `problem`: why no durable job is begun, which their runner says again and again.
    """

    clock: Callable[[], float]
    warm: bool = False
    draining: bool = False
    engine_problem: str = ""
    problem: str = ""
    in_work: int = 0
    _beat: float = field(default=0.0)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._beat = self.clock()

    def beat(self) -> None:
        """The engine got on, or something new was begun while nothing was in work."""
        self._beat = self.clock()

    def begin(self) -> None:
        """Work begins."""
        with self._lock:
            if not self.in_work:
                self.beat()
            self.in_work += 1

    def end(self) -> None:
        """Work ended, well or not."""
        with self._lock:
            self.in_work -= 1

    def full_disk(self, folders: Iterable[Path], free: Callable[[Path], int]) -> str:
        """What folder has no room for an upload, in words; "" if each has. `free` gives bytes, and may take a while."""
        return next((f"the disk of {folder} is full" for folder in folders if free(folder) < LEAST_FREE), "")

    def why_not(self) -> str:
        """Why no request should come here now; "" if one may."""
        if self.draining:
            return "it is ending: what is in work is finished, nothing new is begun"
        if self.engine_problem or self.problem:
            return self.engine_problem or self.problem
        if self.in_work and self.clock() - self._beat > STALLED_S:
            return f"the engine has not got on for {self.clock() - self._beat:.0f} s"
        return "" if self.warm else "the model is being loaded"
