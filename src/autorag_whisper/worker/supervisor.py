"""The thread that owns the worker process: it gives it jobs as they come, hears what comes of them, and replaces it.

```
  callers' threads --- Call, Question, Taken, Look, Close ---> inbox --> this thread --- messages ---> process
         ^                                                       ^                                       |
         +--- each call's own queue <----------------------------+---- Heard <--- its reader thread <----+
```

Nothing that happens to a caller happens to it: no exception out of a signal handler is ever raised here, and a caller
who is slow, or stopped, is not waited for.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import Cancelled, PoisonedFile, WorkerDied
from autorag_whisper.transcriber.outcome import FileFailed
from autorag_whisper.worker.call import Call, Close, Look, Question, Taken
from autorag_whisper.worker.messages import (
    Answer,
    Ask,
    ChunkDone,
    Credit,
    Event,
    FileEnded,
    Measured,
    Ready,
    Settled,
    SpanMade,
    Stop,
)
from autorag_whisper.worker.process import Gone, WorkerProcess
from autorag_whisper.worker.supervision import Act, Limits, admitted, judge
from autorag_whisper.worker.trace import JobTraces

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.domain.device import CpuPin
    from autorag_whisper.telemetry import Telemetry
    from autorag_whisper.worker.messages import FromChild

    Begin = Callable[[Callable[[WorkerProcess, FromChild | Gone], object]], WorkerProcess]

_log = logging.getLogger(__name__)

_TICK_S = 0.25
"""How often a process that has something to do is looked at."""
_HELD_UP_S = 2.0
"""Between two looks; where more has passed, this process was held up itself: stopped, or its interpreter was taken."""
_END_S = 5.0
"""How long a process may take for the batch in flight, which nobody waits for, when it is to end."""
_NO_LIMIT = 1 << 40
"""Credit of a file that is tried: others wait until it has got on, and whoever is to read it may be one of them."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A process has said something."""

    process: WorkerProcess
    said: FromChild | Gone


