"""What the files of the folder say. Other versions of this package may have written them, or anybody else."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from autorag_whisper.gpu.arbiter.core import Reservation, Ticket

HIGHEST = 10**17
"""No number of ours: they begin with the microseconds of the clock."""


@dataclass(frozen=True, slots=True)
class GrantFacts:
    """What the file `grant` says of its holder.

    `number`: that of its ticket. `since_s`: when it was granted, by the clock that all processes share
    (CLOCK_MONOTONIC). `needs_bytes`: what the lease asked for on top of what its tenant keeps.
    """

    number: int
    tenant: str
    owner: str
    since_s: float
    needs_bytes: int = 0


def parse(data: bytes) -> dict[str, Any] | None:
    """A JSON object, None for anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def is_half_written(data: bytes) -> bool:
    """Whether it may be one of ours that is being written this moment."""
    return not data or (data.startswith(b"{") and not data.rstrip().endswith(b"}"))


def ticket_of(number: int, facts: dict[str, Any] | None) -> Ticket | None:
    """The ticket of that number; None where a field is missing or invalid. Unknown fields are ignored."""
    if facts is None or not _are_texts(facts, "tenant", "owner") or not _are_counts(facts, "needs_bytes"):
        return None
    deadline_s: Any = facts.get("deadline_s")
    if not _is_number(deadline_s):
        return None
    return Ticket(number, facts["tenant"], facts["owner"], float(deadline_s), facts["needs_bytes"])


def grant_of(facts: dict[str, Any] | None) -> GrantFacts | None:
    """What a grant says; None where a field is missing or invalid."""
    if facts is None or not _are_texts(facts, "tenant", "owner") or not _are_counts(facts, "number", "needs_bytes"):
        return None
    since_s: Any = facts.get("since_s")
    if not _is_number(since_s) or facts["number"] > HIGHEST:
        return None
    return GrantFacts(facts["number"], facts["tenant"], facts["owner"], float(since_s), facts["needs_bytes"])


def reservation_of(name: str, facts: dict[str, Any] | None) -> Reservation | None:
    """The reservation in the file called `name`, which is TENANT-OWNER as that of the socket beside it; else None."""
    if facts is None or not _are_texts(facts, "tenant", "owner") or not _are_counts(facts, "held_bytes"):
        return None
    if f"{facts['tenant']}-{facts['owner']}" != name:
        return None
    return Reservation(facts["tenant"], facts["owner"], facts["held_bytes"])


def _are_texts(facts: dict[str, Any], *names: str) -> bool:
    return all(isinstance(facts.get(name), str) and facts[name] for name in names)


def _are_counts(facts: dict[str, Any], *names: str) -> bool:
    values = [facts.get(name) for name in names]
    return all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values)


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
