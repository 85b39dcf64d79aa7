"""A caller of a worker is interrupted anywhere: his next job has its own words, and nobody waits for ever."""

from __future__ import annotations

import random
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.testing import speech_samples, write_speech
from autorag_whisper.worker.client import WorkerTranscriber
from autorag_whisper.worker.supervision import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

CHILD = Path(__file__).resolve().parents[1] / "worker_child.py"
ENGLISH = TranscribeOptions(language="en", batch_size=1)


class InterruptError(BaseException):
    """As Ctrl-C, or Celery's soft limit."""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerTranscriber]:
    (tmp_path / "orders").mkdir()
    program = (sys.executable, str(CHILD), str(tmp_path / "orders"))
    with WorkerTranscriber(limits=Limits(idle_s=None), program=program) as made:
        yield made


@pytest.fixture
def files(tmp_path: Path) -> dict[Path, int]:
    """Files and how many words each has; no two have as many."""
    return {write_speech(tmp_path / f"{n}.wav", speech_samples(n)): n for n in range(1, 12)}


def one(worker: WorkerTranscriber, files: dict[Path, int], chance: random.Random) -> None:
    path = chance.choice(list(files))
    transcript = worker.transcribe(path, ENGLISH, model="fake")
    assert (transcript.name, len(transcript.words)) == (path.name, files[path])


def streamed(worker: WorkerTranscriber, files: dict[Path, int], chance: random.Random) -> None:
    path = chance.choice(list(files))
    with worker.stream(path, ENGLISH, model="fake") as stream:
        words = sum(len(segment.words) for segment in stream)
    assert (stream.result().name, words) == (path.name, files[path])


def closed(worker: WorkerTranscriber, files: dict[Path, int], chance: random.Random) -> None:
    stream = worker.stream(chance.choice(list(files)), ENGLISH, model="fake")
    next(stream)
    stream.close()


def several(worker: WorkerTranscriber, files: dict[Path, int], chance: random.Random) -> None:
    asked = chance.sample(list(files), 4)
    came = []
    for outcome in worker.transcribe_many(asked, ENGLISH, model="fake"):
        path = outcome.source.path
        assert path is not None
        transcript = outcome.result()
        assert (transcript.name, len(transcript.words)) == (path.name, files[path])
        came.append(path)
    assert sorted(came) == sorted(asked)


def handle(worker: WorkerTranscriber, files: dict[Path, int], chance: random.Random) -> None:
    assert worker.model("fake", "cpu").device == worker.resolved_device() == "cpu"
    worker.load()


def ended(worker: WorkerTranscriber, files: dict[Path, int], chance: random.Random) -> None:
    worker.close()


JOBS = (one, streamed, closed, several, handle, ended)


@contextmanager
def interrupted_at(line: int, and_again: int = 0) -> Iterator[list[int]]:
    """For the length of a `with`, this thread gets an exception at that line of all that it runs in here.

    Here are our own modules and the standard library's threads. Yields a list that holds how many lines were run.
    `and_again`: another one, while it cleans up, at that call of a function after the first.
    """
    ran, calls = [0], [0]

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., object] | None:
        name = frame.f_code.co_filename
        if not ("/autorag_whisper/worker/" in name or "/transcriber/" in name or name.endswith("/threading.py")):
            return None
        if event == "line":
            ran[0] += 1
            if ran[0] == line:
                raise InterruptError  # which ends tracing, but not profiling
        return trace

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        if line and ran[0] >= line and event in ("call", "c_call"):
            calls[0] += 1
            if calls[0] == and_again:
                raise InterruptError

    before, sys_profile = sys.gettrace(), sys.getprofile()
    sys.setprofile(profile if and_again else None)
    sys.settrace(trace)
    try:
        yield ran
    finally:
        sys.settrace(before)
        sys.setprofile(sys_profile)


@pytest.mark.parametrize(
    "job",
    [pytest.param(job, marks=pytest.mark.slow) if job is ended else job for job in JOBS],
    ids=lambda job: job.__name__,
)
def test_interrupted_at_any_line_and_in_cleaning_up_the_next_job_has_its_own_words(
    worker: WorkerTranscriber, files: dict[Path, int], job: Callable[..., None]
) -> None:
    chance = random.Random(job.__name__)
    one(worker, files, chance)
    with interrupted_at(0) as lines:
        job(worker, files, chance)
    assert lines[0] > 20
    for spot in [*range(1, 10), *chance.sample(range(10, max(lines[0], 40)), 16)]:
        with suppress(InterruptError), interrupted_at(spot, chance.choice((0, *range(1, 9)))):
            job(worker, files, chance)
        chance.choice((one, streamed, several))(worker, files, chance)


@pytest.mark.slow
def test_signals_at_any_moment_leave_every_job_its_own_words(worker: WorkerTranscriber, files: dict[Path, int]) -> None:
    """After Ctrl-C the next job had the interrupted one's transcript."""
    chance, main = random.Random(1), threading.get_ident()
    is_armed, over, count = [False], threading.Event(), [0]

    def interrupt(*_: object) -> None:
        if is_armed[0]:
            is_armed[0] = False
            count[0] += 1
            raise InterruptError

    def send() -> None:
        own = random.Random(2)
        while not over.wait(own.choice((0.0005, 0.002, 0.01, 0.04))):
            signal.pthread_kill(main, signal.SIGUSR1)

    one(worker, files, chance)
    before = signal.signal(signal.SIGUSR1, interrupt)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        jobs = 0
        while jobs < 100 or count[0] <= 50:  # on a busy machine a job may be over before its signal comes
            jobs += 1
            job = chance.choice((one, streamed, closed, several, handle))
            with suppress(InterruptError):
                is_armed[0] = True
                job(worker, files, chance)
            is_armed[0] = False
            one(worker, files, chance)
    finally:
        over.set()
        sender.join()
        signal.signal(signal.SIGUSR1, before)
