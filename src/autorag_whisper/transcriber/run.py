"""One run over one or many files, as its caller's thread has it: gives sources, and takes what comes of them.

Reading and computing happen in threads of their own (`transcriber.source_reader`, `transcriber.scheduler`); what calls
the caller's code (sources, progress, segments, checkpoints, exporters of spans) happens in the thread that iterates.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import Cancelled
from autorag_whisper.domain.request import Aligner
from autorag_whisper.recognition.ctc_alignment import HeldLeases
from autorag_whisper.transcriber.arguments import check_options
from autorag_whisper.transcriber.outcome import FileDone, Progress
from autorag_whisper.transcriber.own_threads import must_not_wait
from autorag_whisper.transcriber.report import Report
from autorag_whisper.transcriber.results import ChunkFinished, FileOver, Results, RunEnded, SegmentReady
from autorag_whisper.transcriber.scheduler import Scheduler
from autorag_whisper.transcriber.source_reader import Given, SourceReader
from autorag_whisper.transcriber.work import RunWork

if TYPE_CHECKING:
    from collections.abc import Generator
    from threading import Event

    from autorag_whisper.domain.transcript import Segment
    from autorag_whisper.engines.base import RecognizerSpec
    from autorag_whisper.transcriber.outcome import FileOutcome
    from autorag_whisper.transcriber.results import Result
    from autorag_whisper.transcriber.run_request import RunRequest
    from autorag_whisper.transcriber.schedulers import Schedulers
    from autorag_whisper.transcriber.source_reader import ReadingEvent


class Run:
    """Iterate `events` once; closing that generator ends the run and frees everything it holds."""

    def __init__(self, request: RunRequest, spec: RecognizerSpec, schedulers: Schedulers) -> None:
        """Raises InvalidOption for what this model cannot do."""
        check_options(spec, request.options)
        self._request, self._spec, self._schedulers = request, spec, schedulers
        self._sources, self._given = iter(request.sources), 0
        self._count = len(request.sources) if isinstance(request.sources, Sequence) else None
        self._results = Results(self._look)
        self._report = Report(request.telemetry, request.options)
        self._reader = SourceReader(request, spec, self._told, self._results.wake)
        lease = request.lease_ctc if request.options.aligner is Aligner.CTC else None
        ctc = HeldLeases(lease) if lease is not None else None
        self._work = RunWork(request, spec, self._results, self._reader, self._report, ctc)

    def events(self) -> Generator[Segment | FileOutcome]:
        """Segments of each file in order, and its outcome after its last one.

        Raises what concerns the whole run: Cancelled, and what a load elsewhere may raise.
        """
        for step in self._request.session.steps:
            self._report.fell_back(step)
        reason = Cancelled.__name__  # unless it is an error that ends the run
        cancel = self._request.control.cancel
        try:
            self._schedulers.admit(self._work, self._request, self._make_scheduler)
            self._reader.start()
            with cancel.listening(self._wake):
                while True:
                    self._give_source()
                    result = self._results.take()
                    if isinstance(result, RunEnded) and result.error is None:
                        return
                    cancel.check()
                    if result is not None:
                        yield from self._take(result)
        except Exception as error:
            reason = type(error).__name__
            raise
        finally:
            self._leave(reason)

    def _make_scheduler(self) -> Scheduler:
        return Scheduler(self._request, self._spec, self._schedulers.retire)

    def _told(self, event: ReadingEvent) -> None:
        if (scheduler := self._work.scheduler) is not None:
            scheduler.told(self._work, event)

    def _look(self) -> None:
        if (scheduler := self._work.scheduler) is not None:
            scheduler.look(self._work)

    def _wake(self) -> None:
        """In the thread that cancels."""
        self._results.wake()
        self._look()

    # ------------------------------------------------------------ the thread that iterates

    def _give_source(self) -> None:
        """Give the reader the source that it wants, if it does."""
        if not self._reader.wants_source:
            return
        source = next(self._sources, None)
        if source is None:
            self._reader.give(None)
            return
        supervised = self._request.control.supervised
        done = supervised.checkpoints.done(self._given) if supervised is not None else {}
        self._given += 1
        self._reader.give(Given(source, done, is_last=self._given == self._count))

    def _take(self, result: Result) -> Generator[Segment | FileOutcome]:
        """Tell and yield what came. Raises what has ended the run."""
        supervised = self._request.control.supervised
        if isinstance(result, Progress):
            if self._request.control.on_progress is not None:
                self._request.control.on_progress(result)
        elif isinstance(result, SegmentReady):
            if supervised is not None and supervised.on_segment is not None:
                supervised.on_segment(result.source, result.segment)
            yield result.segment
        elif isinstance(result, ChunkFinished):
            assert supervised is not None
            supervised.checkpoints.add(result.index, result.checkpoint)
        elif isinstance(result, FileOver):
            self._report_over(result)
            yield result.outcome
        elif result.error is not None:
            raise result.error

    def _report_over(self, over: FileOver) -> None:
        if isinstance(over.outcome, FileDone):
            self._report.complete(over.file, over.outcome.transcript, over.pin)
        else:
            self._report.ended(over.file, type(over.outcome.error).__name__, self._work.spec)

    # ------------------------------------------------------------ the end

    def _leave(self, reason: str) -> None:
        """Stop, and have every file that was begun and is not over leave its spans, before batches are waited for."""
        scheduler = self._work.scheduler
        if scheduler is None or sys.is_finalizing():
            return
        if must_not_wait():  # an abandoned run, which the interpreter collects here
            scheduler.leave(self._work, lambda: self._end(scheduler, reason))
        else:
            scheduler.leave(self._work)
            self._end(scheduler, reason)

    def _end(self, scheduler: Scheduler, reason: str) -> None:
        _wait(self._work.closed)
        self._reader.join()
        supervised = self._request.control.supervised
        try:
            untaken = [result.file for result in self._results.untaken() if isinstance(result, FileOver)]
            for file in (*untaken, *self._work.close(self._reader.last)):
                file.moments.finished = self._request.telemetry.clock_ns()
                self._report.ended(file, reason, self._work.spec)
        finally:
            if supervised is not None and not self._work.drained.is_set():
                supervised.linger(lambda: self._let_go(scheduler))
            else:
                self._let_go(scheduler)

    def _let_go(self, scheduler: Scheduler) -> None:
        _wait(self._work.drained)
        scheduler.join()
        if self._work.ctc is not None:
            self._work.ctc.close()


def _wait(event: Event) -> None:
    """Until an event of the scheduler's; its thread stands still once the interpreter is being torn down."""
    if not sys.is_finalizing():
        event.wait()
