"""Transcripts of jobs that are done: their versions, whatever holds them, and what the search knows of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from autorag_whisper.domain.job_errors import StoreUnavailable
from autorag_whisper.jobs.library import Version
from autorag_whisper.jobs.sql_library import job_terms
from autorag_whisper.jobs.transcript_json import edition_of, lines_in, of_result, unpack, words_in

if TYPE_CHECKING:
    from autorag_whisper.jobs.files import JobFiles
    from autorag_whisper.jobs.job import Job
    from autorag_whisper.jobs.store import JobStore
    from autorag_whisper.jobs.transcript_json import Document

_log = logging.getLogger(__name__)


class Transcripts:
    """Over a store and its files. Thread-safe."""

    def __init__(self, store: JobStore, files: JobFiles) -> None:
        self._store, self._files = store, files

    def read(self, job: Job, number: int) -> tuple[Version, Document] | None:
        """A version of a job that is done; None where there is none, or the job was forgotten meanwhile."""
        if number > 1:
            found = self._store.library.version(job.id, number)
            return (found[0], unpack(found[1])) if found is not None else None
        if number < 1 or not job.result:
            return None
        try:
            document = of_result(self._files.result(job).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return Version(1, job.finished_s, words=words_in(document)), document

    def newest(self, job: Job) -> tuple[Version, Document] | None:
        """The newest version, whoever saves meanwhile: a draft takes its forerunner's place. None as for `read`."""
        while (found := self.read(job, job.version)) is None:
            now = self._store.get(job.id)
            if now is None or now.version == job.version:
                return None
            job = now
        return found

    def versions(self, job: Job) -> list[Version]:
        """All of them, the newest first."""
        first = self.read(job, 1)
        return self._store.library.versions(job.id) + ([first[0]] if first is not None else [])

    def save(
        self, job: Job, base: int, document: Document, who: Version, *, replaces_draft: bool = True
    ) -> Version | None:
        """Keep a document as the version that follows on `base`; None where another does already.

        `who`: its author, note, moment, and whether it is a draft.
        """
        edition = edition_of(document, who.author, who.note, is_draft=who.is_draft, replaces_draft=replaces_draft)
        return self._store.library.save(job.id, base, edition, who.created_s)

    def index(self, job_id: str) -> bool:
        """Have the search find the newest version of a job, if that can be now; the tidying tries it again."""
        try:
            job = self._store.get(job_id)
            found = self.read(job, job.version) if job is not None else None
            if job is None or found is None:
                return False
            lines = lines_in(found[1])
            return self._store.library.index(job.id, job.version, lines, job_terms(job.request.name, lines))
        except (StoreUnavailable, OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("the transcript of job %s is not found by the search: %s", job_id, error)
            return False

    def index_all(self) -> int:
        """Have the search find whatever it does not yet; how many it found and could not read."""
        seen: set[str] = set()
        while left := [job.id for job in self._store.library.unindexed(limit=len(seen) + 100) if job.id not in seen]:
            seen |= {job_id for job_id in left if not self.index(job_id)}
        return len(seen)
