"""A result on its way to its files: rendered, noted in the manifest, and written under the rules of ownership."""

from __future__ import annotations

import errno
import hashlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autorag_whisper.archive import manifest
from autorag_whisper.archive.fingerprint import Stamp
from autorag_whisper.archive.manifest import Entry, Output
from autorag_whisper.archive.naming import TRACK
from autorag_whisper.archive.outputs import back_up, is_backed_up, write_together
from autorag_whisper.archive.ownership import Ownership, RecordingFile, fresh_places, places, stamp_of
from autorag_whisper.domain.archive_errors import DiskFull, OutputsUnwritable
from autorag_whisper.domain.errors import MediaError
from autorag_whisper.domain.request import Task
from autorag_whisper.files import sha256_of_open, system_reason
from autorag_whisper.format import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from autorag_whisper.archive.manifest import Manifest
    from autorag_whisper.archive.naming import PlannedFile
    from autorag_whisper.archive.ownership import Places
    from autorag_whisper.archive.request import BatchRequest
    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.transcript import Transcript

_log = logging.getLogger(__name__)

_NO_MORE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""After these the next file cannot be written either."""

ATTEMPTS = 5
"""At names that other programs take, or files that they change, in the millisecond between the look and the writing."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a file's result: the names of its outputs, or why they could not be written (`error`).

    `remarks` say what became of files that were there. `kept` names those of them that stood where this belonged.
    """

    names: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    kept: str = ""
    error: OutputsUnwritable | None = None


class Backups:
    """Backups of what is replaced in a folder though it is not ours, or was changed; of each file one."""

    def __init__(self, folder: Path, *, wanted: bool) -> None:
        """Without `wanted` none is made."""
        self._folder, self._wanted = folder, wanted
        self._made: list[tuple[str, str]] = []  # name -> the copy's

    def make(self, names: Iterable[str]) -> dict[Path, Stamp | None]:
        """Copy the files of these names that have no copy yet; their stamps now, as a second name changes them.

        Raises:
            OSError: one cannot be copied.
        """
        if not self._wanted:
            return {}
        folder = self._folder
        known = {name for name, copy in self._made if is_backed_up(folder / name, folder / copy)}
        made = [(name, back_up(folder / name).name) for name in names if name not in known]
        self._made += made
        return {folder / name: Stamp.of_name(folder / name) for name, _ in made}

    @property
    def remarks(self) -> list[str]:
        """What the user should know of them."""
        return [f"the former {name} is now {copy}" for name, copy in self._made]


def noted_output(known: Manifest, name: str, data: bytes, wanted: str = "") -> Output:
    """An output as the manifest is to know it, with what was written under its name earlier.

    `wanted` is the name that was asked for, where that is another one.
    """
    older = known.outputs.get(name)
    sha256 = hashlib.sha256(data).hexdigest()
    earlier = dict.fromkeys((older[1].sha256, *older[1].before)) if older else {}
    earlier.pop(sha256, None)  # what is written again is no earlier content
    return Output(name, sha256, wanted, tuple(earlier)[:3])


class Writer:
    """Writes all formats of a file together and notes them; what is not ours and unchanged is looked for once more."""

    def __init__(self, work: Mapping[MediaSource, PlannedFile], request: BatchRequest) -> None:
        self._work, self._request = work, request
        # From before the work: what differs at its end is not what was transcribed.
        self._stamps = {source: stamp_of(planned.input.path) for source, planned in work.items()}

    def write(self, source: MediaSource, transcript: Transcript) -> Written:
        """Write those outputs of a file that are still to be made, and note them.

        Raises:
            DiskFull: nothing more can be written.
        """
        planned = self._work[source]
        if not planned.formats:
            return Written()
        # All are rendered before the first is written: a fault in one format leaves no half of the outputs.
        contents = {form: render(transcript, form, self._request.subtitles).encode() for form in planned.to_write}
        entry = self._entry(source, str(transcript.media.audio_stream))
        try:
            planned.folder.mkdir(parents=True, exist_ok=True)
            with manifest.locked(planned.folder):
                return self._write(planned, entry, contents, self._request.name_of(language_of(transcript)))
        except OSError as error:
            if error.errno in _NO_MORE:
                raise DiskFull(str(planned.folder), system_reason(error)) from error
            return Written(error=OutputsUnwritable(planned.input.shown, system_reason(error)))

    def _entry(self, source: MediaSource, track: str) -> Entry:
        """What to note of a source, without outputs. A file that changed meanwhile has a digest that none has."""
        planned, before = self._work[source], self._stamps[source]
        try:
            with source.open() as file:
                sha256 = sha256_of_open(file)
                stamp = Stamp.of(planned.input.path) if planned.input.path else Stamp(file.tell(), 0, 0, 0)
        except (OSError, MediaError):
            stamp = None
        if stamp is None or (planned.input.path and stamp != before):
            _log.warning("%s changed while it was transcribed: the next run does it again", planned.input.shown)
            stamp, sha256 = Stamp(-1, 0, 0, 0), ""
        recording = replace(RecordingFile.of(planned).recording, track=track)
        return Entry(recording, stamp, sha256, self._request.digest(), {}, self._request.text_digest())

    def _write(self, planned: PlannedFile, entry: Entry, contents: Mapping[str, bytes], language: str) -> Written:
        folder, recording_file = planned.folder, RecordingFile(entry.recording, planned.input.path, entry.sha256)
        backups = Backups(folder, wanted=self._request.force and self._request.backup)
        for _ in range(ATTEMPTS):
            known = manifest.read(folder, warn=False)  # who planned with it has warned
            found = places(planned, recording_file, known, language)
            kept = {} if self._request.force else found.in_the_way(contents)
            fresh = fresh_places(planned, recording_file, known, found.base, language).names if kept else {}
            names = {form: (fresh if form in kept else found.names)[form] for form in contents}
            _note(planned, entry, known, {names[form]: (form, data) for form, data in contents.items()})
            seen = {folder / found.names[form]: stamp for form, stamp in found.stamps.items()}
            seen |= backups.make(found.names[form] for form in found.in_the_way(contents))
            new = [form for form in names if form in kept or found.owned[form] is Ownership.FREE]
            try:
                write_together(
                    {folder / names[form]: data for form, data in contents.items()},
                    new=frozenset(folder / names[form] for form in new),
                    seen=seen,
                )
            except FileExistsError:
                continue
            return _written(planned, found, names, kept, backups)
        return Written(error=OutputsUnwritable(planned.input.shown, "other programs take every name"))


def language_of(transcript: Transcript) -> str:
    """The language that the text is in."""
    return "en" if transcript.task == Task.TRANSLATE else transcript.language


def _note(planned: PlannedFile, entry: Entry, known: Manifest, written: Mapping[str, tuple[str, bytes]]) -> None:
    """Note the outputs (name -> format, data) before they are there.

    Who is killed between the two has not left a stranger's files to the next run.
    """
    asked_for = planned.names
    outputs = {
        form: noted_output(known, name, data, asked_for[form] if asked_for[form] != name else "")
        for name, (form, data) in written.items()
    }
    try:
        manifest.write(planned.folder, known.with_entry(replace(entry, outputs=outputs)), known)
    except OSError as error:
        if error.errno in _NO_MORE:
            raise
        place = planned.folder / manifest.MANIFEST
        _log.warning("%s cannot be written, this file will be done again: %s", place, system_reason(error))


def _written(
    planned: PlannedFile, found: Places, names: Mapping[str, str], kept: Mapping[str, Ownership], backups: Backups
) -> Written:
    remarks = backups.remarks
    if found.base != planned.base:
        remarks.append(f"what is called {planned.base.replace(TRACK, '*')} is of another recording or track")
    stood = ", ".join(
        f"{found.names[form]} ({standing.value}; what was written is {names[form]})" for form, standing in kept.items()
    )
    return Written(tuple(names.values()), tuple(remarks), stood)
