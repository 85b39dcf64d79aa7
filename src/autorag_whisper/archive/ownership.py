"""Which outputs a run may write. Pure but for the looks at the files in question.

Only what this command wrote, for the same recording, and what is as it was written, is replaced; a recording is told by
its file's name, folder and audio track, or by its content. All else is kept unless the user says `--force`.

| what stands under the name            | `Standing` | without `--force`                    | with it              |
|---------------------------------------|------------|--------------------------------------|----------------------|
| nothing                               | FREE       | written                              | written              |
| ours, of this recording, unchanged    | OURS       | replaced                             | replaced             |
| ours, of another recording or track   | OTHERS     | another name is taken                | the same             |
| ours, changed since                   | CHANGED    | kept                                 | copied, replaced     |
| anything else                         | FOREIGN    | kept                                 | copied, replaced     |
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from autorag_whisper.archive import manifest
from autorag_whisper.archive.fingerprint import Stamp
from autorag_whisper.archive.manifest import Manifest, Output, Recording
from autorag_whisper.files import sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from autorag_whisper.archive.manifest import Entry
    from autorag_whisper.archive.naming import PlannedFile


class Standing(Enum):
    """What stands under an output's name. The value says it of a file that is kept."""

    FREE = "nothing"
    OURS = "ours, unchanged"
    OTHERS = "of another recording"
    CHANGED = "changed since this command wrote it"
    FOREIGN = "not written by this command"

    @property
    def is_in_the_way(self) -> bool:
        """Whether it is kept unless the user says otherwise."""
        return self in (Standing.CHANGED, Standing.FOREIGN)


_UNKNOWN = "?"
"""Stands for the content of what is no regular file, or cannot be read: no digest is equal to it."""


class Subject:
    """What is transcribed, as far as it decides whose an output is. Its content is read when that must be known."""

    def __init__(self, recording: Recording, path: Path | None, sha256: str = "") -> None:
        self.recording, self._path, self._sha256 = recording, path, sha256

    @classmethod
    def of(cls, planned: PlannedFile) -> Subject:
        """The file of `planned`."""
        path = planned.input.path
        folder = "" if path is None else seen_from(planned.folder, path.parent)
        return cls(Recording(planned.input.name, folder, planned.parts.track, planned.parts.selector), path)

    @property
    def identity(self) -> str:
        """Tells it from other recordings of its name."""
        return f"{self.recording.folder or self.sha256} {self.recording.track}"

    @property
    def sha256(self) -> str:
        """Of its content; of what cannot be read one that nothing has."""
        if not self._sha256:
            self._sha256 = content_of(self._path) or _UNKNOWN if self._path else _UNKNOWN
        return self._sha256

    def is_recording_of(self, entry: Entry) -> bool:
        """Whether `entry` is about this recording: this track of the same file."""
        return self.recording.is_track_of(entry.recording) and self.is_file_of(entry)

    def is_file_of(self, entry: Entry) -> bool:
        """Whether `entry` is about this file: of the same place, or else of the same content."""
        mine, its = self.recording, entry.recording
        if mine.name != its.name:
            return False
        # Version 0.1.0 did not note the folder; beside their recording outputs can hardly be another's.
        return (bool(mine.folder) and (its.folder or ".") == mine.folder) or self._has_content_of(entry)

    def is_current(self, entry: Entry) -> bool:
        """Whether its content is what `entry` says was transcribed."""
        if self._path is None:
            return self.sha256 == entry.sha256
        try:
            return manifest.is_current(entry, self._path)
        except OSError:
            return False

    def _has_content_of(self, entry: Entry) -> bool:
        if self._path is not None and not self._sha256:
            try:
                if self._path.stat().st_size != entry.stamp.size_bytes:
                    return False
            except OSError:
                return False
        return self.sha256 == entry.sha256


def standing_of(found: str | None, noted: tuple[Output, bool] | None) -> Standing:
    """Of a content's digest, None for nothing, and what was noted: the output, and whether it is this recording's."""
    if found is None:
        return Standing.FREE
    if noted is None:
        return Standing.FOREIGN
    output, is_its = noted
    if not is_its:
        return Standing.OTHERS
    return Standing.OURS if output.is_ours(found) else Standing.CHANGED


