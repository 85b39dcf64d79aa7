"""Before the work: which files, written where, which of them are finished, and what cannot be done at all."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from autorag_whisper.archive import manifest
from autorag_whisper.archive.inputs import Found, NotDone, find
from autorag_whisper.archive.naming import LANGUAGE, PlannedFile, name_outputs
from autorag_whisper.archive.outputs import make_writable
from autorag_whisper.archive.ownership import RecordingFile, finished, places
from autorag_whisper.domain.archive_errors import OutputFolderUnwritable
from autorag_whisper.files import system_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from autorag_whisper.archive.manifest import Manifest
    from autorag_whisper.archive.request import BatchRequest


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """A file that is left out, as an earlier run made all of its outputs.

    `shown` is how the user would write it, `edited` names the outputs that somebody has changed since: they stay.
    """

    shown: str
    edited: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why it is left out."""
        edited = f"; {', '.join(self.edited)} was changed since and stays as it is" if self.edited else ""
        return f"finished by an earlier run{edited}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch will do, and what it will not.

    `files` are to be transcribed. `finished` are left out. `kept`: files stand where outputs belong and are not
    replaced; the other outputs of such an input may still be made. `failed` cannot be written.
    """

    files: tuple[PlannedFile, ...]
    finished: tuple[FinishedFile, ...] = ()
    kept: tuple[NotDone, ...] = ()
    failed: tuple[NotDone, ...] = ()


@dataclass(frozen=True, slots=True)
class Left:
    """What is left to do of one file: `planned`, None where it is finished or all that is missing is `kept`.

    `kept` names the files that stand where outputs belong, "" where there are none.
    """

    planned: PlannedFile | None
    finished: FinishedFile | None = None
    kept: str = ""


class Planner:
    """Looks at the disk before the work, in three steps: `find`, `plan`, and `prepare`, which alone writes to it.

    Each folder's manifest is read once, so that there is one warning for each that makes no sense.
    """

    def __init__(self, request: BatchRequest) -> None:
        self._request = request
        self._manifest_of = cache(manifest.read)

    def find(self, arguments: Sequence[str]) -> Found:
        """The files that `arguments` name, without the outputs of earlier runs.

        Raises:
            NothingFound: there is none.
        """
        found = find(arguments, self._is_output)
        found.refuse_if_empty("transcribe")
        return found

    def plan(self, found: Found) -> Plan:
        """What is to be done with them.

        Raises:
            OutputsMeet: outputs of two files would have one name, or an output would replace an input.
        """
        request = self._request
        if not request.formats:
            return Plan(name_outputs(found.inputs, (), None))
        named = name_outputs(found.inputs, request.formats, request.output_dir, parts=request.parts)
        files, failed = _partition(named, _blocked)
        if request.force:
            return Plan(files, failed=failed)
        digests, language = request.digests(), request.language_of_names or LANGUAGE
        left = [left_of(planned, digests, language, self._manifest_of(planned.folder)) for planned in files]
        return Plan(
            tuple(one.planned for one in left if one.planned is not None),
            tuple(one.finished for one in left if one.finished is not None),
            tuple(NotDone(planned.input.shown, one.kept) for planned, one in zip(files, left, strict=True) if one.kept),
            failed,
        )

    def prepare(self, plan: Plan) -> Plan:
        """Make the output folder, and find out which folders cannot be written to: their files fail before the work.

        Raises:
            OutputFolderUnwritable: that is the one output folder of all.
        """
        if plan.files and self._request.output_dir is not None:
            _make(self._request.output_dir)
        obstacle_in = cache(_obstacle)
        files, failed = _partition(plan.files, lambda planned: obstacle_in(planned.folder))
        return replace(plan, files=files, failed=(*plan.failed, *failed))

    def _is_output(self, path: Path) -> bool:
        return path.name == manifest.MANIFEST or path.name in self._manifest_of(path.parent).outputs


def left_of(planned: PlannedFile, digests: frozenset[str], language: str, known: Manifest) -> Left:
    """What is left to do of `planned`, by its folder's manifest and the files that are there.

    `digests` are those of the options that are as good, `language` is the one in the outputs' names.
    """
    recording_file = RecordingFile.of(planned)
    done = finished(planned, recording_file, digests, known)
    if len(done.outputs) == len(planned.formats):
        edited = tuple(done.outputs[form].name for form in planned.formats if form in done.corrected)
        return Left(None, FinishedFile(planned.input.shown, edited))
    found = places(planned, recording_file, known, language)
    missing = tuple(form for form in planned.formats if form not in done.outputs)
    kept = found.in_the_way(missing)
    missing = tuple(form for form in missing if form not in kept)
    named = ", ".join(f"{found.names[form]} ({standing.value})" for form, standing in kept.items())
    return Left(replace(planned, left=missing) if missing else None, kept=named)


def _partition(
    files: Sequence[PlannedFile], obstacle: Callable[[PlannedFile], str]
) -> tuple[tuple[PlannedFile, ...], tuple[NotDone, ...]]:
    """The files without an obstacle, and the others with theirs."""
    looked = [(planned, obstacle(planned)) for planned in files]
    return (
        tuple(planned for planned, reason in looked if not reason),
        tuple(NotDone(planned.input.shown, reason) for planned, reason in looked if reason),
    )


def _blocked(planned: PlannedFile) -> str:
    """Why an output of it cannot be written whatever is done; "" where none is known."""
    for path in planned.targets.values():
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises EACCES
            return f"its output {path.name} is a folder; move that away, or choose another output folder"
    return ""


def _make(folder: Path) -> None:
    try:
        make_writable(folder)
    except OSError as error:
        raise OutputFolderUnwritable(str(folder), system_reason(error)) from error


def _obstacle(folder: Path) -> str:
    """Why nothing can be written in `folder`, "" if it can. One that is missing is made when it gets its first file."""
    here_and_above = (folder, *folder.absolute().parents)
    nearest = next(place for place in here_and_above if os.path.exists(place))  # noqa: PTH110 - as there
    try:
        make_writable(nearest)
    except OSError as error:
        return (
            f"{nearest} cannot be written to: {system_reason(error)}; make it writable, or choose another output folder"
        )
    return ""
