"""Before the work: which files, written where, which of them are finished, and what cannot be done at all."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from autorag_whisper.cli import sidecar
from autorag_whisper.cli.exits import BadUsage
from autorag_whisper.cli.inputs import expand
from autorag_whisper.cli.ledger import why
from autorag_whisper.cli.naming import plan
from autorag_whisper.cli.outputs import make_writable
from autorag_whisper.cli.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from autorag_whisper.cli.inputs import Input
    from autorag_whisper.cli.ledger import Ledger
    from autorag_whisper.cli.naming import Job
    from autorag_whisper.cli.request import Request

    _EntriesOf = Callable[[Path], dict[str, sidecar.Entry]]


def jobs_of(request: Request, ledger: Ledger, *, name_skipped: bool) -> tuple[Job, ...]:
    """What is to be done. `name_skipped`: say of each finished file that it is left out.

    Raises:
        BadUsage: nothing was found, outputs would meet, or the output folder cannot be written.
    """
    finished = cache(sidecar.read)  # one look at each folder, so one warning for each that makes no sense
    inputs = _inputs(request, ledger, finished)
    if request.printing:
        return plan(inputs, (), None)
    jobs = plan(inputs, request.formats, request.output_dir)
    if not request.force:
        jobs = tuple(_unfinished(jobs, request.digest(), finished, ledger, name_skipped=name_skipped))
    if jobs and request.output_dir is not None:
        _make(request.output_dir)
    return tuple(_writable(jobs, ledger))


def _unfinished(
    jobs: Sequence[Job], digest: str, entries_of: _EntriesOf, ledger: Ledger, *, name_skipped: bool
) -> Iterator[Job]:
    for job in jobs:
        if not sidecar.is_finished(job, digest, entries_of(job.folder).get(job.input.name)):
            yield job
            continue
        ledger.skipped += 1
        if name_skipped:
            say(f"{job.input.shown}: finished by an earlier run, skipped")


def _inputs(request: Request, ledger: Ledger, entries_of: _EntriesOf) -> tuple[Input, ...]:
    def is_output(path: Path) -> bool:
        names = (entry.names for entry in entries_of(path.parent).values())
        return path.name == sidecar.SIDECAR or any(path.name in made for made in names)

    found = expand(request.arguments, is_output)
    if not found.inputs:
        reasons = [*(f"{problem.shown}: {problem.reason}" for problem in found.problems), *found.notes]
        raise BadUsage("nothing to transcribe: " + "; ".join(reasons), "name media files, or folders that hold some")
    for note in found.notes:
        say(note)
    ledger.problems.extend(found.problems)
    return found.inputs


def _make(folder: Path) -> None:
    try:
        make_writable(folder)
    except OSError as error:
        raise BadUsage(f"{folder} cannot be written to: {why(error)}", "choose another output folder") from error


def _writable(jobs: Sequence[Job], ledger: Ledger) -> Iterator[Job]:
    """The jobs whose outputs can be written; the others fail now and not after the work."""
    obstacle_in = cache(_obstacle)
    for job in jobs:
        blocked = [path.name for path in job.targets.values() if path.is_dir()]
        reason = obstacle_in(job.folder) or (f"its output {blocked[0]} is a folder" if blocked else "")
        if reason:
            ledger.fail(job.input.shown, reason)
        else:
            yield job


def _obstacle(folder: Path) -> str:
    """Why nothing can be written in `folder`, "" if it can. One that is missing is made when it gets its first file."""
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        make_writable(nearest)
    except OSError as error:
        return f"{nearest} cannot be written to: {why(error)}"
    return ""
