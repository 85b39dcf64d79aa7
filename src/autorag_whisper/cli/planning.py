"""Before the work: which files, written where, which of them are finished, and what cannot be done at all."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from autorag_whisper.archive import manifest
from autorag_whisper.archive.inputs import expand
from autorag_whisper.archive.naming import LANGUAGE, plan
from autorag_whisper.archive.outputs import make_writable
from autorag_whisper.archive.ownership import Subject, finished, places
from autorag_whisper.cli.exits import BadUsage
from autorag_whisper.cli.ledger import why
from autorag_whisper.cli.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from autorag_whisper.archive.inputs import Input
    from autorag_whisper.archive.manifest import Manifest
    from autorag_whisper.archive.naming import Job
    from autorag_whisper.cli.ledger import Ledger
    from autorag_whisper.cli.request import Request

    _ReadManifest = Callable[[Path], Manifest]


def jobs_of(request: Request, ledger: Ledger, *, name_skipped: bool) -> tuple[Job, ...]:
    """What is to be done. `name_skipped`: say of each finished file that it is left out.

    Raises:
        BadUsage: nothing was found, outputs would meet, or the output folder cannot be written.
    """
    known = cache(manifest.read)  # one look at each folder, so one warning for each that makes no sense
    inputs = _inputs(request, ledger, known)
    if request.printing:
        return plan(inputs, (), None)
    jobs = plan(inputs, request.formats, request.output_dir, marks=request.marks)
    jobs = tuple(_not_blocked(jobs, ledger))
    if not request.force:
        jobs = tuple(_unfinished(jobs, request, known, ledger, name_skipped=name_skipped))
    if jobs and request.output_dir is not None:
        _make(request.output_dir)
    return tuple(_writable(jobs, ledger))


def unfinished(job: Job, digests: frozenset[str], language: str, known: Manifest) -> tuple[Job | None, str, str]:
    """What is left of `job`, None where nothing is; why it is finished, if so; and which files are kept in its way.

    `digests` are those of the options that are as good, `language` is the one in the outputs' names.
    """
    subject = Subject.of(job)
    done = finished(job, subject, digests, known)
    corrected = [done.outputs[form].name for form in job.formats if form in done.corrected]
    if len(done.outputs) == len(job.formats):
        edited = f"; {', '.join(corrected)} was changed since and stays as it is" if corrected else ""
        return None, f"finished by an earlier run{edited}", ""
    found = places(job, subject, known, language)
    missing = tuple(form for form in job.formats if form not in done.outputs)
    kept = found.in_the_way(missing)
    missing = tuple(form for form in missing if form not in kept)
    reason = ", ".join(f"{found.names[form]} ({standing.value})" for form, standing in kept.items())
    return replace(job, left=missing) if missing else None, "", reason


def _unfinished(
    jobs: Sequence[Job], request: Request, known: _ReadManifest, ledger: Ledger, *, name_skipped: bool
) -> Iterator[Job]:
    digests, language = request.digests(), request.language_of_names or LANGUAGE
    for job in jobs:
        left, why_finished, kept = unfinished(job, digests, language, known(job.folder))
        if kept:
            ledger.keep(job.input.shown, kept)
        if left is not None:
            yield left
        elif why_finished:
            ledger.skipped += 1
            if name_skipped or ";" in why_finished:
                say(f"{job.input.shown}: {why_finished}, skipped")


def _inputs(request: Request, ledger: Ledger, known: _ReadManifest) -> tuple[Input, ...]:
    def is_output(path: Path) -> bool:
        return path.name == manifest.MANIFEST or path.name in known(path.parent).outputs

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
    """The jobs whose folders can be written to; the others fail now and not after the work."""
    obstacle_in = cache(_obstacle)
    for job in jobs:
        if reason := obstacle_in(job.folder):
            ledger.fail(job.input.shown, reason)
        else:
            yield job


def _not_blocked(jobs: Sequence[Job], ledger: Ledger) -> Iterator[Job]:
    for job in jobs:
        targets = job.targets.values()
        blocked = [path.name for path in targets if os.path.isdir(path)]  # noqa: PTH112 - Path.is_dir raises EACCES
        if blocked:
            ledger.fail(
                job.input.shown, f"its output {blocked[0]} is a folder; move that away, or choose another --output-dir"
            )
        else:
            yield job


def _obstacle(folder: Path) -> str:
    """Why nothing can be written in `folder`, "" if it can. One that is missing is made when it gets its first file."""
    here_and_above = (folder, *folder.absolute().parents)
    nearest = next(place for place in here_and_above if os.path.exists(place))  # noqa: PTH110 - as there
    try:
        make_writable(nearest)
    except OSError as error:
        return f"{nearest} cannot be written to: {why(error)}"
    return ""
