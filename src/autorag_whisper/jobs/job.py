"""The nouns of durable jobs."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.job_errors import QueueFull, QuotaExceeded

if TYPE_CHECKING:
    from collections.abc import Mapping


class JobState(StrEnum):
    """Where a job is. DONE, FAILED and CANCELLED are final, but that `retry` queues one again."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


KEY_PREFIX = "watched-"
"""Of the idempotency keys that the service makes itself, for watched files and for uploads in pieces."""
DONE_EVENT = ("done", "{}")
"""The last event of a job that is done: its kind and its data."""
POISONED = '{"message": "the process that had it died each time", "code": "poisoned"}'
"""The error of a job that is taken for the cause."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a job is to do. `path`: the media file, which stays there until the job is over; `name` is for people.

    `options`: fields of `TranscribeOptions`, as JSON has them. `client`: whose it is; nobody else sees it.
    `idempotency_key`: a second request of the same client with the same key is the same job. `priority`: higher first.
    `media_bytes`: what the media takes of the service's own disk; 0 for a file that lies elsewhere. `webhook`: the
    address that is told of its end; "" tells nobody. `trace`: the `traceparent` (W3C) of the request that added it.
    `no_links`: `path` leads straight to the file, and has to when it is opened. `fingerprint`: of the request that
    `idempotency_key` came with, "" where nobody has taken it. `folder`: under which its client keeps it, "" for none;
    no file lies there.
    """

    path: str
    name: str
    model: str = "base"
    options: dict[str, Any] = field(default_factory=dict)
    client: str = ""
    idempotency_key: str = ""
    priority: int = 0
    media_bytes: int = 0
    webhook: str = ""
    trace: str = ""
    no_links: bool = False
    fingerprint: str = ""
    folder: str = ""

    def __post_init__(self) -> None:
        if not -100 <= self.priority <= 100:
            raise InvalidOption("priority", self.priority, "a whole number from -100 to 100")

    def to_json(self) -> str:
        """What a store keeps of it."""
        return storable(json.dumps(asdict(self), ensure_ascii=False, sort_keys=True))

    @classmethod
    def from_json(cls, text: str) -> JobRequest:
        """The way back; fields that a later version added are left out."""
        known = {name: value for name, value in json.loads(text).items() if name in cls.__dataclass_fields__}
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as a store has it. Moments are seconds since the epoch, 0 where they have not come.

    `audio_s` of `total_s` (0: unknown) are recognised. `deaths`: processes that died with it in hand since it last got
    on; `failures`: errors after which it was tried again. `error`: of a FAILED one `{"message", "code"}`, "" else.
    `claimed_s`: when it was claimed last, with `claimed_audio_s` done by then. `result`: of a DONE one, the name of its
    file. `kept_bytes`: what it takes of the disk, its media until it is done, its results from then on. `notes`: what
    its client should know though nothing failed. `version`: the newest one of its transcript (`jobs.library`), 0 before
    it is DONE. `media_bytes`: of a DONE one, its upload, where that is kept; `kept_bytes` does not have them.
    """

    id: str
    request: JobRequest
    state: JobState
    created_s: float
    started_s: float = 0.0
    finished_s: float = 0.0
    audio_s: float = 0.0
    total_s: float = 0.0
    deaths: int = 0
    failures: int = 0
    error: str = ""
    wants_cancel: bool = False
    claimed_s: float = 0.0
    claimed_audio_s: float = 0.0
    result: str = ""
    kept_bytes: int = 0
    notes: tuple[str, ...] = ()
    version: int = 0
    media_bytes: int = 0

    def left_s(self, now_s: float) -> float | None:
        """How long it will still take, by its pace since it was claimed; None where nothing tells."""
        done_s, spent_s = self.audio_s - self.claimed_audio_s, now_s - self.claimed_s
        if self.state is not JobState.RUNNING or not self.total_s or done_s <= 0 or spent_s <= 0:
            return None
        return max(0.0, self.total_s - self.audio_s) * spent_s / done_s


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in somebody's hands until `until_s`: the receipt of one delivery of it to a worker.

    `fence` grows with each claim of the job: what is done with an older one counts no more.
    """

    job: Job
    fence: int
    until_s: float


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What may be in a store; None has no limit.

    `queued`: jobs that wait, of all clients. `client_jobs`: jobs of one client that are not over. `client_bytes`,
    `total_bytes`: what jobs take of the disk, of one client and of all.
    """

    queued: int | None = None
    client_jobs: int | None = None
    client_bytes: int | None = None
    total_bytes: int | None = None


NO_LIMITS = QueueLimits()


@dataclass(frozen=True, slots=True)
class KeptMedia:
    """How long media that was sent is kept once its job is done, and how much of all jobs; None has no limit."""

    keep_s: float = 0.0
    most_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What is in a store, of one client or of all: jobs in each state, and the bytes that they take of the disk."""

    jobs: Mapping[JobState, int]
    kept_bytes: int

    @property
    def unfinished(self) -> int:
        """Jobs that are not over."""
        return sum(count for state, count in self.jobs.items() if not state.is_final)


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job. `number` counts from 1 in each job; `data` is JSON."""

    number: int
    kind: str
    data: str


def storable(text: str) -> str:
    """Text, of JSON or for people, without what no file or database holds as text: NUL, and halves of surrogate pairs.

    They are written as JSON escapes them, which is the same in JSON.
    """
    return re.sub("[\0\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def check_limits(request: JobRequest, limits: QueueLimits, own: Usage, everybody: Usage) -> None:
    """Whether one more job fits, beside what its client has and what all have.

    Raises QuotaExceeded where its client has too much, QueueFull where all together have.
    """

    def is_over(limit: int | None, there: int, more: int) -> bool:
        return limit is not None and there + more > limit

    if is_over(limits.client_jobs, own.unfinished, 1):
        raise QuotaExceeded(f"{limits.client_jobs} jobs that are not over")
    if is_over(limits.client_bytes, own.kept_bytes, request.media_bytes):
        raise QuotaExceeded(f"{limits.client_bytes:,} bytes of media and results")
    if is_over(limits.queued, everybody.jobs.get(JobState.QUEUED, 0), 1):
        raise QueueFull(f"{limits.queued} jobs wait already")
    if is_over(limits.total_bytes, everybody.kept_bytes, request.media_bytes):
        raise QueueFull(f"media and results would take more than {limits.total_bytes:,} bytes")