@dataclass(frozen=True, slots=True)
class FinishedOutputs:
    """Of a file's formats those that need not be made: unchanged, or changed by somebody since they were made."""

    outputs: Mapping[str, Output]
    corrected: frozenset[str] = frozenset()


def finished(planned: PlannedFile, subject: Subject, digests: frozenset[str], known: Manifest) -> FinishedOutputs:
    """What of `planned` an earlier run made of the same content with the same options, and is still there."""
    outputs, corrected = dict[str, Output](), set[str]()
    for entry in known.called(subject.recording.name):
        if entry.options in digests and subject.is_current(entry):
            for form in planned.formats:
                output = entry.outputs.get(form)
                if output is None or not planned.is_called(form, output.asked_for):
                    continue
                found = content_of(planned.folder / output.name)
                if found is None or found in output.before:
                    continue
                outputs[form] = output
                if found != output.sha256:
                    corrected.add(form)
    return FinishedOutputs(outputs, frozenset(corrected))


@dataclass(frozen=True, slots=True)
class Places:
    """What a file's outputs are called after, and by format each one's name and what stands there.

    `stamps` are from before that was looked at.
    """

    base: str
    names: Mapping[str, str]
    standings: Mapping[str, Standing]
    stamps: Mapping[str, Stamp | None]

    def in_the_way(self, formats: Iterable[str]) -> dict[str, Standing]:
        """Those of `formats` whose file is kept unless the user says otherwise."""
        return {form: self.standings[form] for form in formats if self.standings[form].is_in_the_way}


def places(planned: PlannedFile, subject: Subject, known: Manifest, language: str) -> Places:
    """Where the outputs of `planned` belong: the first of its names that is not another recording's."""
    found = _look(planned, subject, known, planned.base, language)
    if Standing.OTHERS not in found.standings.values():
        return found
    owners = [known.outputs[found.names[form]][0] for form, who in found.standings.items() if who is Standing.OTHERS]
    track = subject.recording.track if all(map(subject.is_file_of, owners)) else ""
    for base in planned.other_bases(subject.identity, track=track):
        found = _look(planned, subject, known, base, language)
        if Standing.OTHERS not in found.standings.values():
            break
    return found


def fresh_places(planned: PlannedFile, subject: Subject, known: Manifest, base: str, language: str) -> Places:
    """Names that no file has, for outputs whose own names were taken meanwhile."""
    for candidate in planned.fresh(base):
        names = _names(planned, subject, candidate, language)
        if not any(os.path.lexists(planned.folder / name) or name in known.outputs for name in names.values()):
            return Places(candidate, names, dict.fromkeys(names, Standing.FREE), {})
    raise FileExistsError(f"{base}.new and all its like are taken")


def _look(planned: PlannedFile, subject: Subject, known: Manifest, base: str, language: str) -> Places:
    names = _names(planned, subject, base, language)
    standings = {}
    stamps = {form: Stamp.of_name(planned.folder / name) for form, name in names.items()}
    for form, name in names.items():
        noted = known.outputs.get(name)
        owner = (noted[1], subject.is_recording_of(noted[0])) if noted else None
        standings[form] = standing_of(content_of(planned.folder / name), owner)
    return Places(base, names, standings, stamps)


def _names(planned: PlannedFile, subject: Subject, base: str, language: str) -> dict[str, str]:
    return {form: planned.name(form, base, language, subject.recording.track) for form in planned.formats}


def content_of(path: Path) -> str | None:
    """The digest of a file's content; None where nothing can be seen, `_UNKNOWN` for what is no file or unreadable."""
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError):  # a name that is not known yet is no name at all; a new file replaces nothing anyway
        return None
    if not stat.S_ISREG(mode):  # a link is somebody's own arrangement
        return _UNKNOWN
    try:
        return sha256_of(path)
    except FileNotFoundError:
        return None
    except OSError:
        return _UNKNOWN


def seen_from(folder: Path, other: Path) -> str:
    """`other` as it is reached from `folder`: that holds when both are moved together."""
    start, end = os.path.realpath(folder), os.path.realpath(other)
    try:
        return os.path.relpath(end, start)
    except ValueError:  # another drive
        return end


def stamp_of(path: Path | None) -> Stamp | None:
    """The stamp of a file, None where it has none: opening it will say what is wrong."""
    try:
        return Stamp.of(path) if path else None
    except OSError:
        return None
