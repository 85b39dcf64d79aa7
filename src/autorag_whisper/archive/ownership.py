"""Which files a run may replace. It looks at the files in question, and changes nothing.

A file is replaced only if an earlier run wrote it for the same recording, and nobody has changed it since. Recordings
are the same if name, folder and audio track are, or their content is. All else is kept unless the user says `--force`.

| what stands under the name            | `Ownership` | without `--force`                    | with it              |
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


class Ownership(Enum):
    """Whose file has an output's name. The value is the wording for users."""

    FREE = "nothing"
    OURS = "ours, unchanged"
    OTHERS = "of another recording"
    CHANGED = "changed since autorag-whisper wrote it"
    FOREIGN = "not written by autorag-whisper"

    @property
    def is_in_the_way(self) -> bool:
        """Whether it is kept without `--force`."""
        return self in (Ownership.CHANGED, Ownership.FOREIGN)


_UNKNOWN = "?"
"""In the place of the digest of what is no regular file, or cannot be read; it is equal to none."""


class RecordingFile:
    """A recording with its file. The file is read, for its digest, only where that decides whether two are the same."""

    def __init__(self, recording: Recording, path: Path | None, sha256: str = "") -> None:
        self.recording, self._path, self._sha256 = recording, path, sha256

    @classmethod
    def of(cls, planned: PlannedFile) -> RecordingFile:
        """The file of `planned`."""
        path = planned.input.path
        folder = "" if path is None else seen_from(planned.folder, path.parent)
        return cls(Recording(planned.input.name, folder, planned.parts.track, planned.parts.selector), path)

    @property
    def identity(self) -> str:
        """What tells it from other recordings of its name."""
        return f"{self.recording.folder or self.sha256} {self.recording.track}"

    @property
    def sha256(self) -> str:
        """The digest of its content; where it cannot be read, a text that is no digest."""
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


def ownership_of(found: str | None, noted: tuple[Output, bool] | None) -> Ownership:
    """Whose a file is. `found`: its digest, None for no file; `noted`: the output of its name, and if it is of the same
    recording."""
    if found is None:
        return Ownership.FREE
    if noted is None:
        return Ownership.FOREIGN
    output, is_its = noted
    if not is_its:
        return Ownership.OTHERS
    return Ownership.OURS if output.is_ours(found) else Ownership.CHANGED


@dataclass(frozen=True, slots=True)
class FinishedOutputs:
    """Outputs by format that need not be made. `corrected`: the formats of those that somebody has changed since."""

    outputs: Mapping[str, Output]
    corrected: frozenset[str] = frozenset()


def finished(
    planned: PlannedFile, recording_file: RecordingFile, digests: frozenset[str], known: Manifest
) -> FinishedOutputs:
    """Those outputs of `planned` that an earlier run made of the same content and options, and that are still there."""
    outputs, corrected = dict[str, Output](), set[str]()
    for entry in known.called(recording_file.recording.name):
        if entry.options in digests and recording_file.is_current(entry):
            for form in planned.formats:
                output = entry.outputs.get(form)
                if output is None or not planned.is_called(form, output.asked_for):
                    continue
                found = content_of(planned.folder / output.name)
                if found is None or (found in output.before and found != output.sha256):
                    continue
                outputs[form] = output
                if found != output.sha256:
                    corrected.add(form)
    return FinishedOutputs(outputs, frozenset(corrected))


@dataclass(frozen=True, slots=True)
class Places:
    """Names for a file's outputs: their base, and by format the name and whose file has it now.

    `stamps`: those files' stamps, taken before they were looked at.
    """

    base: str
    names: Mapping[str, str]
    owned: Mapping[str, Ownership]
    stamps: Mapping[str, Stamp | None]

    def in_the_way(self, formats: Iterable[str]) -> dict[str, Ownership]:
        """Those of `formats` whose name a file has that is kept without `--force`."""
        return {form: self.owned[form] for form in formats if self.owned[form].is_in_the_way}


def places(planned: PlannedFile, recording_file: RecordingFile, known: Manifest, language: str) -> Places:
    """The first names for the outputs of `planned` that no other recording's outputs have."""
    found = _look(planned, recording_file, known, planned.base, language)
    if Ownership.OTHERS not in found.owned.values():
        return found
    owners = [known.outputs[found.names[form]][0] for form, who in found.owned.items() if who is Ownership.OTHERS]
    track = recording_file.recording.track if all(map(recording_file.is_file_of, owners)) else ""
    for base in planned.other_bases(recording_file.identity, track=track):
        found = _look(planned, recording_file, known, base, language)
        if Ownership.OTHERS not in found.owned.values():
            break
    return found


def fresh_places(
    planned: PlannedFile, recording_file: RecordingFile, known: Manifest, base: str, language: str
) -> Places:
    """Names that no file has, for outputs whose own names other programs took during the work."""
    for candidate in planned.fresh(base):
        names = _names(planned, recording_file, candidate, language)
        if not any(os.path.lexists(planned.folder / name) or name in known.outputs for name in names.values()):
            return Places(candidate, names, dict.fromkeys(names, Ownership.FREE), {})
    raise FileExistsError(f"{base}.new and all its like are taken")


def _look(planned: PlannedFile, recording_file: RecordingFile, known: Manifest, base: str, language: str) -> Places:
    names = _names(planned, recording_file, base, language)
    owned = {}
    stamps = {form: Stamp.of_name(planned.folder / name) for form, name in names.items()}
    for form, name in names.items():
        noted = known.outputs.get(name)
        owner = (noted[1], recording_file.is_recording_of(noted[0])) if noted else None
        owned[form] = ownership_of(content_of(planned.folder / name), owner)
    return Places(base, names, owned, stamps)


def _names(planned: PlannedFile, recording_file: RecordingFile, base: str, language: str) -> dict[str, str]:
    return {form: planned.name(form, base, language, recording_file.recording.track) for form in planned.formats}


def content_of(path: Path) -> str | None:
    """The digest of a file; None where there is none, `_UNKNOWN` where it is no regular file or unreadable."""
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
    """The path of `other` relative to `folder`: it stays true when both are moved together."""
    start, end = os.path.realpath(folder), os.path.realpath(other)
    try:
        return os.path.relpath(end, start)
    except ValueError:  # another drive
        return end


def stamp_of(path: Path | None) -> Stamp | None:
    """The stamp of a file; None where it cannot be looked at, as opening it will say what is wrong."""
    try:
        return Stamp.of(path) if path else None
    except OSError:
        return None
