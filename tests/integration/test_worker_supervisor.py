"""The supervisor of a worker process: nobody waits for ever for one that died, or that cannot be started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, cast

import pytest
from opentelemetry.context import Context

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import AutoragWhisperError, Cancelled, WorkerDied
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.worker.call import Call, Close, End, Question
from autorag_whisper.worker.client import WorkerTranscriber
from autorag_whisper.worker.job import WorkerJob
from autorag_whisper.worker.messages import Answer, Ask, ChunkDone, Ready, Stop
from autorag_whisper.worker.process import Gone, WorkerProcess
from autorag_whisper.worker.supervision import Limits, Seen
from autorag_whisper.worker.supervisor import Heard, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from autorag_whisper.worker.messages import FromParent, Load, Start


class FakeProcess:
    """What a supervisor says to a process is in `told`."""

    pid, pin, broken, is_ready = 1, None, "", True

    def __init__(self) -> None:
        self.told: list[FromParent] = []
        self.is_gone = False

    def send(self, message: FromParent) -> None:
        self.told.append(message)

    def seen(self, now: float, idle_since_s: float | None = None) -> Seen:
        return Seen(idle_s=idle_since_s)


@pytest.mark.parametrize("another_comes", [False, True])
def test_what_a_process_that_died_was_asked_is_asked_of_the_next(another_comes: bool) -> None:
    # A question that came between its death and the news of it began the next process, and the news was refused.
    begun: list[FakeProcess] = []

    def begin(_tell: Callable[..., object]) -> WorkerProcess:
        begun.append(FakeProcess())
        return cast("WorkerProcess", begun[-1])

    supervisor = Supervisor(begin, Limits(), Telemetry(), lambda: 0.0)
    questions = [Question(), Question()][: 1 + another_comes]
    supervisor._take(questions[0])
    supervisor._advance()
    [first] = begun
    first.is_gone = True
    if another_comes:
        supervisor._take(questions[1])
        supervisor._advance()
    supervisor._take(Heard(cast("WorkerProcess", first), Gone(-9)))
    supervisor._advance()
    _, second = begun
    asked = [said.number for said in second.told if isinstance(said, Ask)]
    assert len(asked) == len(questions)
    for number in asked:
        supervisor._take(Heard(cast("WorkerProcess", second), Answer(number, "cpu")))
    assert [question.answer.get(timeout=1) for question in questions] == [Answer(number, "cpu") for number in asked]


def test_whoever_comes_while_no_process_can_be_started_is_told_so_too(tmp_path: Path) -> None:
    # The thread ended with what had come meanwhile in its inbox.
    audio = tmp_path / "a.wav"
    audio.write_bytes(b"RIFF")
    worker = WorkerTranscriber(program=(str(tmp_path / "no such program"),))
    supervisor, question, closing = worker._supervisor.get(), Question(), Close()
    errors: list[BaseException] = []

    def transcribe() -> None:
        try:
            worker.transcribe(audio)
        except AutoragWhisperError as error:
            errors.append(error)

    supervisor._inbox.put(question)
    caller = Thread(target=transcribe, daemon=True)
    caller.start()
    caller.join(60)
    assert [type(error) for error in errors] == [WorkerDied]
    assert isinstance(question.answer.get(timeout=60), WorkerDied)
    supervisor.submit(closing)
    closing.done.get(timeout=60)


def test_a_process_is_forgiven_its_silence_and_no_later_one() -> None:
    # After an hour without a job one that was stuck had another hour.
    now = [0.0]
    program = (sys.executable, "-c", "import time; time.sleep(60)")
    process = WorkerProcess({}, lambda: now[0], lambda *_: None, program)
    try:
        now[0] = 3600.0
        process.heard_s = 3599.0
        process.forgive(3600.0, now[0])
        now[0] += 20.0
        assert process.seen(now[0]).silent_s == 20.0
    finally:
        process.kill()


def test_a_process_that_reads_nothing_holds_up_nobody() -> None:
    # A job of many files fills the socket: whoever was to notice that the process is stuck waited for it to read.
    program = (sys.executable, "-c", "import time; time.sleep(60)")
    worker = WorkerTranscriber(program=program, limits=Limits(start_s=0.3))
    errors: list[BaseException] = []

    def transcribe() -> None:
        try:
            list(worker.transcribe_many([f"/there/is/none/{n}.wav" for n in range(20_000)]))
        except AutoragWhisperError as error:
            errors.append(error)

    caller = Thread(target=transcribe, daemon=True)
    caller.start()
    caller.join(60)
    assert [type(error) for error in errors] == [WorkerDied]
    worker.close()


def test_a_process_that_died_leaves_no_thread_behind() -> None:
    told: SimpleQueue[object] = SimpleQueue()
    before = set(threading.enumerate())
    process = WorkerProcess({}, lambda: 0.0, lambda _, said: told.put(said), (sys.executable, "-c", ""))
    assert told.get(timeout=60) == Gone(0)
    for thread in set(threading.enumerate()) - before:
        if thread.name.endswith("worker"):
            thread.join(60)
            assert not thread.is_alive()
    assert process.is_gone


class TooLarge(FakeProcess):
    """Over its limit from its first breath; a job that it is to stop it stops at once."""

    def __init__(self, tell: Callable[..., object]) -> None:
        super().__init__()
        self._tell = tell
        self.begun: list[Start | Load] = []

    def begin(self, message: Start | Load, _spool: object) -> None:
        self.begun.append(message)

    def reap(self) -> None:
        pass

    def end_of(self, job: int) -> None:
        pass

    def end(self, _timeout_s: float) -> bool:
        return True

    def seen(self, now: float, idle_since_s: float | None = None) -> Seen:
        return Seen(idle_s=idle_since_s, resident_bytes=200 << 20)

    def send(self, message: FromParent) -> None:
        if isinstance(message, Stop):
            self._tell(self, Ready(message.job, Cancelled()))


def call_of(supervisor: Supervisor, *files: str) -> Call:
    sources = tuple(MediaSource.from_path(name) for name in files)
    return Call(WorkerJob(sources, None, "fake", None), Context(), supervisor.submit)


def went_on(supervisor: Supervisor) -> None:
    """What its thread does with all that has come, without that thread."""
    supervisor._advance()
    supervisor._look()
    while not supervisor._inbox.empty():
        supervisor._take(supervisor._inbox.get())


def test_a_limit_that_no_process_can_keep_ends_the_job_with_the_reason_and_not_the_processes_for_ever() -> None:
    # One process was begun after the other, each was over the limit as soon as the model was there.
    begun: list[TooLarge] = []

    def begin(tell: Callable[..., object]) -> WorkerProcess:
        begun.append(TooLarge(tell))
        return cast("WorkerProcess", begun[-1])

    supervisor = Supervisor(begin, Limits(memory_bytes=100 << 20, strikes=2), Telemetry(), lambda: 0.0)
    call = call_of(supervisor, "a.wav")
    supervisor._take(call)
    for _ in range(10):
        went_on(supervisor)
    assert len(begun) == 2
    end = call.next()
    assert isinstance(end, End)
    assert isinstance(end.error, WorkerDied)
    assert "it has grown to 200 MiB, the limit is 100" in str(end.error)


def test_processes_that_grow_with_what_they_do_are_replaced_as_often_as_it_takes() -> None:
    begun: list[TooLarge] = []

    def begin(tell: Callable[..., object]) -> WorkerProcess:
        begun.append(TooLarge(tell))
        return cast("WorkerProcess", begun[-1])

    supervisor = Supervisor(begin, Limits(memory_bytes=100 << 20, strikes=2), Telemetry(), lambda: 0.0)
    call, other = call_of(supervisor, "a.wav"), call_of(supervisor, "b.wav")
    supervisor._take(call)
    supervisor._take(other)
    for chunk in range(6):  # each process does one chunk of the first job, and none of the other
        supervisor._advance()
        process, [first, *_] = begun[-1], begun[-1].begun
        done = ChunkDone(first.job, 0, chunk, (b"", b""))
        supervisor._take(Heard(cast("WorkerProcess", process), done))
        went_on(supervisor)
    assert len(begun) >= 6
    assert call._events.empty()
    assert other._events.empty()


def test_a_process_that_cannot_read_what_it_is_told_ends_at_once() -> None:
    # Its thread that listens ended, and it went on beating: its jobs hung until they counted as stalled.
    told: SimpleQueue[object] = SimpleQueue()
    process = WorkerProcess(dict(os.environ), lambda: 0.0, lambda _, said: told.put(said))
    process._connection.send_bytes(b"no message")
    assert told.get(timeout=60) == Gone(1)
    process.kill()


class StuckInTheKernel(subprocess.Popen[bytes]):
    """As one that waits for a driver: it is not ended by SIGKILL before that lets go of it."""

    def kill(self) -> None:
        pass

    def let_go(self) -> None:
        super().kill()


def test_a_process_that_a_kill_does_not_end_is_left_behind_and_its_jobs_go_on(caplog: pytest.LogCaptureFixture) -> None:
    # Its supervisor waited for it, and with it every caller.
    stuck: list[StuckInTheKernel] = []
    told = SimpleQueue[Gone]()

    def popen(*args: Any, **options: Any) -> StuckInTheKernel:
        stuck.append(StuckInTheKernel(*args, **options))
        return stuck[-1]

    silent = (sys.executable, "-c", "import signal; signal.pause()")
    process = WorkerProcess({}, lambda: 0.0, lambda _, said: told.put(cast("Gone", said)), silent, popen, kill_s=0.05)
    process.kill()
    assert process.is_gone
    assert told.get(timeout=60) == Gone(-signal.SIGKILL)
    assert stuck[0].poll() is None
    assert f"worker process {process.pid} has not ended" in caplog.text
    assert not process.end(0.0)  # whoever ends it again waits no longer
    stuck[0].let_go()
    assert stuck[0].wait(60) == -signal.SIGKILL


def test_callers_go_on_in_a_new_process_while_the_old_one_does_not_end() -> None:
    begun: list[WorkerProcess] = []
    stuck: list[StuckInTheKernel] = []
    silent = (sys.executable, "-c", "import signal; signal.pause()")

    def popen(*args: Any, **options: Any) -> StuckInTheKernel:
        stuck.append(StuckInTheKernel(*args, **options))
        return stuck[-1]

    def begin(tell: Callable[[WorkerProcess, Any], object]) -> WorkerProcess:
        how = (popen, 0.05) if not begun else ()
        begun.append(WorkerProcess({}, time.monotonic, tell, silent, *how))
        return begun[-1]

    supervisor, question = Supervisor(begin, Limits(start_s=0.1, strikes=2), Telemetry(), time.monotonic), Question()
    supervisor.submit(question)
    assert isinstance(question.answer.get(timeout=60), WorkerDied)  # the second one says nothing either
    assert len(begun) == 2
    assert stuck[0].poll() is None
    stuck[0].let_go()
    assert stuck[0].wait(60) == -signal.SIGKILL
    supervisor.close()
