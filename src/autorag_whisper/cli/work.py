"""The work: every file on one transcriber, each delivered when it is done."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from autorag_whisper.audio.source import MediaSource, spool
from autorag_whisper.cli.delivery import Delivery, Printer, Writer
from autorag_whisper.cli.exits import Terminated
from autorag_whisper.cli.ledger import reason_of
from autorag_whisper.cli.printing import Shown
from autorag_whisper.cli.progress import Tally, can_draw, clock_time, complain, reporter, say, speed_text
from autorag_whisper.cli.remarks import heard_s, log_details, status
from autorag_whisper.cli.turns import Turns
from autorag_whisper.domain.archive_errors import DiskFull
from autorag_whisper.domain.errors import MediaError, MediaUnreadable
from autorag_whisper.domain.transcript import Segment
from autorag_whisper.transcriber.checkpoint import Supervised

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from autorag_whisper.archive.inputs import Input
    from autorag_whisper.archive.naming import Job
    from autorag_whisper.cli.context import CommandContext
    from autorag_whisper.cli.ledger import Ledger
    from autorag_whisper.cli.progress import Reporter
    from autorag_whisper.cli.request import Request
    from autorag_whisper.transcriber import FileOutcome

    _Work = Mapping[MediaSource, Job]


def do(jobs: Sequence[Job], request: Request, context: CommandContext, ledger: Ledger) -> None:
    """Transcribe and deliver every job. What is delivered stays, also when the user stops the rest."""
    work = dict(_opened(jobs, ledger))
    if not work:
        return
    tally = Tally(len(work), context.clock())
    try:
        _transcribe(work, request, context, tally, ledger)
    except (KeyboardInterrupt, Terminated, DiskFull):
        left = tally.files - tally.done
        complain(f"stopped with {left} of {tally.files} files to do; the same command goes on from there")
        ledger.close()
        raise
    if ledger.done:
        now_s = context.clock()
        passed = clock_time(now_s - tally.started_s)
        say(f"{clock_time(tally.finished_s)} of audio in {passed}: {speed_text(tally.speed(now_s))}")


def _opened(jobs: Sequence[Job], ledger: Ledger) -> Iterator[tuple[MediaSource, Job]]:
    """A source for every job; standard input is read to its end here."""
    for job in jobs:
        try:
            yield _source(job.input), job
        except MediaError as error:
            ledger.fail(job.input.shown, reason_of(error))


def _source(item: Input) -> MediaSource:
    if item.path is not None:
        return MediaSource.from_path(item.path)
    stdin = getattr(sys.stdin, "buffer", None)
    if stdin is None:
        raise MediaUnreadable("stdin", "is closed")
    return spool(stdin, "stdin")


def _transcribe(work: _Work, request: Request, context: CommandContext, tally: Tally, ledger: Ledger) -> None:
    delivery: Delivery = Printer(work, request) if request.printing else Writer(work, request)
    with ExitStack() as stack:
        transcriber = stack.enter_context(context.build(request.settings, context.environ))
        # Text that is printed to a terminal and a bar on the same one would overwrite each other.
        bar = can_draw(context.environ) and not (request.printing and sys.stdout.isatty())
        report = stack.enter_context(reporter(tally, context.clock, bar=bar))
        shown = Shown(several=len(work) > 1) if request.show_text else None

        def on_segment(source: MediaSource, segment: Segment) -> None:
            delivery.segment(source, segment)
            if shown is not None:
                shown.segment(source, segment)

        turns = stack.enter_context(Turns(work, request, context, tally, ledger))
        supervised = Supervised(turns.chunks, lambda wait: wait(), on_segment)
        events = transcriber.events(
            turns.sources(),
            request.options,
            model=transcriber.model(request.model, request.device),
            on_progress=report.advance,
            supervised=supervised,
        )
        for event in stack.enter_context(closing(events)):
            if not isinstance(event, Segment):
                delivered = _settle(event, work[event.source], delivery, report, ledger)
                turns.over(event, delivered)


def _settle(outcome: FileOutcome, job: Job, delivery: Delivery, report: Reporter, ledger: Ledger) -> bool:
    """Deliver what came of a file; whether it was delivered."""
    shown, transcript = job.input.shown, outcome.transcript
    delivered = delivery.take(outcome.source, transcript)
    reason = delivered.reason if outcome.error is None else reason_of(outcome.error)
    if reason or transcript is None:
        ledger.fail(shown, reason)
        report.complete(outcome.source, None, f"{shown}: failed")
        return False
    ledger.done += 1
    if delivered.kept:
        ledger.keep(shown, delivered.kept)
    line = status(shown, transcript)
    log_details(shown, transcript)
    names = ", ".join(delivered.names)
    line = "; ".join([f"{line} -> {names}" if names else line, *delivered.remarks])
    report.complete(outcome.source, heard_s(transcript), line)
    return True
