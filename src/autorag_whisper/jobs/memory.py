"""Jobs in memory: for tests, and for whoever needs none of them to outlive the process."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from autorag_whisper.jobs.job import POISONED, Claim, Job, JobEvent, JobRequest, JobState
from autorag_whisper.jobs.store import MOST_DEATHS, WAITING_WORTH_S

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class _Kept:
    job: Job
    ready_s: float
    place: int
    fence: int = 0
    lease_until_s: float = 0.0
    chunks: dict[int, bytes] = field(default_factory=dict)
    events: list[JobEvent] = field(default_factory=list)

    @property
    def turn(self) -> tuple[float, int]:
        """Who has the smallest is next."""
        return self.ready_s - self.job.request.priority * WAITING_WORTH_S, self.place


class MemoryJobStore:
    """A `JobStore`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._jobs: dict[str, _Kept] = {}
        self._added = 0

    def add(self, request: JobRequest, now_s: float) -> Job:
        with self._lock:
            for kept in self._jobs.values():
                own = kept.job.request
                if request.idempotency_key and (own.client, own.idempotency_key) == (
                    request.client,
                    request.idempotency_key,
                ):
                    return kept.job
            self._added += 1
            job = Job(uuid.uuid4().hex, request, JobState.QUEUED, now_s)
            self._jobs[job.id] = _Kept(job, now_s, self._added)
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

    def claim(self, lease_s: float, now_s: float) -> Claim | None:
        with self._lock:
            for kept in self._jobs.values():
                if kept.job.state is JobState.RUNNING and kept.lease_until_s < now_s:
                    self._died(kept, now_s)
            waiting = [k for k in self._jobs.values() if k.job.state is JobState.QUEUED and k.ready_s <= now_s]
            if not waiting:
                return None
            kept = min(waiting, key=lambda kept: kept.turn)
            kept.fence += 1
            kept.lease_until_s = now_s + lease_s
            kept.job = replace(kept.job, state=JobState.RUNNING, started_s=kept.job.started_s or now_s)
            return Claim(kept.job, kept.fence, kept.lease_until_s)

    @staticmethod
    def _died(kept: _Kept, now_s: float) -> None:
        deaths = kept.job.deaths + 1
        kept.fence += 1
        if kept.job.wants_cancel:
            kept.job = replace(kept.job, deaths=deaths, state=JobState.CANCELLED, finished_s=now_s)
        elif deaths >= MOST_DEATHS:
            kept.job = replace(kept.job, deaths=deaths, state=JobState.FAILED, finished_s=now_s, error=POISONED)
        else:
            kept.job = replace(kept.job, deaths=deaths, state=JobState.QUEUED)

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
        self, claim: Claim, events: Sequence[tuple[str, str]], checkpoint: tuple[int, bytes] | None = None
    ) -> bool:
        with self._lock:
            kept = self._held(claim)
            if kept is None:
                return False
            if checkpoint is not None:
                kept.chunks[checkpoint[0]] = checkpoint[1]
            kept.events += [JobEvent(len(kept.events) + n, kind, data) for n, (kind, data) in enumerate(events, 1)]
            return True

    def checkpoints(self, job_id: str) -> dict[int, bytes]:
        with self._lock:
            kept = self._jobs.get(job_id)
            return dict(kept.chunks) if kept is not None else {}

    def finish(self, claim: Claim, now_s: float) -> bool:
        return self._end(claim, JobState.DONE, now_s, "")

    def fail(self, claim: Claim, error: str, now_s: float, again_s: float | None = None) -> bool:
        if again_s is None:
            return self._end(claim, JobState.FAILED, now_s, error)
        with self._lock:
            kept = self._held(claim)
            if kept is not None:
                kept.fence += 1
                kept.ready_s = again_s
                kept.job = replace(kept.job, state=JobState.QUEUED, failures=kept.job.failures + 1)
            return kept is not None

    def hand_back(self, claim: Claim) -> bool:
        with self._lock:
            kept = self._held(claim)
            if kept is not None:
                kept.fence += 1
                kept.job = replace(kept.job, state=JobState.QUEUED)
            return kept is not None

    def cancelled(self, claim: Claim, now_s: float) -> bool:
        return self._end(claim, JobState.CANCELLED, now_s, "")

    def cancel(self, job_id: str, now_s: float) -> Job | None:
        with self._lock:
            kept = self._jobs.get(job_id)
            if kept is None:
                return None
            if kept.job.state is JobState.RUNNING:
                kept.job = replace(kept.job, wants_cancel=True)
            elif kept.job.state is JobState.QUEUED:
                kept.job = replace(kept.job, wants_cancel=True, state=JobState.CANCELLED, finished_s=now_s)
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
            return kept.job

    def events(self, job_id: str, after: int = 0) -> list[JobEvent]:
        with self._lock:
            kept = self._jobs.get(job_id)
            return kept.events[max(0, after) :] if kept is not None else []

    def prune(self, before_s: float) -> list[Job]:
        with self._lock:
            gone = [k.job for k in self._jobs.values() if k.job.state.is_final and k.job.finished_s < before_s]
            for job in gone:
                del self._jobs[job.id]
            return gone

    def close(self) -> None:
        """Nothing is held."""

    def _held(self, claim: Claim) -> _Kept | None:
        kept = self._jobs.get(claim.job.id)
        return kept if kept and kept.fence == claim.fence and kept.job.state is JobState.RUNNING else None

    def _end(self, claim: Claim, state: JobState, now_s: float, error: str) -> bool:
        with self._lock:
            kept = self._held(claim)
            if kept is None:
                return False
            kept.fence += 1
            kept.job = replace(kept.job, state=state, finished_s=now_s, error=error)
            if state is JobState.DONE:
                kept.chunks.clear()
            return True
