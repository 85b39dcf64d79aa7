"""What a grant says of its holder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Held:
    """What `grant` says of its holder. `since_s` by the clock that all processes share (CLOCK_MONOTONIC)."""

    number: int
    tenant: str
    owner: str
    since_s: float
    needs_bytes: int = 0
