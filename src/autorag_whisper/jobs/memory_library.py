"""The `Library` of jobs in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from autorag_whisper.jobs.job import Job, JobState, storable
from autorag_whisper.jobs.library import DRAFT_S, MOST_VERSIONS, Edition, Found, Sort, Version, Wanted
from autorag_whisper.jobs.sql_library import job_terms, key_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Sequence


@dataclass(slots=True)
class Shelf:
    """What is kept of one job. `indexed`: the version that the search finds; 0 for none."""

    versions: dict[int, tuple[Version, bytes]] = field(default_factory=dict)
    indexed: int = 0
    lines: str = ""
    terms: tuple[str, ...] = ()


class Kept(Protocol):
    """What a store has of a job."""

    job: Job
    place: int
    shelf: Shelf


class MemoryLibrary:
    """The `Library` of a `MemoryJobStore`, which has the jobs: `all_` gives them, `drop` forgets one."""

    def __init__(
        self, lock: threading.RLock, all_: Callable[[], Iterable[Kept]], drop: Callable[[str], object]
    ) -> None:
        self._lock, self._all, self._drop = lock, all_, drop

    def _kept(self, job_id: str) -> Kept | None:
        return next((kept for kept in self._all() if kept.job.id == job_id), None)

    def save(self, job_id: str, base: int, edition: Edition, now_s: float) -> Version | None:
        with self._lock:
            kept = self._kept(job_id)
            if kept is None or kept.job.state is not JobState.DONE or kept.job.version != base:
                return None
            author, note = storable(edition.author), storable(edition.note)
            made = Version(base + 1, now_s, author, note, edition.is_draft, edition.words)
            shelf = kept.shelf
            before, _ = shelf.versions.get(base, (None, b""))
            is_own = before is not None and before.is_draft and before.author == author
            if edition.replaces_draft and before is not None and is_own and before.created_s >= now_s - DRAFT_S:
                self._forget(kept, base)
            shelf.versions[made.number] = (made, edition.body)
            kept.job = replace(kept.job, version=made.number, kept_bytes=kept.job.kept_bytes + len(edition.body))
            for number in sorted(shelf.versions)[:-MOST_VERSIONS]:
                self._forget(kept, number)
            shelf.indexed, shelf.lines = made.number, edition.lines
            shelf.terms = tuple(job_terms(kept.job.request.name, edition.lines))
            return made

    @staticmethod
    def _forget(kept: Kept, number: int) -> None:
        _, body = kept.shelf.versions.pop(number)
        kept.job = replace(kept.job, kept_bytes=kept.job.kept_bytes - len(body))

    def version(self, job_id: str, number: int) -> tuple[Version, bytes] | None:
        with self._lock:
            kept = self._kept(job_id)
            return kept.shelf.versions.get(number) if kept is not None else None

    def versions(self, job_id: str) -> list[Version]:
        with self._lock:
            kept = self._kept(job_id)
            return [version for version, _ in reversed(kept.shelf.versions.values())] if kept is not None else []

    def index(self, job_id: str, version: int, lines: str, terms: Sequence[str]) -> bool:
        with self._lock:
            kept = self._kept(job_id)
            if kept is None or kept.job.version != version:
                return False
            kept.shelf.indexed, kept.shelf.lines, kept.shelf.terms = version, lines, tuple(terms)
            return True

    def unindexed(self, limit: int = 100) -> list[Job]:
        with self._lock:
            found = [k for k in self._all() if k.job.state is JobState.DONE and k.shelf.indexed < k.job.version]
            return [kept.job for kept in sorted(found, key=lambda kept: kept.place)[:limit]]

    def search(self, client: str | None, terms: Sequence[str], *, limit: int = 20, offset: int = 0) -> list[Found]:
        with self._lock:
            found = [
                kept
                for kept in self._all()
                if terms
                and client in (None, kept.job.request.client)
                and all(any(known.startswith(term) for known in kept.shelf.terms) for term in terms)
            ]
            found.sort(key=lambda kept: -kept.place)
            return [Found(kept.job, kept.shelf.lines) for kept in found[offset:][:limit]]

    def find(self, client: str | None, wanted: Wanted) -> tuple[list[Job], int]:
        keys: dict[Sort, Callable[[Job], Any]] = {
            Sort.CREATED: lambda _: 0,
            Sort.NAME: lambda job: key_of(job.request.name).encode("utf-8"),
            Sort.DURATION: lambda job: job.total_s,
            Sort.FINISHED: lambda job: job.finished_s,
        }
        key, part = keys[wanted.sort], key_of(wanted.name) if wanted.name else ""
        with self._lock:
            found = [
                kept
                for kept in self._all()
                if client in (None, kept.job.request.client)
                and (not wanted.states or kept.job.state in wanted.states)
                and wanted.folder in (None, kept.job.request.folder)
                and part in key_of(kept.job.request.name)
            ]
            found.sort(key=lambda kept: (key(kept.job), kept.place), reverse=wanted.descending)
            return [kept.job for kept in found[wanted.offset :][: wanted.limit]], len(found)

    def rename(self, job_id: str, name: str) -> Job | None:
        with self._lock:
            kept = self._kept(job_id)
            if kept is None:
                return None
            kept.job = replace(kept.job, request=replace(kept.job.request, name=name))
            kept.shelf.indexed = 0
            return kept.job

    def forget(self, job_id: str) -> Job | None:
        with self._lock:
            kept = self._kept(job_id)
            if kept is None or not kept.job.state.is_final:
                return None
            self._drop(job_id)
            return kept.job

    def drop_media(self, before_s: float, most_bytes: int | None = None, limit: int = 1000) -> list[Job]:
        with self._lock:
            held = [k for k in self._all() if k.job.media_bytes and k.job.state is JobState.DONE]
            there, dropped = sum(kept.job.media_bytes for kept in held), list[Job]()
            for kept in sorted(held, key=lambda kept: (kept.job.finished_s, kept.place))[:limit]:
                if kept.job.finished_s >= before_s and (most_bytes is None or there <= most_bytes):
                    break
                there -= kept.job.media_bytes
                kept.job = replace(kept.job, media_bytes=0)
                dropped.append(kept.job)
            return dropped
