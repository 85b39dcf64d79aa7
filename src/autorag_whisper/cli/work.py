"""The work of `transcribe`: every file on one transcriber, each written or printed when it is done."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from autorag_whisper.archive import Batch, Planner, UpdateKind, open_sources
from autorag_whisper.audio.source import spool
from autorag_whisper.cli.exits import Terminated
from autorag_whisper.cli.printing import Printer, Shown
from autorag_whisper.cli.progress import Tally, can_draw, clock_time, complain, reporter, say, speed_text
from autorag_whisper.cli.remarks import heard_s, log_details, status
from autorag_whisper.cli.summary import reason_of
from autorag_whisper.domain.archive_errors import DiskFull
from autorag_whisper.domain.errors import AutoragWhisperError, MediaUnreadable
from autorag_whisper.domain.transcript import Segment
from autorag_whisper.models.store import default_cache_dir
from autorag_whisper.transcriber.cancellation import CancelToken
from autorag_whisper.transcriber.checkpoint import Supervised
from autorag_whisper.transcriber.run_request import RunControl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from autorag_whisper.archive import PlannedFile, Update, Written
    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.cli.progress import Reporter
    from autorag_whisper.cli.request import Request
    from autorag_whisper.cli.summary import Summary
    from autorag_whisper.transcriber import FileOutcome

    _Work = Mapping[MediaSource, PlannedFile]


def planned_files(request: Request, summary: Summary, *, name_finished: bool) -> tuple[PlannedFile, ...]:
    """The files to transcribe. `name_finished`: say of each finished file that it is left out.

    Raises:
        NothingFound, OutputsMeet, OutputFolderUnwritable: see `archive.Planner`.
    """
    planner = Planner(request.batch)
    found = planner.find(request.arguments)
    for note in found.notes:
        say(note)
    summary.problems.extend(found.problems)
    plan = planner.plan(found)
    for kept in plan.kept:
        summary.keep(kept.shown, kept.reason)
    for finished in plan.finished:
        summary.skipped += 1
        if name_finished or finished.edited:
            say(f"{finished.shown}: {finished.reason}, skipped")
    plan = planner.prepare(plan)
    summary.problems.extend(plan.failed)
    return plan.files


def do(files: Sequence[PlannedFile], request: Request, context: CommandContext, summary: Summary) -> None:
    """Transcribe every file, and write or print it. What is written stays, also when the user stops the rest."""
    work, failed = open_sources(files, _standard_input)
    for planned, error in failed:
        summary.fail(planned.input.shown, reason_of(error))
    if not work:
        return
    tally = Tally(len(work), context.clock())
    try:
        _transcribe(work, request, context, tally, summary)
    except (KeyboardInterrupt, Terminated, AutoragWhisperError) as error:
        if isinstance(error, AutoragWhisperError) and not (tally.done or isinstance(error, DiskFull)):
            raise  # nothing was done
        left = tally.files - tally.done
        complain(f"stopped with {left} of {tally.files} files to do; the same command goes on from there")
        summary.close()
        raise
    if summary.done:
        now_s = context.clock()
        passed = clock_time(now_s - tally.started_s)
        say(f"{clock_time(tally.finished_s)} of audio in {passed}: {speed_text(tally.speed(now_s))}")


def _standard_input() -> MediaSource:
    stdin = getattr(sys.stdin, "buffer", None)
    if stdin is None:
        raise MediaUnreadable("stdin", "is closed")
    return spool(stdin, "stdin")


def _transcribe(work: _Work, request: Request, context: CommandContext, tally: Tally, summary: Summary) -> None:
    asked = request.batch
    printer = Printer(work, request.printed, asked.subtitles) if request.printed else None
    shown = Shown(several=len(work) > 1) if request.show_text else None

    def on_segment(source: MediaSource, segment: Segment) -> None:
        for reader in (printer, shown):
            if reader is not None:
                reader.segment(source, segment)

    with ExitStack() as stack:
        transcriber = stack.enter_context(context.build(asked.settings, context.environ))
        # Text that is printed to a terminal and a bar on the same one would overwrite each other.
        bar = can_draw(context.environ) and not (printer and sys.stdout.isatty())
        report = stack.enter_context(reporter(tally, context.clock, bar=bar))
        batch = stack.enter_context(
            Batch(
                work,
                asked,
                cache_dir=asked.settings.cache_dir or default_cache_dir(context.environ),
                now_s=context.now(),
                on_update=_teller(tally, summary),
            )
        )
        supervised = Supervised(batch.checkpoints, lambda wait: wait(), on_segment)
        events = transcriber.events(
            batch.sources(),
            asked.options,
            transcriber.model(asked.model, asked.device),
            RunControl(CancelToken(), report.advance, supervised=supervised),
        )
        for event in stack.enter_context(closing(events)):
            if not isinstance(event, Segment):
                if printer is not None:
                    printer.done(event.source, event.transcript)
                _settle(event, batch.finish(event), work[event.source], report, summary)


def _teller(tally: Tally, summary: Summary) -> Callable[[Update], None]:
    """A function that tells the user, and records, what becomes of a file when its turn comes."""

    def tell(update: Update) -> None:
        shown = update.planned.input.shown
        if update.kind is UpdateKind.RESUMED:
            pieces = "1 piece" if update.chunks == 1 else f"{update.chunks} pieces"
            say(f"{shown}: goes on behind {pieces} that an earlier run has finished")
            return
        if update.kind is UpdateKind.KEPT:
            summary.keep(shown, update.kept)
        elif update.kind is UpdateKind.RESERVED:
            summary.elsewhere += 1
            say(f"{shown}: another run is at work on it, left to that")
        else:
            summary.skipped += 1
            say(f"{shown}: finished by another run meanwhile")
        tally.files -= 1

    return tell


def _settle(outcome: FileOutcome, written: Written, planned: PlannedFile, report: Reporter, summary: Summary) -> None:
    """Record what became of a file, and say it."""
    shown, transcript, error = planned.input.shown, outcome.transcript, outcome.error or written.error
    if error is not None or transcript is None:
        summary.fail(shown, reason_of(error) if error is not None else "")
        report.complete(outcome.source, None, f"{shown}: failed")
        return
    summary.done += 1
    if written.kept:
        summary.keep(shown, written.kept)
    line = status(shown, transcript)
    log_details(shown, transcript)
    names = ", ".join(written.names)
    line = "; ".join([f"{line} -> {names}" if names else line, *written.remarks])
    report.complete(outcome.source, heard_s(transcript), line)
