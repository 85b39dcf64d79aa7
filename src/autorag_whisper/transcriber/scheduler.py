"""What computes for all runs on one model: chunks of many callers' files, in batches, on one set of workers.

All state belongs to its own thread, which waits on one queue.

```
readers, a thread a run --- what they read --->+
callers' threads --- admit, leave, wake ------>+--> queue --> state --> jobs --> workers
workers --- languages, results, failures ----->+                |--> grants --> readers
                                                                |--> results, a queue a run --> callers' threads
```
"""

from __future__ import annotations

import itertools
import logging
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import AutoragWhisperError, Cancelled, DeviceError, EngineError
from autorag_whisper.domain.faults import is_fault
from autorag_whisper.recognition.batching import Turn, in_turn, next_batch
from autorag_whisper.transcriber.fair_share import FairShare
from autorag_whisper.transcriber.own_threads import mark_as_ours
from autorag_whisper.transcriber.scheduler_events import Admitted, Left, LookedFor, MayRetire, ReaderTold
from autorag_whisper.transcriber.source_reader import FileBegun, FileRead, FileUnreadable, ReadingEvent
from autorag_whisper.transcriber.workers import (
    EngineJob,
    EngineJobDone,
    EngineJobFailed,
    LanguageFound,
    OnBehalf,
    Workers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autorag_whisper.domain.device import ModelKey
    from autorag_whisper.domain.transcript import DeviceFallbackStep
    from autorag_whisper.engines.base import RecognizerSpec
    from autorag_whisper.transcriber.run_request import RunRequest
    from autorag_whisper.transcriber.scheduler_events import SchedulerEvent
    from autorag_whisper.transcriber.work import RunWork
    from autorag_whisper.transcriber.workers import WorkerEvent

_log = logging.getLogger(__name__)

LOOK_AHEAD_S = 480.0
"""Audio of all runs that is read ahead of the engine, at most: 31 MB of samples."""

LEAST_AHEAD_S = 60.0
"""Audio that each run may have read ahead, whatever the others have: 4 MB of samples."""


class Scheduler:
    """Runs on one model session. `admit`, `leave` and `look` may be called by any thread, and take no lock."""

    def __init__(self, request: RunRequest, spec: RecognizerSpec, retire: Callable[[Scheduler], bool]) -> None:
        """`request`: of the first run. `retire` is asked once no run is left: False where one may just have come."""
        self._session, self._device_hint, self._telemetry = request.session, request.device_hint, request.telemetry
        self._spec, self._retire = spec, retire
        self._queue: SimpleQueue[WorkerEvent | SchedulerEvent] = SimpleQueue()
        self._workers = Workers(spec.workers, self._session, self._telemetry, self._queue.put)
        self._runs: list[RunWork] = []
        self._owners: dict[int, RunWork] = {}  # key of a file: whose it is
        self._in_flight: dict[int, list[RunWork]] = {}  # identity of a job: whose rows it has
        self._fair_share = FairShare(request.lower_share)
        self._keys = itertools.count()
        self._is_broken = False
        self.is_over = False
        self._thread = Thread(target=self._serve, name="autorag-whisper-scheduler", daemon=True)

    def serves(self, request: RunRequest) -> bool:
        """Whether a run with this session may be admitted: it computes where that would."""
        same = self._device_hint == request.device_hint and self._session.key == request.session.key
        return same and not self._is_broken

    @property
    def has_events(self) -> bool:
        """Whether there is something, a run that was admitted perhaps, that its thread has not seen yet."""
        return not self._queue.empty()

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def admit(self, work: RunWork) -> None:
        """A run begins. For `Schedulers`, under its lock."""
        work.scheduler = self
        self._queue.put(Admitted(work))

    def leave(self, work: RunWork, end: Callable[[], object] | None = None) -> None:
        """A run's caller wants nothing more: `work.closed` will be set, and `work.drained`.

        `end` is called in a thread of its own, which the scheduler's starts: the caller's may be inside any lock.
        """
        self._queue.put(Left(work, end))

    def may_retire(self) -> None:
        """Ask again to be retired, if no run is left."""
        self._queue.put(MayRetire())

    def look(self, work: RunWork) -> None:
        """Look whether a run can go on, or has been cancelled. A signal handler may call it."""
        self._queue.put(LookedFor(work))

    def told(self, work: RunWork, event: ReadingEvent) -> None:
        """What a run's reader says."""
        self._queue.put(ReaderTold(work, event))

    def join(self) -> None:
        """Wait for its thread, once it is over."""
        if self.is_over:
            self._thread.join()

    # ------------------------------------------------------------ its own thread

    def _serve(self) -> None:
        mark_as_ours()
        while not self.is_over:
            event = self._queue.get()
            try:
                self._handle(event)
                if self._queue.empty():
                    self._dispatch()
            except BaseException as error:  # noqa: BLE001 - a fault of ours: no run may wait for ever
                self._break(error)
            self._let_go()

    def _break(self, error: BaseException) -> None:
        """End every run with an error that is nobody's own; who comes now has another scheduler."""
        _log.error("a scheduler failed, its runs end", exc_info=error)
        self._is_broken = True
        for work in self._runs:
            work.end(error)

    def _let_go(self) -> None:
        """See off the runs that have left and have no batch in flight; with the last one all ends."""
        leaving = [work for work in self._runs if work.leaving]
        gone = [work for work in leaving if not work.in_flight]
        if gone and (len(gone) < len(self._runs) or not self.has_events):  # what is on its way may be another run
            self._runs = [work for work in self._runs if work not in gone]
            self._owners = {key: work for key, work in self._owners.items() if work not in gone}
            self._retire_if_empty()
            for work in gone:
                work.drained.set()
        elif not self._runs:  # an event of a run that had gone came between the last one's end and this
            self._retire_if_empty()
        for work in leaving:
            work.closed.set()

    def _retire_if_empty(self) -> None:
        if not self._runs and self._retire(self):
            self._workers.close()
            self.is_over = True

    def _handle(self, event: WorkerEvent | SchedulerEvent) -> None:
        if isinstance(event, LanguageFound):
            if (owner := self._owners.get(event.file)) is not None:
                owner.speaks(event.file, event.choice)
        elif isinstance(event, EngineJobDone):
            self._done(event)
        elif isinstance(event, EngineJobFailed):
            self._recover(event)
        elif isinstance(event, ReaderTold):
            self._was_read(event.work, event.event)
        elif isinstance(event, Admitted):
            self._runs.append(event.work)
            if self._is_broken:
                event.work.end(EngineError("scheduler", "admission", "it has just failed"))
        elif isinstance(event, Left):
            event.work.end()
            event.work.leaving = True
            if event.work not in self._runs:  # whoever admitted it was interrupted before he had
                self._runs.append(event.work)
            if event.end is not None:
                Thread(target=event.end, name="autorag-whisper-leave").start()
        elif isinstance(event, LookedFor) and event.work.request.control.cancel.cancelled:
            event.work.end(Cancelled())

    # ------------------------------------------------------------ what to do next

    def _dispatch(self) -> None:
        """Hand jobs to the workers, and let runs read on."""
        self._workers.interrupt_unwanted()
        self._recall_spare()
        while self._workers.wants_a_spare and self._submit_next():
            pass
        for work in self._runs:
            if self._may_read(work):
                work.waits_for_grant = False
                work.reader.grant()

    def _recall_spare(self) -> None:
        """Take the batch back that lies ready, if others have come whose turn is before its own."""
        job = self._fair_share.giving_way({work.request.control.priority for work in self._able() if work.has_work})
        if job is not None and self._workers.recall(job):
            for work in self._forget(job):
                work.again(job)
            self._fair_share.taken_back()

    def _able(self) -> list[RunWork]:
        """The runs that may compute."""
        return [work for work in self._runs if not work.is_stopped and not work.results.is_full]

    def _submit_next(self) -> bool:
        """Submit the next job, if there is one."""
        able = {id(work.pool): work for work in self._able()}
        waiting = {work.request.control.priority for work in able.values() if work.has_work}
        if not waiting:
            return False
        turns = in_turn([work.turn for work in able.values()], self._fair_share.first(waiting))
        for turn in turns:
            work = able[id(turn.pool)]
            order = [turn, *(other for other in turns if other is not turn and self._may_ride(other, turn))]
            job = work.own_job or self._batch(work, order)
            if job is not None and job.tasks and not work.own_job and self._may_fill(order):
                return False
            if job is not None:
                self._submit(job, turn.priority, waiting)
                return True
        return False

    def _may_ride(self, other: Turn, turn: Turn) -> bool:
        """Whether one's chunks may fill another's batch: a processor takes as much longer as a card does not."""
        return other.priority == turn.priority or self._session.key.device.is_cuda

    def _may_fill(self, turns: Sequence[Turn]) -> bool:
        """Whether the first one's batch is better made when a worker is free: others of other runs may come that go
        with it. Nobody overtakes it meanwhile."""
        return bool(turns[1:]) and not self._workers.idle and not next_batch(turns, full=True)

    def _batch(self, work: RunWork, turns: Sequence[Turn]) -> EngineJob | None:
        """The next batch for a run, with what others have that goes with it."""
        if not work.exhausted:  # its batch may fill up first, while others of its own are on their way
            tasks = next_batch(turns, full=bool(work.in_flight) and not self._workers.idle)
        else:  # of several runs others come, which the workers that are busy now will do
            tasks = next_batch(turns, share=self._workers.idle if turns[1:] else self._workers.count)
        return EngineJob(tuple(tasks)) if tasks else None

    def _submit(self, job: EngineJob, lead: int, waiting: set[int]) -> None:
        """Submit a job, for those of the priority `lead`; `waiting`: the priorities that had something to do."""
        works = list({id(work): work for key in sorted(job.files) for work in (self._owners[key],)}.values())
        present = {work.request.control.priority for work in self._runs if not work.is_stopped}
        self._fair_share.submitted(job, works, lead, waiting, present)
        for other in self._runs:
            other.waited += other not in works and other.has_work
        self._in_flight[id(job)] = works
        first = works[0]
        on_behalf = OnBehalf(first.report.context, lambda: all(work.is_stopped for work in works), first.ctc)
        try:
            for work in works:
                work.submitted(job)
            self._workers.submit(job, on_behalf)
        except BaseException:  # a fault of ours, or the interpreter ends: nobody may wait for what no worker has
            self._forget(job)
            raise

    def _may_read(self, work: RunWork) -> bool:
        """Whether a run's reader may take its next step: those share the look-ahead that have more than the least."""
        if not work.waits_for_grant or work.exhausted or work.is_stopped or work.results.is_full:
            return False
        if not work.in_flight and not work.has_work:
            return True
        if work.hurries and not self._workers.idle:
            return False
        if work.pool.seconds < LEAST_AHEAD_S:  # whatever others hold whose results nobody takes
            return True
        readers = sum(not other.exhausted and other.pool.seconds >= LEAST_AHEAD_S for other in self._runs)
        waits_s = sum(other.pool.seconds for other in self._runs)
        return waits_s < LOOK_AHEAD_S and work.pool.seconds < LOOK_AHEAD_S / readers

    # ------------------------------------------------------------ what was read, what came back

    def _was_read(self, work: RunWork, event: ReadingEvent) -> None:
        if work.ended:
            return
        if isinstance(event, FileBegun):
            key = next(self._keys)
            self._owners[key] = work
            work.begin(key, event)
            return
        work.waits_for_grant = True
        if isinstance(event, FileRead):
            with work.about(work.being_read(event.index)):
                work.read(event)
        elif isinstance(event, FileUnreadable):
            if (file := work.being_read(event.index)) is not None:
                work.fail(file, event.error)
        elif event.error is not None:
            work.end(event.error)
        else:
            work.exhausted = True
        self._end_if_complete(work)

    def _end_if_complete(self, work: RunWork) -> None:
        while work.over:
            self._owners.pop(work.over.pop(), None)
        if work.is_complete:
            work.end()

    def _came_back(self, event: EngineJobDone | EngineJobFailed) -> list[RunWork]:
        """The runs whose rows a job had."""
        self._workers.in_flight -= 1
        return self._forget(event.job)

    def _forget(self, job: EngineJob) -> list[RunWork]:
        works = self._in_flight.pop(id(job))
        for work in works:
            work.came_back(job)
        return works

    def _done(self, event: EngineJobDone) -> None:
        works = self._came_back(event)
        key, device = event.key, self._session.key.device
        if key.device != device and device.is_cuda:  # done on the CPU because others had the card
            self._note_steps([self._session.waited(key)], works, event.job)
        for work in works:
            work.hurries = False
        for result in event.results:
            if (owner := self._owners.get(result.task.file)) is not None:
                with owner.about(owner.files.get(result.task.file)):
                    owner.take(result)
        if (border := event.job.border) is not None:
            with works[0].about(works[0].files.get(border.file)):
                works[0].heard_border(border.file, event.heard, event.heard_s)
        for work in works:
            self._end_if_complete(work)

    def _recover(self, event: EngineJobFailed) -> None:
        """A batch failed: on another device if its own is at fault, else chunk by chunk, to find whose fault it is."""
        works, job, error = self._came_back(event), event.job, event.error
        if is_fault(error) and not self._load_again(works, error):
            return
        if isinstance(error, DeviceError):
            self._change_device(event.key, job, works, error)
        elif len(job.tasks) > 1 and (isinstance(error, EngineError | MemoryError) or is_fault(error)):
            _log.warning("a batch of %d failed and is done one by one: %s", len(job.tasks), type(error).__name__)
            for work in works:
                work.one_by_one(job)
        elif isinstance(error, Exception) and is_fault(error):
            for key in job.files & works[0].files.keys():
                works[0].fault(works[0].files[key], "recognition", error)
        elif not isinstance(error, AutoragWhisperError | MemoryError):
            works[0].end(error)
        else:
            known = error if isinstance(error, AutoragWhisperError) else EngineError("engine", "batch", "out of memory")
            for work in works:  # a batch may be of several files; some may have failed meanwhile
                for key in sorted(job.files & work.files.keys()):
                    work.fail(work.files[key], known)
        for work in works:
            self._end_if_complete(work)

    def _change_device(self, key: ModelKey, job: EngineJob, works: Sequence[RunWork], error: DeviceError) -> None:
        """Do the batch again elsewhere. Others in flight on the same device come back in their own time."""
        is_first = key == self._session.key or not key.device.is_cuda
        if is_first and not self._prepared(works, works, lambda: self._session.go_on(key, error, job.rows)):
            return
        for work in works:
            work.again(job)

    def _load_again(self, works: Sequence[RunWork], error: BaseException) -> bool:
        """Have the model anew whose copy has raised what nobody expects. Where it does not load no run goes on."""
        _log.error("the engine failed in a way that nobody expects, and the model is loaded anew", exc_info=error)
        running = [work for work in self._runs if not work.is_stopped]
        return bool(running) and self._prepared(works, running, self._session.prepare)

    def _prepared(
        self, works: Sequence[RunWork], concerned: Sequence[RunWork], load: Callable[[], RecognizerSpec | None]
    ) -> bool:
        """Do `load` on behalf of `works`. What fails in it ends those who are `concerned`: False then."""
        before = len(self._session.steps)
        try:
            with self._telemetry.attached(works[0].report.context):
                spec = load() or self._spec
        except Exception as failure:  # noqa: BLE001 - there is nowhere else to go
            for work in concerned:
                work.end(failure)
            return False
        self._note_steps(self._session.steps[before:], works)
        self._grow(spec)
        return True

    def _note_steps(
        self, steps: Sequence[DeviceFallbackStep], works: Sequence[RunWork], job: EngineJob | None = None
    ) -> None:
        """Steps of the device fallback that concern all files that are at work, or those of a job."""
        for step in steps:
            works[0].report.fell_back(step)
            for work in self._runs if job is None else works:
                work.fell_back(step, work.files if job is None else job.files)

    def _grow(self, spec: RecognizerSpec) -> None:
        """The new device may have more workers: more threads, the same queue; or batches are smaller from now on."""
        self._spec = spec
        for work in self._runs:
            work.grow(spec, self._session.batch_limit)
        self._workers.resize(spec.workers)
