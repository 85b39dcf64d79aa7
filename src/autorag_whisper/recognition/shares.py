"""How the engine is divided among priorities: the higher goes first, but the lower ones have a share of their own.

What is counted is seconds of encoder windows: about what a batch takes. It is weighted fair queueing with one weight:
whoever of a lower priority waits is owed a share of all that is done meanwhile, goes first as soon as anything is owed,
and pays by waiting for what went beyond it. Nothing is saved up by whoever does not wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

LEAST_SHARE = 0.8
"""Of what those of lower priorities have, together, while they wait beside others."""
MOST_WAITED = 16
"""Batches that may go before one that has a chunk of a priority, however little those had."""
_MOST_S = 60.0
"""The most that is owed, either way, or one batch if that is more: else one side had the engine for itself later on,
where the other could not be served, or had tiny batches alone."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What is owed now. `least`: the share, from 0 to below 1.

    `owed_s`: by priority, what those below it are owed by it; less than 0: what they had too much. `waited`: by
    priority, batches since one had a chunk of it.
    """

    least: float = LEAST_SHARE
    owed_s: Mapping[int, float] = field(default_factory=dict)
    waited: Mapping[int, int] = field(default_factory=dict)

    def first(self, waiting: Collection[int]) -> int:
        """Which priority the next batch is for, of those that wait (one at least)."""
        ordered = sorted(waiting, reverse=True)
        late = [priority for priority in ordered if self.waited.get(priority, 0) >= MOST_WAITED]
        if late:
            return max(late, key=lambda priority: (self.waited[priority], priority))
        return next((one for one in ordered[:-1] if self.owed_s.get(one, 0.0) <= 0), ordered[-1])

    def after(
        self, lead: int, seconds: Mapping[int, float], waiting: Collection[int], present: Collection[int]
    ) -> Shares:
        """What is owed after a batch.

        `lead`: the priority that it was for; `seconds` of it, by priority; `waiting`: those that had something to do
        when it was made; `present`: those that have runs, also such that have nothing to do at the moment.
        """
        owed = {one: self._owed(one, lead, seconds, waiting) for one in present}
        waited = {one: 0 if one in seconds else self.waited.get(one, 0) + 1 for one in waiting}
        return Shares(self.least, {one: s for one, s in owed.items() if s}, waited)

    def _owed(self, priority: int, lead: int, seconds: Mapping[int, float], waiting: Collection[int]) -> float:
        """What those below a priority are owed by it."""
        was = self.owed_s.get(priority, 0.0)
        below = sum(s for other, s in seconds.items() if other < priority)
        due = self.least * (seconds.get(priority, 0.0) + below)
        now = was + due - below
        if lead >= priority or priority not in waiting:  # it was room that was left, or held nobody up
            now = max(now, min(was, 0.0))
        if not any(other < priority for other in waiting):
            now = min(now, 0.0)
        return max(-max(_MOST_S, below), min(now, max(_MOST_S, due)))
