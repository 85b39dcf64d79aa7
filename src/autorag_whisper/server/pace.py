"""How slowly a body may come: who sends next to nothing would hold a place for ever."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autorag_whisper.domain.errors import InvalidOption


@dataclass(frozen=True, slots=True)
class Pace:
    """An upload ends where nothing came for `stall_s`, and where `grace_s` after its head, and from then on, it has not
    brought `least_bytes_s` for each second since.

    Raises InvalidOption for a number that is not above 0.
    """

    stall_s: float = 30.0
    grace_s: float = 30.0
    least_bytes_s: float = 1000.0

    def __post_init__(self) -> None:
        for name in ("stall_s", "grace_s", "least_bytes_s"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise InvalidOption(f"upload {name}", value, "a number above 0")

    def patience_s(self, since_head_s: float, received: int) -> float:
        """How long to wait for more, `since_head_s` seconds after the head, with so many bytes received. 0: no more."""
        due_s = self.grace_s + received / self.least_bytes_s
        return max(0.0, min(self.stall_s, due_s - since_head_s))
