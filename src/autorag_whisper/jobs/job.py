"""The nouns of durable jobs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from autorag_whisper.domain.errors import InvalidOption


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


POISONED = '{"message": "the process that had it died each time", "code": "poisoned"}'
"""The error of a job that is taken for the cause."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a job is to do. `path`: the media file, which stays there until the job is over; `name` is for people.

    `options`: fields of `TranscribeOptions`, as JSON has them. `client`: whose it is; nobody else sees it.
    `idempotency_key`: a second request of the same client with the same key is the same job. `priority`: higher first.
    """

    path: str
    name: str
    model: str = "base"
    options: dict[str, Any] = field(default_factory=dict)
    client: str = ""
    idempotency_key: str = ""
    priority: int = 0

    def __post_init__(self) -> None:
        if not -100 <= self.priority <= 100:
            raise InvalidOption("priority", self.priority, "a whole number from -100 to 100")

    def to_json(self) -> str:
        """What a store keeps of it."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

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


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in somebody's hands until `until_s`. `fence` grows with each claim: an older one counts no more."""

    job: Job
    fence: int
    until_s: float


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job. `number` counts from 1 in each job; `data` is JSON."""

    number: int
    kind: str
    data: str
