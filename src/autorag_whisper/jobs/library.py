"""What is kept of jobs beside the queue: versions of their transcripts, names, media, and what finds them again.

`tests/contract/test_job_library.py` holds every store's to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.jobs.job import Job, JobState

MOST_VERSIONS = 100
"""Of one transcript, beside the first; the oldest of more are dropped."""
DRAFT_S = 600.0
"""How old a draft may be until the next version of its author does not take its place any more."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a transcript, without its text. `number` grows with each save of a job, with gaps.

    1 is what was recognised: its text is the job's result. `is_draft`: the next one of the same author may replace it.
    `words`: how many it has. `created_s`: seconds since the epoch.
    """

    number: int
    created_s: float
    author: str = ""
    note: str = ""
    is_draft: bool = False
    words: int = 0


@dataclass(frozen=True, slots=True)
class Edition:
    """What is saved as a version: `body`, as its maker packs it, and `lines` for the search (`jobs.search`).

    `replaces_draft`: a draft of the same author, not older than `DRAFT_S`, that it follows on is dropped.
    """

    body: bytes
    lines: str
    words: int = 0
    author: str = ""
    note: str = ""
    is_draft: bool = False
    replaces_draft: bool = True


class Sort(StrEnum):
    """By what a list of jobs is sorted; equal ones by when they were added."""

    CREATED = "created"
    NAME = "name"
    DURATION = "duration"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs of a client a list has, `limit` of them behind the first `offset`, and in which order.

    `states`: () means all. `name`: a part of it, whatever its case and accents; "" means any. `folder`: exactly that
    one; None means any.
    """

    states: tuple[JobState, ...] = ()
    name: str = ""
    folder: str | None = None
    sort: Sort = Sort.CREATED
    descending: bool = True
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A job whose name or newest transcript has all terms that were looked for. `lines`: that text (`jobs.search`)."""

    job: Job
    lines: str


class Library(Protocol):
    """Belongs to a store, and is as thread-safe. `client` None means every client's.

    Raises StoreUnavailable as the store does.
    """

    def save(self, job_id: str, base: int, edition: Edition, now_s: float) -> Version | None:
        """A new version that follows on version `base`; None, and nothing is changed, where that is not the newest.

        None too for a job that is not there or not done.
        """
        ...

    def version(self, job_id: str, number: int) -> tuple[Version, bytes] | None:
        """A version above 1 and its body; None where there is none."""
        ...

    def versions(self, job_id: str) -> list[Version]:
        """Those above 1, the newest first."""
        ...

    def index(self, job_id: str, version: int, lines: str, terms: Sequence[str]) -> bool:
        """Have the search find a version; False, and nothing is changed, where there is a newer one."""
        ...

    def unindexed(self, limit: int = 100) -> list[Job]:
        """Jobs that are done and that the search does not find."""
        ...

    def search(self, client: str | None, terms: Sequence[str], *, limit: int = 20, offset: int = 0) -> list[Found]:
        """Jobs that have every term, or a longer one that begins with it, the newest first."""
        ...

    def find(self, client: str | None, wanted: Wanted) -> tuple[list[Job], int]:
        """The jobs that are wanted, and how many there are without `limit` and `offset`."""
        ...

    def rename(self, job_id: str, name: str) -> Job | None:
        """Give it another name for people; None where there is no such job."""
        ...

    def forget(self, job_id: str) -> Job | None:
        """Forget a job that is over, whatever its webhook; None where there is none, or it is not over."""
        ...

    def drop_media(self, before_s: float, most_bytes: int | None = None, limit: int = 1000) -> list[Job]:
        """The done jobs, those that ended first, whose kept media is to be removed now; their `media_bytes` are 0 then.

        Those that ended before `before_s`, and further ones until the rest takes `most_bytes` at most.
        """
        ...
