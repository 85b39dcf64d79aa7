"""What the files of the folder say, which other versions may have written, or somebody else."""

from __future__ import annotations

import json
import math
from typing import Any

from autorag_whisper.gpu.arbiter.core import Claim, Ticket
from autorag_whisper.gpu.arbiter.held import Held

HIGHEST = 10**17
"""No number of ours: they begin with the microseconds of the clock."""


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
    """The ticket of that number; None where the facts are not one's. Facts that are not known here are left out."""
    if facts is None or not _are_texts(facts, "tenant", "owner") or not _are_counts(facts, "needs_bytes"):
        return None
    deadline_s: Any = facts.get("deadline_s")
    if not _is_number(deadline_s):
        return None
    return Ticket(number, facts["tenant"], facts["owner"], float(deadline_s), facts["needs_bytes"])


def held_of(facts: dict[str, Any] | None) -> Held | None:
    """What a grant says; None where the facts are not one's."""
    if facts is None or not _are_texts(facts, "tenant", "owner") or not _are_counts(facts, "number", "needs_bytes"):
        return None
    since_s: Any = facts.get("since_s")
    if not _is_number(since_s) or facts["number"] > HIGHEST:
        return None
    return Held(facts["number"], facts["tenant"], facts["owner"], float(since_s), facts["needs_bytes"])


def claim_of(name: str, facts: dict[str, Any] | None) -> Claim | None:
    """The claim in the file `TENANT-OWNER`; None where the facts are not its, as the socket beside it has that name."""
    if facts is None or not _are_texts(facts, "tenant", "owner") or not _are_counts(facts, "held_bytes"):
        return None
    if f"{facts['tenant']}-{facts['owner']}" != name:
        return None
    return Claim(facts["tenant"], facts["owner"], facts["held_bytes"])


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
