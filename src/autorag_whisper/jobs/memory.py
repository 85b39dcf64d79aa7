"""Jobs in memory: for tests, and for whoever needs none of them to outlive the process."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from autorag_whisper.jobs.delivery import Delivery
from autorag_whisper.jobs.job import (
    DONE_EVENT,
    NO_LIMITS,
    POISONED,
    Claim,
    Job,
    JobEvent,
    JobRequest,
    JobState,
    QueueLimits,
    Usage,
    check_limits,
)
from autorag_whisper.jobs.memory_library import MemoryLibrary, Shelf
from autorag_whisper.jobs.shown import ended_payload
from autorag_whisper.jobs.store import AHEAD_S, MOST_DEATHS, WAITING_WORTH_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(slots=True)
class _Kept:
    job: Job
    ready_s: float
    place: int
    fence: int = 0
    lease_until_s: float = 0.0
    chunks: dict[int, bytes] = field(default_factory=dict)
    events: list[JobEvent] = field(default_factory=list)
    shelf: Shelf = field(default_factory=Shelf)

    @property
    def turn(self) -> tuple[float, int]:
        """Who has the smallest is next."""
        return self.ready_s - self.job.request.priority * WAITING_WORTH_S, self.place

    def tell(self, event: tuple[str, str]) -> None:
        self.events.append(JobEvent(len(self.events) + 1, *event))


def _has_come(moment_s: float, now_s: float) -> bool:
    return moment_s <= now_s or moment_s > now_s + AHEAD_S


class MemoryDeliveries:
    """The `Deliveries` of a `MemoryJobStore`."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._all: dict[str, Delivery] = {}

    def claim(self, lease_s: float, now_s: float, busy: Sequence[str] = ()) -> Delivery | None:
        with self._lock:
            due = [
                one
                for one in self._all.values()
                if not one.ended_s and _has_come(one.due_s, now_s) and not one.url.startswith(tuple(busy))
            ]
            if not due:
                return None
            first = min(due, key=lambda one: one.due_s)  # of equals the one that came first
            taken = replace(first, due_s=now_s + lease_s, attempts=first.attempts + 1)
            self._all[taken.id] = taken
            return taken

    def delivered(self, delivery: Delivery, response: str, now_s: float) -> bool:
        return self._over(delivery, delivered=True, response=response, ended_s=now_s)

    def failed(self, delivery: Delivery, response: str, now_s: float, again_s: float | None = None) -> bool:
        if again_s is None:
            return self._over(delivery, response=response, ended_s=now_s)
        return self._over(delivery, response=response, due_s=again_s)

    def of_job(self, job_id: str) -> list[Delivery]:
        with self._lock:
            return [one for one in self._all.values() if one.job_id == job_id]

    def tell(self, job: Job) -> None:
        """Put the end of a job beside it, if somebody wants to know."""
        if job.request.webhook:
            payload = ended_payload(job)
            made = Delivery(
                f"msg_{uuid.uuid4().hex}", job.id, job.request.webhook, payload, job.finished_s, job.finished_s
            )
            self._all[made.id] = made

    def forget(self, job_id: str) -> None:
        """Those of a job that is forgotten."""
        self._all = {name: one for name, one in self._all.items() if one.job_id != job_id}

    def _over(self, delivery: Delivery, **changed: object) -> bool:
        with self._lock:
            kept = self._all.get(delivery.id)
            if kept is None or kept.ended_s or kept.attempts != delivery.attempts:
                return False
            self._all[kept.id] = replace(kept, **changed)  # type: ignore[arg-type]  # its own fields
            return True


