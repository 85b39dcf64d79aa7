"""Where a transcript goes when it is ready: to its files, or to standard output."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Protocol

import click

from autorag_whisper.cli import sidecar
from autorag_whisper.cli.exits import CannotPrint
from autorag_whisper.cli.fingerprint import Stamp, sha256_of
from autorag_whisper.cli.ledger import why
from autorag_whisper.cli.outputs import write_together
from autorag_whisper.format import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.cli.naming import Job
    from autorag_whisper.domain.transcript import Transcript

_log = logging.getLogger(__name__)


class Delivery(Protocol):
    """Takes what comes of each source, once, in the order in which they are done."""

    def take(self, source: MediaSource, transcript: Transcript | None) -> str:
        """Deliver; None where the source failed. The reason why it cannot be delivered, "" where it was."""


class Printer:
    """Prints in the order in which the files were named, each as soon as it is its turn."""

    def __init__(self, sources: Iterable[MediaSource], form: str) -> None:
        self._order = list(sources)
        self._form = form
        self._ready: dict[MediaSource, bytes] = {}

    def take(self, source: MediaSource, transcript: Transcript | None) -> str:
        self._ready[source] = render(transcript, self._form).encode() if transcript else b""
        while self._order and self._order[0] in self._ready:
            _print(self._ready.pop(self._order.pop(0)))
        return ""


class Writer:
    """Writes all formats of a file together and notes it as finished."""

    def __init__(self, work: Mapping[MediaSource, Job], digest: str) -> None:
        self._work = work
        self._digest = digest
        # From before the work: what differs at its end is not what was transcribed.
        self._stamps = {source: _stamp(job.input.path) for source, job in work.items()}

    def take(self, source: MediaSource, transcript: Transcript | None) -> str:
        if transcript is None:
            return ""
        job = self._work[source]
        # All are rendered before the first is written: a fault in one format leaves no half of the outputs.
        contents = {form: render(transcript, form).encode() for form in job.names}
        try:
            job.folder.mkdir(parents=True, exist_ok=True)
            write_together({job.folder / job.names[form]: data for form, data in contents.items()})
        except OSError as error:
            return f"its outputs cannot be written: {why(error)}"
        self._note(job, self._stamps[source], contents)
        return ""

    def _note(self, job: Job, stamp: Stamp | None, contents: Mapping[str, bytes]) -> None:
        path = job.input.path
        if path is None or stamp is None:
            return
        try:
            digest = sha256_of(path)
            unchanged = Stamp.of(path) == stamp
        except OSError:
            unchanged = False
        if not unchanged:
            _log.warning("%s changed while it was transcribed: the next run does it again", job.input.shown)
            return
        outputs = {
            form: sidecar.Output(job.names[form], hashlib.sha256(data).hexdigest()) for form, data in contents.items()
        }
        sidecar.record(job.folder, job.input.name, sidecar.Entry(stamp, digest, self._digest, outputs))


def _print(data: bytes) -> None:
    try:
        click.echo(data, nl=False)
    except BrokenPipeError:  # who read has enough; click ends the command without a word
        raise
    except OSError as error:
        raise CannotPrint(why(error)) from error


def _stamp(path: Path | None) -> Stamp | None:
    try:
        return Stamp.of(path) if path else None
    except OSError:  # opening it will say what is wrong
        return None
