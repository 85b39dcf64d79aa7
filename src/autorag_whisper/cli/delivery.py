"""Where a transcript goes when it is ready: to its files, or to standard output."""

from __future__ import annotations

import errno
import hashlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from autorag_whisper.archive import manifest
from autorag_whisper.archive.fingerprint import Stamp, sha256_of_open
from autorag_whisper.archive.manifest import Entry, Output
from autorag_whisper.archive.naming import TRACK
from autorag_whisper.archive.outputs import is_set_aside, set_aside, write_together
from autorag_whisper.archive.ownership import Standing, Subject, fresh_places, places, stamp_of
from autorag_whisper.cli.ledger import why
from autorag_whisper.cli.printing import InOrder
from autorag_whisper.domain.archive_errors import DiskFull
from autorag_whisper.domain.errors import MediaError
from autorag_whisper.domain.request import Task
from autorag_whisper.format import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from autorag_whisper.archive.manifest import Manifest
    from autorag_whisper.archive.naming import Job
    from autorag_whisper.archive.ownership import Places
    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.cli.request import Request
    from autorag_whisper.domain.transcript import Segment, Transcript

_log = logging.getLogger(__name__)

_NO_MORE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""After these the next file cannot be written either."""

_ATTEMPTS = 5
"""At names that strangers take in the millisecond between the look and the writing."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a transcript: the files that have it, or why it could not be delivered.

    `remarks` say what became of files that were there. `kept` names those of them that stood where this belonged.
    """

    names: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    kept: str = ""
    reason: str = ""


class Delivery(Protocol):
    """Takes what comes of each source, once, in the order in which they are done."""

    def segment(self, source: MediaSource, segment: Segment) -> None:
        """A segment of a source that is not done yet."""

    def take(self, source: MediaSource, transcript: Transcript | None) -> Delivered:
        """Deliver; None where the source failed."""


class Printer:
    """Prints in the order in which the files were named, each as its segments come or when it is done."""

    def __init__(self, sources: Iterable[MediaSource], request: Request) -> None:
        form = request.formats[0]
        self._out = InOrder(sources, form, lambda transcript: render(transcript, form, request.subtitles))

    def segment(self, source: MediaSource, segment: Segment) -> None:
        self._out.segment(source, segment)

    def take(self, source: MediaSource, transcript: Transcript | None) -> Delivered:
        self._out.done(source, transcript)
        return Delivered()


class Writer:
    """Writes all formats of a file together and notes them; what is not ours and unchanged is looked for once more."""

    def __init__(self, work: Mapping[MediaSource, Job], request: Request) -> None:
        self._work, self._request = work, request
        # From before the work: what differs at its end is not what was transcribed.
        self._stamps = {source: stamp_of(job.input.path) for source, job in work.items()}

    def segment(self, source: MediaSource, segment: Segment) -> None:
        """Nothing is written before a file is done."""

    def take(self, source: MediaSource, transcript: Transcript | None) -> Delivered:
        if transcript is None:
            return Delivered()
        job = self._work[source]
        # All are rendered before the first is written: a fault in one format leaves no half of the outputs.
        contents = {form: render(transcript, form, self._request.subtitles).encode() for form in job.to_write}
        entry = self._entry(source, str(transcript.media.audio_stream))
        try:
            job.folder.mkdir(parents=True, exist_ok=True)
            with manifest.alone_in(job.folder):
                return self._write(job, entry, contents, self._request.name_of(language_of(transcript)))
        except OSError as error:
            if error.errno in _NO_MORE:
                raise DiskFull(str(job.folder), why(error)) from error
            return Delivered(reason=f"its outputs cannot be written: {why(error)}")

    def _entry(self, source: MediaSource, track: str) -> Entry:
        """What to note of a source, without outputs. A file that changed meanwhile has a digest that none has."""
        job, before = self._work[source], self._stamps[source]
        try:
            with source.open() as file:
                sha256 = sha256_of_open(file)
                stamp = Stamp.of(job.input.path) if job.input.path else Stamp(file.tell(), 0, 0, 0)
        except (OSError, MediaError):
            stamp = None
        if stamp is None or (job.input.path and stamp != before):
            _log.warning("%s changed while it was transcribed: the next run does it again", job.input.shown)
            stamp, sha256 = Stamp(-1, 0, 0, 0), ""
        recording = replace(Subject.of(job).recording, track=track)
        return Entry(recording, stamp, sha256, self._request.digest(), {}, self._request.text_digest())

    def _write(self, job: Job, entry: Entry, contents: Mapping[str, bytes], language: str) -> Delivered:
        subject = Subject(entry.recording, job.input.path, entry.sha256)
        copies: list[tuple[str, str]] = []  # name -> the copy's
        for _ in range(_ATTEMPTS):
            known = manifest.read(job.folder, warn=False)  # who planned with it has warned
            found = places(job, subject, known, language)
            kept = {} if self._request.force else found.in_the_way(contents)
            fresh = fresh_places(job, subject, known, found.base, language).names if kept else {}
            names = {form: (fresh if form in kept else found.names)[form] for form in contents}
            self._note(job, entry, known, names, contents)
            seen = {job.folder / found.names[form]: stamp for form, stamp in found.stamps.items()}
            made = self._set_aside(job, found, copies)
            seen |= {
                job.folder / name: Stamp.of_name(job.folder / name) for name, _ in made
            }  # a second name is a change
            copies += made
            new = [form for form in names if form in kept or found.standings[form] is Standing.FREE]
            try:
                write_together(
                    {job.folder / names[form]: data for form, data in contents.items()},
                    new=frozenset(job.folder / names[form] for form in new),
                    seen=seen,
                )
            except FileExistsError:
                continue
            return _delivered(job, found, names, kept, copies)
        return Delivered(reason="its outputs cannot be written: other programs take every name")

    def _note(
        self, job: Job, entry: Entry, known: Manifest, names: Mapping[str, str], contents: Mapping[str, bytes]
    ) -> None:
        """Before the files are there: who is killed then has not left a stranger's files to the next run."""
        outputs = {}
        for form, data in contents.items():
            older = known.outputs.get(names[form])
            before = (older[1].sha256, *older[1].before)[:3] if older else ()
            wanted = job.names[form] if names[form] != job.names[form] else ""
            outputs[form] = Output(names[form], hashlib.sha256(data).hexdigest(), wanted, before)
        noted = known.with_entry(replace(entry, outputs=outputs))
        try:
            manifest.write(job.folder, noted, known)
        except OSError as error:
            if error.errno in _NO_MORE:
                raise
            place = job.folder / manifest.MANIFEST
            _log.warning("%s cannot be written, this file will be done again: %s", place, why(error))

    def _set_aside(self, job: Job, found: Places, before: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Copies of what is replaced though it is not ours, or was changed, and was not copied `before`."""
        if not (self._request.force and self._request.backup):
            return []
        names = [found.names[form] for form in found.in_the_way(job.to_write)]
        known = {name for name, copy in before if is_set_aside(job.folder / name, job.folder / copy)}
        return [(name, set_aside(job.folder / name).name) for name in names if name not in known]


def language_of(transcript: Transcript) -> str:
    """The language that the text is in."""
    return "en" if transcript.task == Task.TRANSLATE else transcript.language


def _delivered(
    job: Job, found: Places, names: Mapping[str, str], kept: Mapping[str, Standing], copies: Sequence[tuple[str, str]]
) -> Delivered:
    remarks = [f"the former {name} is now {copy}" for name, copy in copies]
    if found.base != job.base:
        remarks.append(f"what is called {job.base.replace(TRACK, '*')} is of another recording or track")
    stood = ", ".join(
        f"{found.names[form]} ({standing.value}; what was written is {names[form]})" for form, standing in kept.items()
    )
    return Delivered(tuple(names.values()), tuple(remarks), stood)
