"""The thread that owns the worker process: it gives it jobs, hears what comes of them, and replaces it.

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
from collections import deque
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import Cancelled, PoisonedFile, WorkerDied
from autorag_whisper.transcriber.outcome import FileDone, FileFailed, Progress
from autorag_whisper.worker.call import Call, Close, Look, Question, Taken
from autorag_whisper.worker.messages import (
    Answer,
    Ask,
    ChunkDone,
    Credit,
    Event,
    FileEnded,
    FileStarted,
    Measured,
    Ready,
    SpanMade,
    Stop,
)
from autorag_whisper.worker.process import Gone, WorkerProcess
from autorag_whisper.worker.supervision import Act, Limits, judge
from autorag_whisper.worker.trace import JobTraces

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.device import CpuPin
    from autorag_whisper.telemetry import Telemetry
    from autorag_whisper.transcriber.outcome import FileOutcome
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
        self._waiting: deque[Call] = deque()
        self._questions: dict[int, Question] = {}
        self._numbers = count(1)
        self._call: Call | None = None
        self._number = 0
        self._is_stopped = self._is_replaced = self._is_free = False
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
            has_work = self._call is not None or bool(self._questions)
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
                if call is self._call and self._process is not None:
                    self._process.send(Credit(self._number, 1))
            case Heard(process, said) if process is self._process:
                self._hear(process, said)
            case Close():
                self._close(item)
            case _:
                pass

    def _advance(self) -> None:
        """Begin what can be begun."""
        if self._process is not None and self._process.is_gone:
            return  # it says so behind all else that it said: what it left undone is taken up then
        while self._call is None and self._waiting:
            self._call = max(self._waiting, key=lambda call: call.job.priority)  # of equals the oldest
            self._waiting.remove(self._call)
            self._begin_round(self._call)
        if self._call is not None and self._waiting and not self._is_free and self._process is not None:
            # The next one is not to wait for somebody who does not read, who may be himself.
            self._is_free = True
            self._process.send(Credit(self._number, _NO_LIMIT))
        for number, question in self._questions.items():
            if not question.is_asked:
                question.is_asked = True
                self._running().send(Ask(number, question.model, question.device_hint))

    def _look(self) -> None:
        """Judge the process, as of one moment: this one may be stopped between any two lines."""
        now = self._clock()
        passed, self._looked_s = now - self._looked_s, now
        process, call = self._process, self._call
        if process is None:
            return
        if passed > _HELD_UP_S:
            process.forgive(passed, now)
        process.reap()
        if call is not None and call.is_abandoned and not self._is_stopped:
            self._is_stopped = True
            process.send(Stop(self._number))
        verdict = judge(process.seen(now, self._idle_since_s if call is None else None), self._limits)
        if verdict.act is Act.KILL:
            process.kill()
            self._lose_process(verdict.reason)
        elif verdict.act is Act.REPLACE and not (self._is_replaced or self._is_stopped):
            self._is_replaced = True
            _log.warning("the worker process is replaced: %s", verdict.reason)
            process.send(Stop(self._number))
        elif verdict.act is Act.END and not self._questions:
            _log.info("the worker process ends: %s", verdict.reason)
            self._end_process()

    # ------------------------------------------------------------ one job

    def _begin_round(self, call: Call) -> None:
        """Give the job's next files to a process."""
        job = call.job
        if call.is_abandoned:
            return self._end_job(Cancelled())
        for file in job.next_round(self._limits):
            error = PoisonedFile(file.source.name, job.last_death)
            self._traces.lost(call.context, file, type(error).__name__)
            call.give(FileFailed(file.source, error))
        if job.is_over():
            return self._end_job(None)
        process, self._number = self._running(), next(self._numbers)
        self._is_stopped = self._is_replaced = self._is_free = False
        self._traces.begin(self._number, call.context)
        process.begin(job.message(self._number, self._pin, call.unread), job.spool)
        return None

    def _hear(self, process: WorkerProcess, said: FromChild | Gone) -> None:
        if isinstance(said, Gone):
            self._lose_process(said.reason)
        elif isinstance(said, Answer):
            self._idle_since_s = self._clock()
            if (question := self._questions.pop(said.number, None)) is not None:
                question.answer.put(said)
        elif isinstance(said, SpanMade | Measured):
            self._traces.take(said, is_replaced=self._is_replaced and said.job == self._number)
        elif self._call is not None and not isinstance(said, Ready) and getattr(said, "job", 0) == self._number:
            self._tell(self._call, said)
        elif self._call is not None and isinstance(said, Ready) and said.job == self._number:
            self._end_round(self._call, process, said)
        else:
            _log.debug("refused of the worker process: %s of another job", type(said).__name__)

    def _tell(self, call: Call, said: FromChild) -> None:
        job = call.job
        if isinstance(said, FileStarted):
            job.begun(said.file, self._traces.now_ns())
        elif isinstance(said, ChunkDone):
            job.noted(said.file, said.chunk, said.written)
        elif isinstance(said, Event):
            what = said.what
            if isinstance(what, FileEnded):
                call.give(_outcome(job.over(said.file), what))
            elif isinstance(what, Progress):
                call.give(job.further(said.file, what))
            elif job.is_new(what):
                call.give(what)

    def _end_round(self, call: Call, process: WorkerProcess, said: Ready) -> None:
        """The process is done with what it was given."""
        is_mine = self._is_replaced and isinstance(said.error, Cancelled)  # it ended so that the job goes on elsewhere
        call.job.ended(None if is_mine else said.error)
        if self._is_replaced or process.broken:
            self._end_process()
        if call.is_abandoned or call.job.error is not None or call.job.is_over():
            self._end_job(Cancelled() if call.is_abandoned else call.job.error)
        else:
            self._begin_round(call)

    def _end_job(self, error: BaseException | None) -> None:
        call, self._call = self._call, None
        self._idle_since_s = self._clock()
        if call is not None:
            call.finish(error)

    # ------------------------------------------------------------ the process

    def _running(self) -> WorkerProcess:
        if self._process is None:
            self._process = self._start_process(lambda process, said: self._inbox.put(Heard(process, said)))
        return self._process

    def _lose_process(self, reason: str) -> None:
        """It is gone: its job goes on in a new one, unless nobody wants it, or none can be begun."""
        self._process = None
        for number, question in list(self._questions.items()):
            question.is_asked, question.deaths = False, question.deaths + 1
            if question.deaths >= self._limits.strikes:
                self._questions.pop(number).answer.put(WorkerDied(reason))
        call = self._call
        if call is None:
            return None
        if call.is_abandoned:
            self._lose_files(call)
            return self._end_job(Cancelled())
        _log.warning("the worker process is gone: %s; its job goes on in a new one", reason)
        call.job.died(reason)
        if call.job.cannot_begin(self._limits):
            return self._end_job(WorkerDied(reason))
        return self._begin_round(call)

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
        self._process = None
        return by_itself

    def _close(self, closing: Close) -> None:
        try:
            self._end_all()
        finally:
            closing.done.put(None)

    def _end_all(self) -> None:
        call = self._call
        for waiting in self._waiting:
            waiting.finish(Cancelled())
        self._waiting.clear()
        if call is not None and self._process is not None:
            call.is_abandoned = self._is_stopped = True
            self._process.send(Stop(self._number))
        if not self._end_process() and call is not None:
            self._lose_files(call)
        self._end_job(Cancelled())
        for question in self._questions.values():
            question.answer.put(Cancelled())
        self._questions.clear()

    def _fail(self, error: BaseException) -> None:
        """Something is wrong in here: nobody is to wait for ever."""
        if self._process is not None:
            self._process.kill()
            self._process = None
        died = WorkerDied(f"its supervision failed: {type(error).__name__}: {error}")
        self._end_job(died)
        for call in self._waiting:
            call.finish(died)
        for question in self._questions.values():
            question.answer.put(died)
        self._waiting.clear()
        self._questions.clear()


def _outcome(source: MediaSource, over: FileEnded) -> FileOutcome:
    if over.transcript is not None:
        return FileDone(source, over.transcript)
    return FileFailed(source, over.error or WorkerDied("a file ended without a result"))
