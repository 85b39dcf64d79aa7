"""A batch at work: each file in its turn, reserved from other runs, and delivered when its result is there."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Self

from autorag_whisper.archive import manifest
from autorag_whisper.archive.checkpoints import CheckpointFolder
from autorag_whisper.archive.naming import LANGUAGE
from autorag_whisper.archive.planning import left_of
from autorag_whisper.archive.reservations import FOLDER, Reservations
from autorag_whisper.archive.writing import Writer, Written
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import MediaError, MediaUnreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from autorag_whisper.archive.naming import PlannedFile
    from autorag_whisper.archive.request import BatchRequest
    from autorag_whisper.transcriber import FileOutcome


class UpdateKind(Enum):
    """What became of a file when its turn came."""

    RESUMED = "it goes on behind the chunks that an earlier run has finished"
    RESERVED = "left out: another run is at work on it"
    FINISHED = "left out: another run has finished it since it was planned"
    KEPT = "files stand where its outputs belong, and are kept"


@dataclass(frozen=True, slots=True)
class Update:
    """Something to know of a file. `chunks`: how many are finished (RESUMED); `kept` names the files (KEPT)."""

    planned: PlannedFile
    kind: UpdateKind
    chunks: int = 0
    kept: str = ""


class Batch:
    """The files of a plan on their way through a transcriber. A context manager: at its end all reservations are gone.

    `sources` goes into the transcriber, `finish` takes each outcome, both in one thread. `checkpoints` keep finished
    chunks in the cache directory for the next run (`transcriber.checkpoint.Supervised` has the transcriber use them).
    """

    def __init__(
        self,
        work: Mapping[MediaSource, PlannedFile],
        request: BatchRequest,
        *,
        cache_dir: Path,
        now_s: float,
        on_update: Callable[[Update], None] = lambda _update: None,
    ) -> None:
        """`now_s`: the time as `time.time` has it; what earlier runs have left for a month is removed.

        `on_update` is told what becomes of files when their turn comes.
        """
        self._work, self._request, self._on_update = work, request, on_update
        self._digests = request.digests()
        self._writer = Writer(work, request)
        self._reservations = Reservations(cache_dir.absolute() / FOLDER)
        self.checkpoints = CheckpointFolder.of_request(cache_dir, request)
        self.checkpoints.prune(now_s)
        self._numbers: dict[MediaSource, int] = {}

    def sources(self) -> Iterator[MediaSource]:
        """The files to transcribe, each reserved when it is asked for; what is done or taken meanwhile is left out."""
        for source, planned in self._work.items():
            if not planned.formats or self._is_ours(planned):
                self._numbers[source] = number = self.checkpoints.begin(planned.input.path)
                if chunks := len(self.checkpoints.done(number)):
                    self._on_update(Update(planned, UpdateKind.RESUMED, chunks=chunks))
                yield source

    def finish(self, outcome: FileOutcome) -> Written:
        """Write the outputs of a file that `sources` gave, if it did not fail, and give its reservation back.

        Its finished chunks stay for the next run where that may still make something of them.

        Raises:
            DiskFull: nothing more can be written; the batch should end.
        """
        written = Written() if outcome.transcript is None else self._writer.write(outcome.source, outcome.transcript)
        is_done = outcome.error is None and written.error is None
        if is_done or isinstance(outcome.error, MediaError):
            self.checkpoints.forget(self._numbers[outcome.source])
        self._reservations.release(_place(self._work[outcome.source]))
        return written

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._reservations.close()

    def _is_ours(self, planned: PlannedFile) -> bool:
        """Reserve a file, and look once more whether it is to be done: another run may have finished it meanwhile."""
        if not self._reservations.take(_place(planned)):
            self._on_update(Update(planned, UpdateKind.RESERVED))
            return False
        if self._request.force or planned.input.path is None:
            return True
        language = self._request.language_of_names or LANGUAGE
        left = left_of(planned, self._digests, language, manifest.read(planned.folder, warn=False))
        if left.planned is not None:
            return True
        if left.kept:
            self._on_update(Update(planned, UpdateKind.KEPT, kept=left.kept))
        if left.finished is not None:
            self._on_update(Update(planned, UpdateKind.FINISHED))
        self._reservations.release(_place(planned))
        return False


def open_sources(
    files: Iterable[PlannedFile], standard_input: Callable[[], MediaSource] | None = None
) -> tuple[dict[MediaSource, PlannedFile], list[tuple[PlannedFile, MediaError]]]:
    """A source for every file, and the files for which there is none with the reason.

    `standard_input` makes a source of the process's standard input; without it a file `-` has none.
    """
    work, failed = dict[MediaSource, "PlannedFile"](), list[tuple["PlannedFile", MediaError]]()
    for planned in files:
        path = planned.input.path
        try:
            if path is not None:
                source = MediaSource.from_path(path)
            elif standard_input is not None:
                source = standard_input()
            else:
                raise MediaUnreadable("stdin", "is not read here")
            work[source] = planned
        except MediaError as error:
            failed.append((planned, error))
    return work, failed


def _place(planned: PlannedFile) -> Path:
    """What is reserved: the outputs of one audio track of one file. Another file of that name has others."""
    path = planned.input.path
    # Each text through standard input is its own, so that every run has another reservation.
    origin = os.fsencode(_real(path)) if path is not None else str(os.getpid()).encode()
    return planned.folder / f"{planned.base}*{planned.parts.selector}*{hashlib.sha256(origin).hexdigest()[:16]}"


def _real(path: Path) -> str:
    """A file by its real folder and its name there, as `archive.inputs` tells files apart."""
    return os.path.realpath(path.parent) + os.sep + path.name
