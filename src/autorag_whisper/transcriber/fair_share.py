"""How priorities share the engine: whose the next batch is, and which one that lies ready gives way.

Used by one thread, the scheduler's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from autorag_whisper.recognition.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from autorag_whisper.transcriber.work import RunWork
    from autorag_whisper.transcriber.workers import EngineJob


class _Submitted(NamedTuple):
    """A job that went to the workers, for those of the priority `lead`; `shares`: what was owed before."""

    job: EngineJob
    lead: int
    shares: Shares


class FairShare:
    """`least`: as in `Shares`."""

    def __init__(self, least: float) -> None:
        self._shares = Shares(least)
        self._last: _Submitted | None = None

    def first(self, waiting: Collection[int]) -> int:
        """Which of the priorities that wait the next batch is for."""
        return self._shares.first(waiting)

    def submitted(
        self, job: EngineJob, works: Sequence[RunWork], lead: int, waiting: set[int], present: set[int]
    ) -> None:
        """Note what a job takes of the engine for each priority; the rest as `Shares.after` has it."""
        seconds = dict[int, float]()
        for work in works:
            priority = work.request.control.priority
            seconds[priority] = seconds.get(priority, 0.0) + work.window_s(job)
        self._last = _Submitted(job, lead, self._shares)
        self._shares = self._shares.after(lead, seconds, waiting, present | waiting)

    def giving_way(self, waiting: Collection[int]) -> EngineJob | None:
        """The job that was submitted last, where it is a higher priority's turn now: it came behind that."""
        last = self._last
        if last is None or not last.job.may_wait or max(waiting, default=last.lead) <= last.lead:
            return None
        return last.job if last.shares.first({*waiting, last.lead}) > last.lead else None

    def taken_back(self) -> None:
        """The job that was submitted last was not done."""
        assert self._last is not None
        self._shares, self._last = self._last.shares, None
