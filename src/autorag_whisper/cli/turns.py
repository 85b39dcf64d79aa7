"""Each file in its turn: reserved from other runs, and with the chunks that an earlier run has left of it."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Self

from autorag_whisper.archive import manifest
from autorag_whisper.archive.naming import LANGUAGE
from autorag_whisper.archive.reservations import FOLDER, Reservations
from autorag_whisper.archive.unfinished import Unfinished
from autorag_whisper.cli.planning import unfinished
from autorag_whisper.cli.progress import say
from autorag_whisper.domain.errors import MediaError
from autorag_whisper.models.store import default_cache_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from autorag_whisper.archive.naming import Job
    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.cli.ledger import Ledger
    from autorag_whisper.cli.progress import Tally
    from autorag_whisper.cli.request import Request
    from autorag_whisper.transcriber import FileOutcome


class Turns:
    """Gives a run its files, each when it is about to be read; what another run is at, or has finished, is left out."""

    def __init__(
        self, work: Mapping[MediaSource, Job], request: Request, context: CommandContext, tally: Tally, ledger: Ledger
    ) -> None:
        self._work, self._request, self._tally, self._ledger = work, request, tally, ledger
        self._digests = request.digests()
        cache_dir = (request.settings.cache_dir or default_cache_dir(context.environ)).absolute()
        self._reservations = Reservations(cache_dir / FOLDER)
        settings = request.settings
        facts = {"options": request.text_digest(), "device": request.device, "compute_type": settings.compute_type}
        self.chunks = Unfinished(cache_dir / "unfinished", facts)
        self.chunks.prune(context.now())
        self._numbers: dict[MediaSource, int] = {}

    def sources(self) -> Iterator[MediaSource]:
        """The files that this run does."""
        for source, job in self._work.items():
            if self._request.printing or self._take(job):
                self._numbers[source] = number = self.chunks.begin(job.input.path)
                if done := len(self.chunks.done(number)):
                    pieces = "1 piece" if done == 1 else f"{done} pieces"
                    say(f"{job.input.shown}: goes on behind {pieces} that an earlier run has finished")
                yield source
            else:
                self._tally.files -= 1

    def over(self, outcome: FileOutcome, delivered: bool) -> None:
        """A file is done with. Its chunks stay for the next run where that may still make something of them."""
        if delivered or isinstance(outcome.error, MediaError):
            self.chunks.forget(self._numbers[outcome.source])
        job = self._work[outcome.source]
        self._reservations.release(_place(job))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._reservations.close()

    def _take(self, job: Job) -> bool:
        """Reserve a file, and look once more whether it is to be done: another run may have finished it meanwhile."""
        if not self._reservations.take(_place(job)):
            self._ledger.elsewhere += 1
            say(f"{job.input.shown}: another run is at work on it, left to that")
            return False
        if self._request.force or job.input.path is None:
            return True
        language = self._request.language_of_names or LANGUAGE
        left, why_finished, kept = unfinished(job, self._digests, language, manifest.read(job.folder, warn=False))
        if left is not None:
            return True
        if kept:
            self._ledger.keep(job.input.shown, kept)
        if why_finished:
            self._ledger.skipped += 1
            say(f"{job.input.shown}: finished by another run meanwhile")
        self._reservations.release(_place(job))
        return False


def _place(job: Job) -> Path:
    """What is reserved: the outputs of one audio track of one file. Another file of that name has others."""
    path = job.input.path
    # Each text through standard input is its own, so that every run has another reservation.
    origin = os.fsencode(_real(path)) if path is not None else str(os.getpid()).encode()
    return job.folder / f"{job.base}*{job.marks.selector}*{hashlib.sha256(origin).hexdigest()[:16]}"


def _real(path: Path) -> str:
    """A file by its real folder and its name there, as `archive.inputs` tells files apart."""
    return os.path.realpath(path.parent) + os.sep + path.name