class Supervisor:
    """One worker process at a time. Everything but `submit` and `process_id` runs in its own thread.

    The thread is there as long as there is a process or a job.
    """

    def __init__(self, begin: Begin, limits: Limits, telemetry: Telemetry, clock: Callable[[], float]) -> None:
        self._start_process, self._limits, self._clock = begin, limits, clock
        self._traces = JobTraces(telemetry)
        self._inbox: SimpleQueue[Call | Question | Taken | Look | Close | Heard] = SimpleQueue()
        self._serving = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process: WorkerProcess | None = None
        self._pin: CpuPin | None = None
        self._waiting: list[Call] = []
        self._on: dict[int, Call] = {}  # in the process, by number
        self._lingering: set[int] = set()  # stopped, and not settled
        self._questions: dict[int, Question] = {}
        self._numbers = count(1)
        self._is_replaced, self._killed_for, self._replaced_for = False, "", ""
        self._has_done = False  # the process, anything of any job
        self._idle_since_s = self._looked_s = clock()

    # ------------------------------------------------------------ in callers' threads

    def submit(self, item: Call | Question | Taken | Look | Close) -> None:
        """Put something to it. May be interrupted anywhere: what was put is then taken up with what comes next."""
        self._inbox.put(item)
        if not self._serving.locked():
            threading.Thread(target=self._serve, name="autorag-whisper-supervisor", daemon=True).start()

    def close(self) -> None:
        """End every job and the process, and wait for that."""
        closing = Close()
        self.submit(closing)
        closing.done.get()
        if (thread := self._thread) is not None:
            thread.join(1.0)  # unless others have come with jobs, it ends now

    @property
    def process_id(self) -> int | None:
        """Of the process; None while there is none."""
        process = self._process
        return process.pid if process is not None and not process.is_gone else None

    # ------------------------------------------------------------ the thread

    def _serve(self) -> None:
        # Whoever submits finds it locked, or this thread finds the inbox not empty: nothing stays there unseen.
        while self._serving.acquire(blocking=False):
            try:
                self._thread = threading.current_thread()
                self._work()
            except BaseException as error:  # noqa: BLE001 - whoever comes meanwhile is served all the same
                _log.exception("the supervision of the worker process failed")
                self._fail(error)
            finally:
                self._serving.release()
            if self._inbox.empty():
                return

    def _work(self) -> None:
        while True:
            self._advance()
            has_work = bool(self._on or self._waiting or self._questions)
            try:
                if has_work:
                    item = self._inbox.get(timeout=_TICK_S)
                elif self._process is None:
                    item = self._inbox.get(block=False)
                else:
                    item = self._inbox.get(timeout=self._left_s())
            except Empty:
                if self._process is None and not has_work:
                    return
                item = Look()
            self._take(item)
            self._look()

    def _left_s(self) -> float | None:
        """How long an idle process may stay; None for ever."""
        if self._limits.idle_s is None:
            return None
        return max(0.0, self._idle_since_s + self._limits.idle_s - self._clock())

    def _take(self, item: Call | Question | Taken | Look | Close | Heard) -> None:
        if self._process is not None:
            self._pin = self._process.pin or self._pin
        match item:
            case Call():
                self._waiting.append(item)
            case Question():
                self._questions[next(self._numbers)] = item
            case Taken(call):
                call.unread -= 1
                if self._on.get(call.number) is call and self._process is not None:
                    self._process.send(Credit(call.number, 1))
            case Heard(process, said) if process is self._process:
                self._hear(process, said)
            case Close():
                self._close(item)
            case _:
                pass

    def _advance(self) -> None:
        """Begin what can be begun, and end what is over."""
        self._waiting = [call for call in self._waiting if self._prepare(call)]
        if self._process is not None and self._process.is_gone:
            return  # it says so behind all else that it said: what it left undone is taken up then
        calls = [*self._on.values(), *sorted(self._waiting, key=lambda call: -call.job.priority)]
        now = self._clock()
        standings = [call.job.standing(now - call.begun_s) for call in calls]
        for place in () if self._is_replaced else admitted(standings, self._limits):
            self._begin_round(calls[place])
        for number, question in self._questions.items():
            if not question.is_asked:
                question.is_asked = True
                self._running().send(Ask(number, question.model, question.device_hint))

    def _look(self) -> None:
        """Judge the process, as of one moment: this one may be stopped between any two lines."""
        now = self._clock()
        passed, self._looked_s = now - self._looked_s, now
        process = self._process
        if process is None or process.is_gone:
            return
        if passed > _HELD_UP_S:
            process.forgive(passed, now)
        process.reap()
        for call in self._on.values():
            if call.is_abandoned:
                self._stop(process, call)
            elif self._waiting and call.job.standing().is_suspect and process.waits_for_reader(call.number):
                process.send(Credit(call.number, _NO_LIMIT))
        verdict = judge(process.seen(now, None if self._on else self._idle_since_s), self._limits)
        if verdict.act is Act.KILL:
            self._killed_for = verdict.reason
            process.kill()  # that it has ended is heard behind all that it has said
        elif verdict.act is Act.REPLACE and not self._is_replaced:
            self._replace(process, verdict.reason)
        elif verdict.act is Act.END and not (self._questions or self._waiting):
            _log.info("the worker process ends: %s", verdict.reason)
            self._end_process()

    def _replace(self, process: WorkerProcess, reason: str) -> None:
        """End every job's round; the process is ended with the last one, and they go on in a new one."""
        self._is_replaced, self._replaced_for = True, reason
        _log.warning("the worker process is replaced: %s", reason)
        for call in self._on.values():
            self._stop(process, call)

    @staticmethod
    def _stop(process: WorkerProcess, call: Call) -> None:
        if not call.is_stopped:
            call.is_stopped = True
            process.send(Stop(call.number))

    # ------------------------------------------------------------ one job

    def _prepare(self, call: Call) -> bool:
        """Choose what a waiting job does next; whether there is anything. If not, it is over."""
        job = call.job
        if call.is_abandoned:
            return self._end_job(call, Cancelled())
        if job.cannot_begin(self._limits):
            return self._end_job(call, WorkerDied(job.last_death))
        for file in job.next_round(self._limits):
            error = PoisonedFile(file.source.name, job.last_death)
            self._traces.lost(call.context, file, type(error).__name__)
            call.give(FileFailed(file.source, error))
        return self._end_job(call, None) if job.is_over() else True

    def _begin_round(self, call: Call) -> None:
        """Give the job's next files to a process."""
        process, call.number = self._running(), next(self._numbers)
        self._waiting.remove(call)
        self._on[call.number] = call
        call.is_stopped, call.begun_s = False, self._clock()
        self._traces.begin(call.number, call.context)
        process.begin(call.job.message(call.number, self._pin, call.unread), call.job.spool)

    def _hear(self, process: WorkerProcess, said: FromChild | Gone) -> None:
        call = self._on.get(getattr(said, "job", 0))
        if isinstance(said, Gone):
            self._lose_process(self._killed_for or said.reason)
        elif isinstance(said, Answer):
            self._idle_since_s = self._clock()
            if (question := self._questions.pop(said.number, None)) is not None:
                question.answer.put(said)
        elif isinstance(said, SpanMade | Measured):
            self._traces.take(said, is_replaced=self._is_replaced and call is not None)
        elif isinstance(said, Settled):
            self._lingering.discard(said.job)
        elif call is None:
            _log.debug("refused of the worker process: %s of another job", type(said).__name__)
        elif isinstance(said, Ready):
            self._end_round(call, process, said)
        else:
            call.hear(said, self._traces.now_ns())
            is_done = isinstance(said, ChunkDone) or (isinstance(said, Event) and isinstance(said.what, FileEnded))
            self._has_done = self._has_done or is_done

    def _end_round(self, call: Call, process: WorkerProcess, said: Ready) -> None:
        """The process is done with what it was given of a job."""
        del self._on[said.job]
        process.end_of(said.job)
        self._traces.end(said.job)
        if said.lingers:
            self._lingering.add(said.job)
        is_mine = self._is_replaced and isinstance(said.error, Cancelled)  # it ended so that the job goes on elsewhere
        call.job.ended(None if is_mine else said.error)
        if is_mine and not self._has_done:
            call.job.displaced(self._replaced_for)
        if process.broken and not self._is_replaced:
            self._replace(process, f"its context on the card is broken: {process.broken}")
        if self._is_replaced and not self._on:
            self._end_process()
        if call.is_abandoned or call.job.error is not None or call.job.is_over():
            self._end_job(call, Cancelled() if call.is_abandoned else call.job.error)
        else:
            self._waiting.append(call)

    def _end_job(self, call: Call, error: BaseException | None) -> bool:
        """It is over, and in no list any more; False."""
        self._idle_since_s = self._clock()
        call.finish(error)
        return False

    # ------------------------------------------------------------ the process

    def _running(self) -> WorkerProcess:
        if self._process is None:
            self._has_done = False
            self._process = self._start_process(lambda process, said: self._inbox.put(Heard(process, said)))
        return self._process

    def _lose_process(self, reason: str) -> None:
        """It is gone: its jobs go on in a new one, but for those that nobody wants, or that none can be begun for."""
        was_ready = self._process is None or self._process.is_ready
        self._process, self._is_replaced, self._killed_for = None, False, ""
        for number, question in list(self._questions.items()):
            question.is_asked, question.deaths = False, question.deaths + 1
            if question.deaths >= self._limits.strikes:
                self._questions.pop(number).answer.put(WorkerDied(reason))
        calls, self._on = list(self._on.values()), {}
        alone = sum(len(call.job.in_flight) for call in calls) == 1 and not self._lingering
        self._lingering.clear()
        if calls:
            _log.warning("the worker process is gone: %s; its jobs go on in a new one", reason)
        for call in calls:
            self._traces.end(call.number)
            if call.is_abandoned:
                self._lose_files(call)
            call.job.died(reason, alone=alone, ready=was_ready)
        self._waiting[:0] = calls

    def _lose_files(self, call: Call) -> None:
        for file in call.job.in_hand():
            self._traces.lost(call.context, file, Cancelled.__name__)

    def _end_process(self) -> bool:
        """End it; all spans that it sent before are made. Whether it ended by itself."""
        process = self._process
        if process is None:
            return True
        by_itself = process.end(_END_S)
        self._looked_s = self._clock()
        others = []
        while not self._inbox.empty():
            item = self._inbox.get()
            if not isinstance(item, Heard):
                others.append(item)
            elif item.process is process and isinstance(item.said, SpanMade | Measured):
                self._hear(process, item.said)
        for item in others:
            self._inbox.put(item)
        self._process, self._is_replaced = None, False
        self._lingering.clear()
        for question in self._questions.values():
            question.is_asked = False  # its answer may have been on its way
        return by_itself

    def _close(self, closing: Close) -> None:
        try:
            self._end_all()
        finally:
            closing.done.put(None)

    def _end_all(self) -> None:
        for call in self._waiting:
            self._end_job(call, Cancelled())
        calls = list(self._on.values())
        for call in calls:
            call.is_abandoned = True
            if self._process is not None:
                self._stop(self._process, call)
        ended_by_itself = self._end_process()
        for call in calls:
            if not ended_by_itself:
                self._lose_files(call)
            self._end_job(call, Cancelled())
        for question in self._questions.values():
            question.answer.put(Cancelled())
        self._forget_all()

    def _fail(self, error: BaseException) -> None:
        """Something is wrong in here: nobody is to wait for ever."""
        if self._process is not None:
            self._process.kill()
            self._process = None
        self._is_replaced, self._killed_for = False, ""
        died = WorkerDied(f"its supervision failed: {type(error).__name__}: {error}")
        for call in [*self._on.values(), *self._waiting]:
            call.finish(died)
        for question in self._questions.values():
            question.answer.put(died)
        self._forget_all()

    def _forget_all(self) -> None:
        self._waiting.clear()
        self._on.clear()
        self._lingering.clear()
        self._questions.clear()
