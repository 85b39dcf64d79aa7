"""What a store of jobs promises. `tests/contract/test_job_store.py` holds every store to it.

```
 add -> QUEUED -> claim -> RUNNING -> finish -> DONE
                    ^         |-> fail ------> FAILED, or QUEUED again until its moment
                    |---------|-> hand_back        (it was not its fault)
                    |<- a lease that ran out: the process died; deaths + 1, and FAILED at the limit
 cancel: QUEUED at once; RUNNING is told by `renew`, and whoever has it calls `cancelled`
```
What a method has returned from is kept, whatever dies then. Every call of a holder (`renew` to `cancelled`) is refused,
by False, once its claim counts no more: its lease ran out and somebody else may have the job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.jobs.job import Claim, Job, JobEvent, JobRequest, JobState

MOST_DEATHS = 20
"""Processes that may die with a job in hand, and it never gets on, before it is taken for the cause.

Many, as it is seldom that: media is decoded and recognised in the worker's process, whose deaths the transcriber judges
itself (PoisonedFile). What dies here was mostly killed, with whatever it had in hand.
"""
WAITING_WORTH_S = 60.0
"""How long a job waits until that counts as much as a step of priority."""


class JobStore(Protocol):
    """Thread-safe. `now_s` is seconds since the epoch, given by the caller."""

    def add(self, request: JobRequest, now_s: float) -> Job:
        """Queue a job; the one that the client's idempotency key stands for, if there is one."""
        ...

    def get(self, job_id: str, client: str | None = None) -> Job | None:
        """A job; None where there is none, or it is another client's."""
        ...

    def newest(
        self, client: str | None = None, state: JobState | None = None, *, limit: int = 100, before: str = ""
    ) -> list[Job]:
        """The newest first, those behind the job `before`."""
        ...

    def position(self, job_id: str) -> int:
        """How many queued jobs go before it; 0 where it is not queued."""
        ...

    def claim(self, lease_s: float, now_s: float) -> Claim | None:
        """The next job: the highest priority, then the oldest; None where none is to be had.

        A minute of waiting counts as much as one step of priority, so that nothing waits for ever.
        """
        ...

    def renew(self, claim: Claim, lease_s: float, now_s: float, progress: tuple[float, float]) -> Claim | None:
        """Still at work on it, with `(audio_s, total_s)`; None where the claim counts no more.

        The job that comes back says whether it is to be cancelled.
        """
        ...

    def keep(
        self, claim: Claim, events: Sequence[tuple[str, str]], checkpoint: tuple[int, bytes] | None = None
    ) -> bool:
        """Keep events (kind, JSON) and a chunk that is done (its index, its checkpoint), together or not at all."""
        ...

    def checkpoints(self, job_id: str) -> dict[int, bytes]:
        """Chunks that are done, by their index."""
        ...

    def finish(self, claim: Claim, now_s: float) -> bool:
        """It is done; its result has been written."""
        ...

    def fail(self, claim: Claim, error: str, now_s: float, again_s: float | None = None) -> bool:
        """It failed with `error` (JSON); tried again from `again_s` on, if that is given."""
        ...

    def hand_back(self, claim: Claim) -> bool:
        """Queue it again, as if it had not been claimed; what is kept of it stays."""
        ...

    def cancelled(self, claim: Claim, now_s: float) -> bool:
        """It was stopped, as was asked for."""
        ...

    def cancel(self, job_id: str, now_s: float) -> Job | None:
        """Ask for its end. A queued one ends at once, a final one stays what it is."""
        ...

    def retry(self, job_id: str, now_s: float) -> Job | None:
        """Queue a failed or cancelled one again, with its counters at nought; what is kept of it stays."""
        ...

    def events(self, job_id: str, after: int = 0) -> list[JobEvent]:
        """What happened to it behind event number `after`."""
        ...

    def prune(self, before_s: float) -> list[Job]:
        """Forget what was final before that moment, and say what."""
        ...

    def close(self) -> None:
        """Give back what it holds. Again is fine."""
        ...