class MemoryJobStore:
    """A `JobStore`."""

    is_shared = False

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._jobs: dict[str, _Kept] = {}
        self._added = 0
        self._wakes: list[Callable[[], None]] = []
        self.deliveries = MemoryDeliveries(self._lock)
        self.library = MemoryLibrary(self._lock, lambda: list(self._jobs.values()), self._forget)

    def add(self, request: JobRequest, now_s: float, limits: QueueLimits = NO_LIMITS) -> Job:
        with self._lock:
            for kept in self._jobs.values():
                own = kept.job.request
                if request.idempotency_key and (own.client, own.idempotency_key) == (
                    request.client,
                    request.idempotency_key,
                ):
                    return kept.job
            check_limits(request, limits, self.usage(request.client), self.usage())
            self._added += 1
            job = Job(uuid.uuid4().hex, request, JobState.QUEUED, now_s, kept_bytes=request.media_bytes)
            self._jobs[job.id] = _Kept(job, now_s, self._added)
        self._changed()
        return job

    def get(self, job_id: str, client: str | None = None) -> Job | None:
        with self._lock:
            kept = self._jobs.get(job_id)
            return kept.job if kept is not None and client in (None, kept.job.request.client) else None

    def newest(
        self, client: str | None = None, state: JobState | None = None, *, limit: int = 100, before: str = ""
    ) -> list[Job]:
        with self._lock:
            behind = self._jobs[before].place if before in self._jobs else (0 if before else self._added + 1)
            found = [
                kept
                for kept in self._jobs.values()
                if client in (None, kept.job.request.client) and state in (None, kept.job.state) and kept.place < behind
            ]
            return [kept.job for kept in sorted(found, key=lambda kept: -kept.place)[:limit]]

    def position(self, job_id: str) -> int:
        with self._lock:
            own = self._jobs.get(job_id)
            if own is None or own.job.state is not JobState.QUEUED:
                return 0
            queued = (kept for kept in self._jobs.values() if kept.job.state is JobState.QUEUED)
            return sum(kept.turn < own.turn for kept in queued)

    def usage(self, client: str | None = None) -> Usage:
        with self._lock:
            jobs = [kept.job for kept in self._jobs.values() if client in (None, kept.job.request.client)]
            return Usage(Counter(job.state for job in jobs), sum(job.kept_bytes for job in jobs))

    def claim(self, lease_s: float, now_s: float) -> Claim | None:
        with self._lock:
            for kept in self._jobs.values():
                is_dead = kept.lease_until_s < now_s or kept.job.claimed_s > now_s + AHEAD_S
                if kept.job.state is JobState.RUNNING and is_dead:
                    self._died(kept, now_s)
            waiting = [k for k in self._jobs.values() if k.job.state is JobState.QUEUED and _has_come(k.ready_s, now_s)]
            if not waiting:
                return None
            kept = min(waiting, key=lambda kept: kept.turn)
            kept.fence += 1
            kept.lease_until_s = now_s + lease_s
            job, started_s = kept.job, kept.job.started_s or now_s
            kept.job = replace(
                job, state=JobState.RUNNING, started_s=started_s, claimed_s=now_s, claimed_audio_s=job.audio_s
            )
            return Claim(kept.job, kept.fence, kept.lease_until_s)

    def _died(self, kept: _Kept, now_s: float) -> None:
        kept.job = replace(kept.job, deaths=kept.job.deaths + 1)
        if kept.job.wants_cancel:
            self._over(kept, JobState.CANCELLED, now_s)
        elif kept.job.deaths >= MOST_DEATHS:
            self._over(kept, JobState.FAILED, now_s, error=POISONED)
        else:
            kept.fence += 1
            kept.job = replace(kept.job, state=JobState.QUEUED)

    def renew(self, claim: Claim, lease_s: float, now_s: float, progress: tuple[float, float]) -> Claim | None:
        with self._lock:
            kept = self._held(claim)
            if kept is None:
                return None
            kept.lease_until_s = now_s + lease_s
            audio_s, total_s = progress
            deaths = 0 if audio_s > kept.job.audio_s else kept.job.deaths
            kept.job = replace(kept.job, audio_s=max(kept.job.audio_s, audio_s), total_s=total_s, deaths=deaths)
            return Claim(kept.job, kept.fence, kept.lease_until_s)

    def keep(
        self,
        claim: Claim,
        events: Sequence[tuple[str, str]] = (),
        checkpoints: Sequence[tuple[int, bytes]] = (),
        notes: Sequence[str] = (),
    ) -> bool:
        with self._lock:
            kept = self._held(claim)
            if kept is None:
                return False
            kept.chunks.update(checkpoints)
            for event in events:
                kept.tell(event)
            kept.job = replace(kept.job, notes=tuple(dict.fromkeys((*kept.job.notes, *notes))))
            return True

    def checkpoints(self, job_id: str) -> dict[int, bytes]:
        with self._lock:
            kept = self._jobs.get(job_id)
            return dict(kept.chunks) if kept is not None else {}

    def finish(self, claim: Claim, now_s: float, result: str = "", result_bytes: int = 0, media_bytes: int = 0) -> bool:
        done = {"result": result, "kept_bytes": result_bytes, "media_bytes": media_bytes, "version": 1}
        if self._end(claim, JobState.DONE, now_s, **done):
            return True
        with self._lock:
            kept = self._jobs.get(claim.job.id)
            is_own = kept is not None and kept.fence == claim.fence + 1 and kept.job.state is JobState.DONE
            return kept is not None and is_own and kept.job.result == result

    def fail(
        self, claim: Claim, error: str, now_s: float, again_s: float | None = None, *, crashed: bool = False
    ) -> bool:
        if again_s is None:
            return self._end(claim, JobState.FAILED, now_s, error=error)
        with self._lock:
            kept = self._held(claim)
            if kept is not None:
                kept.fence += 1
                kept.ready_s = again_s
                deaths, failures = kept.job.deaths + crashed, kept.job.failures + (not crashed)
                kept.job = replace(kept.job, state=JobState.QUEUED, deaths=deaths, failures=failures)
            return kept is not None

    def hand_back(self, claim: Claim) -> bool:
        with self._lock:
            kept = self._held(claim)
            if kept is not None:
                kept.fence += 1
                kept.job = replace(kept.job, state=JobState.QUEUED)
            return kept is not None

    def cancelled(self, claim: Claim, now_s: float) -> bool:
        return self._end(claim, JobState.CANCELLED, now_s)

    def cancel(self, job_id: str, now_s: float) -> Job | None:
        with self._lock:
            kept = self._jobs.get(job_id)
            if kept is None:
                return None
            if kept.job.state is JobState.RUNNING:
                kept.job = replace(kept.job, wants_cancel=True)
            elif kept.job.state is JobState.QUEUED:
                kept.job = replace(kept.job, wants_cancel=True)
                self._over(kept, JobState.CANCELLED, now_s)
        self._changed()
        return kept.job

    def retry(self, job_id: str, now_s: float) -> Job | None:
        with self._lock:
            kept = self._jobs.get(job_id)
            if kept is None:
                return None
            if kept.job.state in (JobState.FAILED, JobState.CANCELLED):
                kept.ready_s = now_s
                kept.job = replace(
                    kept.job, state=JobState.QUEUED, wants_cancel=False, deaths=0, failures=0, error="", finished_s=0.0
                )
        self._changed()
        return kept.job

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[JobEvent]:
        with self._lock:
            kept = self._jobs.get(job_id)
            return kept.events[max(0, after) :][:limit] if kept is not None else []

    def prune(
        self, before_s: float, *, most_bytes: int | None = None, client: str | None = None, limit: int = 1000
    ) -> list[Job]:
        with self._lock:
            there, forgotten = self.usage(client).kept_bytes, list[Job]()
            over = [k for k in self._jobs.values() if k.job.state.is_final and client in (None, k.job.request.client)]
            for kept in sorted(over, key=lambda kept: (kept.job.finished_s, kept.place)):
                fits = most_bytes is None or there <= most_bytes
                if len(forgotten) == limit or (kept.job.finished_s >= before_s and fits):
                    break
                if all(delivery.ended_s for delivery in self.deliveries.of_job(kept.job.id)):
                    forgotten.append(kept.job)
                    there -= kept.job.kept_bytes
                    self._forget(kept.job.id)
            return forgotten

    def _forget(self, job_id: str) -> None:
        del self._jobs[job_id]
        self.deliveries.forget(job_id)

    def listen(self, wake: Callable[[], None]) -> None:
        self._wakes.append(wake)

    def close(self) -> None:
        """Nothing is held."""

    def _changed(self) -> None:
        for wake in self._wakes:
            wake()

    def _held(self, claim: Claim) -> _Kept | None:
        kept = self._jobs.get(claim.job.id)
        return kept if kept and kept.fence == claim.fence and kept.job.state is JobState.RUNNING else None

    def _end(self, claim: Claim, state: JobState, now_s: float, **changed: object) -> bool:
        with self._lock:
            kept = self._held(claim)
            if kept is None:
                return False
            self._over(kept, state, now_s, **changed)
            return True

    def _over(self, kept: _Kept, state: JobState, now_s: float, **changed: object) -> None:
        kept.fence += 1
        kept.job = replace(kept.job, state=state, finished_s=now_s, **changed)  # type: ignore[arg-type]  # its own fields
        if state is JobState.DONE:
            kept.chunks.clear()
            kept.tell(DONE_EVENT)
        self.deliveries.tell(kept.job)
