"""What a store of jobs promises. `tests/contract/test_job_store.py` holds every store to it.

```
 add -> QUEUED -> claim -> RUNNING -> finish -> DONE
                    ^         |-> fail ------> FAILED, or QUEUED again until its moment
                    |---------|-> hand_back        (it was not its fault)
                    |<- a lease that ran out: the process died; deaths + 1, and FAILED at the limit
 cancel: QUEUED at once; RUNNING is told by `renew`, and whoever has it calls `cancelled`
 a job with a webhook that comes to DONE, FAILED or CANCELLED puts a `Delivery` beside it, in the same transaction
```
What a method has returned from is kept, whatever dies then. Every call of a holder (`renew` to `cancelled`) is refused,
by False, once its claim counts no more: its lease ran out and somebody else may have the job.

Every method raises StoreUnavailable where the store cannot be used now (its disk is full, its server does not answer);
the next call may find it mended. Nothing has happened then, but that a database may have done what was asked for when
the connection to it was lost: ask again, a claim that counts no more and an idempotency key make it safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from autorag_whisper.jobs.job import NO_LIMITS, QueueLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from autorag_whisper.jobs.delivery import Delivery
    from autorag_whisper.jobs.job import Claim, Job, JobEvent, JobRequest, JobState, Usage
    from autorag_whisper.jobs.library import Library

MOST_DEATHS = 20
"""Processes that may die with a job in hand, and it never gets on, before it is taken for the cause.

Many, as it is seldom that: media is decoded and recognised in the worker's process, whose deaths the transcriber judges
itself (PoisonedFile). What dies here was mostly killed, with whatever it had in hand.
"""
AHEAD_S = 2 * 86_400.0
"""What lies further ahead (the moment of the next try, a claim) was told by a clock that has been set back since.

It holds no more: a job would wait for a year that was never meant.
"""
WAITING_WORTH_S = 60.0
"""How long a job waits until that counts as much as a step of priority."""


class Deliveries(Protocol):
    """Messages of webhooks that are to be sent. A delivery is its holder's until the lease runs out.

    One that is due more than `AHEAD_S` from now is due.
    """

    def claim(self, lease_s: float, now_s: float, busy: Sequence[str] = ()) -> Delivery | None:
        """The one that is due first, with one attempt more; None where none is due.

        `busy`: beginnings of addresses that are left out.
        """
        ...

    def delivered(self, delivery: Delivery, response: str, now_s: float) -> bool:
        """It arrived; False where it is not this attempt's any more."""
        ...

    def failed(self, delivery: Delivery, response: str, now_s: float, again_s: float | None = None) -> bool:
        """It did not arrive: tried again from `again_s` on, given up where there is none."""
        ...

    def of_job(self, job_id: str) -> list[Delivery]:
        """Those of a job, the oldest first."""
        ...


class JobStore(Protocol):
    """Thread-safe. `now_s` is seconds since the epoch, given by the caller."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes may have it at the same time, with jobs in hand."""
        ...

    @property
    def deliveries(self) -> Deliveries:
        """What webhooks are to be told."""
        ...

    @property
    def library(self) -> Library:
        """Transcripts' versions, names, kept media, and the search."""
        ...

    def add(self, request: JobRequest, now_s: float, limits: QueueLimits = NO_LIMITS) -> Job:
        """Queue a job; the one that the client's idempotency key stands for, if there is one, whatever the limits.

        Raises QuotaExceeded and QueueFull, as `jobs.job.check_limits` does.
        """
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

    def usage(self, client: str | None = None) -> Usage:
        """What a client has here, or all together."""
        ...

    def claim(self, lease_s: float, now_s: float) -> Claim | None:
        """The next job: the highest priority, then the oldest; None where none is to be had.

        A minute of waiting counts as much as one step of priority, so that nothing waits for ever. What a clock has
        put off, or claimed, that was ahead by more than `AHEAD_S` is to be had.
        """
        ...

    def renew(self, claim: Claim, lease_s: float, now_s: float, progress: tuple[float, float]) -> Claim | None:
        """Still at work on it, with `(audio_s, total_s)`; None where the claim counts no more.

        The job that comes back says whether it is to be cancelled.
        """
        ...

    def keep(
        self,
        claim: Claim,
        events: Sequence[tuple[str, str]] = (),
        checkpoints: Sequence[tuple[int, bytes]] = (),
        notes: Sequence[str] = (),
    ) -> bool:
        """Keep events (kind, JSON), chunks that are done (index, checkpoint) and notes, together or not at all.

        A chunk replaces the one of its index. A note that the job has already is not kept twice.
        """
        ...

    def checkpoints(self, job_id: str) -> dict[int, bytes]:
        """Chunks that are done, by their index. A DONE job has none any more."""
        ...

    def finish(self, claim: Claim, now_s: float, result: str = "", result_bytes: int = 0, media_bytes: int = 0) -> bool:
        """It is done; its result has been written to the file of the name `result`, the first version of its text.

        `job.DONE_EVENT` is its last event from then on: kept apart from the end, it would come again where a process
        dies between the two.

        `media_bytes`: of its upload, where that is kept.

        Again by the same claim, with the same result, is True: the answer to the first may have been lost.
        """
        ...

    def fail(
        self, claim: Claim, error: str, now_s: float, again_s: float | None = None, *, crashed: bool = False
    ) -> bool:
        """It failed with `error` (JSON); tried again from `again_s` on, if that is given.

        Then it counts among the job's `failures`, or its `deaths` where a process that worked on it `crashed`.
        """
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

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[JobEvent]:
        """What happened to it behind event number `after`, the first `limit` of it."""
        ...

    def prune(
        self, before_s: float, *, most_bytes: int | None = None, client: str | None = None, limit: int = 1000
    ) -> list[Job]:
        """Forget jobs that are over, of a client or of all, those that ended first; at most `limit`: which.

        Those that ended before `before_s`, and further ones until the rest takes `most_bytes` at most (of the client,
        or of all). A job whose webhook has still to be told stays.
        """
        ...

    def listen(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, in any thread, when a job may be there to claim, or to cancel. It returns at once."""
        ...

    def close(self) -> None:
        """Give back what it holds. Again is fine."""
        ...


def every_job(store: JobStore, limit: int = 1000) -> Iterator[Job]:
    """Every job, the newest first, `limit` at a time.

    One that others forget meanwhile costs no other; some may come twice then.
    """
    before = ""
    while True:
        page = store.newest(limit=limit, before=before)
        yield from page
        if page:
            before = page[-1].id
        elif not before or store.get(before) is not None:
            return
        else:  # it is behind that one that there is more: from the beginning
            before = ""
