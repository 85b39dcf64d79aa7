"""The supervisor of a worker process: nobody waits for ever for one that died, or that cannot be started."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, cast

import pytest

from autorag_whisper.domain.errors import AutoragWhisperError, WorkerDied
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.worker.call import Close, Question
from autorag_whisper.worker.client import WorkerTranscriber
from autorag_whisper.worker.messages import Answer, Ask
from autorag_whisper.worker.process import Gone, WorkerProcess
from autorag_whisper.worker.supervision import Limits, Seen
from autorag_whisper.worker.supervisor import Heard, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from autorag_whisper.worker.messages import FromParent


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
    caller.join(10)
    assert [type(error) for error in errors] == [WorkerDied]
    assert isinstance(question.answer.get(timeout=10), WorkerDied)
    supervisor.submit(closing)
    closing.done.get(timeout=10)


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
    caller.join(20)
    assert [type(error) for error in errors] == [WorkerDied]
    worker.close()


def test_a_process_that_died_leaves_no_thread_behind() -> None:
    told: SimpleQueue[object] = SimpleQueue()
    before = set(threading.enumerate())
    process = WorkerProcess({}, lambda: 0.0, lambda _, said: told.put(said), (sys.executable, "-c", ""))
    assert told.get(timeout=20) == Gone(0)
    for thread in set(threading.enumerate()) - before:
        if thread.name.endswith("worker"):
            thread.join(10)
            assert not thread.is_alive()
    assert process.is_gone


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
    assert told.get(timeout=30) == Gone(-signal.SIGKILL)
    assert stuck[0].poll() is None
    assert f"worker process {process.pid} has not ended" in caplog.text
    assert not process.end(0.0)  # whoever ends it again waits no longer
    stuck[0].let_go()
    assert stuck[0].wait(30) == -signal.SIGKILL


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
    assert stuck[0].wait(30) == -signal.SIGKILL
    supervisor.close()
