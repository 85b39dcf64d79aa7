"""A supervised worker process over fakes: it dies, hangs and grows, and the job goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.device import CpuPin, FailureCause
from autorag_whisper.domain.errors import Cancelled, EngineError, MediaNotFound, ModelNotFound, PoisonedFile, WorkerDied
from autorag_whisper.domain.faults import was_fault
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.testing import speech_samples, write_speech
from autorag_whisper.transcriber import CancelToken
from autorag_whisper.worker import parent
from autorag_whisper.worker.call import Look
from autorag_whisper.worker.client import WorkerTranscriber
from autorag_whisper.worker.messages import UNREAD_OUTCOMES, UNREAD_SEGMENTS, ChunkDone, Event, Ready
from autorag_whisper.worker.parent import Parent
from autorag_whisper.worker.supervision import Limits
from autorag_whisper.worker.supervisor import Heard
from descriptors import open_files
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autorag_whisper.transcriber import Progress

CHILD = Path(__file__).resolve().parents[1] / "worker_child.py"
PATIENT = Limits(silent_s=1000.0, stalled_s=1000.0, idle_s=None)
"""For a process that is healthy: on a busy machine it may say nothing for seconds."""
ENGLISH = TranscribeOptions(language="en")


class Hand:
    """A clock that stands still unless a test moves it: however busy the machine is, nothing takes too long."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def passes(self, worker: WorkerTranscriber, seconds: int) -> None:
        """Second by second, each of which the supervision sees: two that it misses would be its own delay."""
        supervisor = worker._supervisor.get()
        for _ in range(seconds):
            self.now += 1.0
            until(lambda: supervisor.submit(Look()) or supervisor._looked_s == self.now)

    def passes_until(self, worker: WorkerTranscriber, true: Callable[[], bool]) -> None:
        """As many seconds as it takes."""
        while not true():
            self.passes(worker, 1)


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    (tmp_path / "orders").mkdir()
    return tmp_path / "orders"


@pytest.fixture
def make(orders: Path) -> Iterator[Callable[..., WorkerTranscriber]]:
    made: list[WorkerTranscriber] = []

    def make(
        limits: Limits = PATIENT, telemetry: Telemetry | None = None, clock: Callable[[], float] = time.monotonic
    ) -> WorkerTranscriber:
        program = (sys.executable, str(CHILD), str(orders))
        made.append(WorkerTranscriber(limits=limits, telemetry=telemetry, program=program, clock=clock))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def worker(make: Callable[..., WorkerTranscriber]) -> WorkerTranscriber:
    return make()


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Four chunks, of 9, 12, 10 and 11 words."""
    parts = [speech_samples(count, tail_s=6.0) for count in (9, 12, 10, 11)]
    return write_speech(tmp_path / "talk.wav", np.concatenate(parts))


@pytest.fixture
def undisturbed(talk: Path) -> str:
    return World().transcriber.transcribe(talk, ENGLISH, model="fake").text


def heard(orders: Path) -> list[int]:
    """Words of each chunk that was in an engine, in order."""
    return [int(line) for line in (orders / "heard").read_text().split()]


def pid_of(worker: WorkerTranscriber) -> int:
    """Of its process, which there is."""
    pid = worker.process_id
    assert pid is not None
    return pid


def until(true: Callable[[], object]) -> None:
    pause = threading.Event()
    while not true():
        pause.wait(0.01)


def test_a_job_gives_what_it_gives_in_process_and_the_process_stays(
    worker: WorkerTranscriber, talk: Path, undisturbed: str
) -> None:
    assert worker.process_id is None
    assert worker.transcribe(talk, ENGLISH, model="fake").text == undisturbed
    first = worker.process_id
    segments = list(worker.stream(talk, ENGLISH, model="fake"))
    assert " ".join(segment.text for segment in segments) == undisturbed
    assert worker.process_id == first is not None


@pytest.mark.parametrize("at", [9, 12, 10, 11])
def test_a_process_that_is_killed_in_mid_file_costs_no_word_and_no_chunk_is_told_twice(
    worker: WorkerTranscriber, orders: Path, talk: Path, undisturbed: str, at: int
) -> None:
    (orders / f"kill-at-{at}").write_text("once")
    segments = list(worker.stream(talk, ENGLISH, model="fake"))
    assert " ".join(segment.text for segment in segments) == undisturbed
    assert [segment.index for segment in segments] == list(range(len(segments)))


@pytest.mark.parametrize("at", [12, 11])
def test_progress_goes_on_from_what_a_process_that_died_had_told(
    worker: WorkerTranscriber, orders: Path, talk: Path, tmp_path: Path, at: int
) -> None:
    other = write_speech(tmp_path / "orders" / talk.name, speech_samples(5))
    (orders / f"kill-at-{at}").write_text("once")
    told: dict[MediaSource, list[Progress]] = {}
    outcomes = list(
        worker.transcribe_many(
            [talk, other], ENGLISH, model="fake", on_progress=lambda p: told.setdefault(p.source, []).append(p)
        )
    )
    assert set(told) == {MediaSource.from_path(talk), MediaSource.from_path(other)}
    for outcome in outcomes:
        figures = [progress.audio_s for progress in told[outcome.source]]
        assert figures == sorted(figures)
        last = told[outcome.source][-1]
        assert last.audio_s == last.total_s == outcome.result().duration_s


def test_chunks_that_were_done_are_not_done_again(
    worker: WorkerTranscriber, orders: Path, talk: Path, undisturbed: str
) -> None:
    (orders / "hold-at-11").write_text("")
    stream = worker.stream(talk, ENGLISH, model="fake")
    texts = [next(stream).text for _ in range(2)]
    os.kill(pid_of(worker), signal.SIGKILL)
    (orders / "hold-at-11").unlink()
    texts += [segment.text for segment in stream]
    assert " ".join(texts) == undisturbed
    assert heard(orders).count(9) == 1


def test_a_process_that_is_stopped_is_noticed_and_its_job_goes_on(
    make: Callable[..., WorkerTranscriber], orders: Path, talk: Path, undisturbed: str
) -> None:
    (orders / "hold-at-12").write_text("")
    clock = Hand()
    worker = make(Limits(silent_s=2.0, stalled_s=1000.0, idle_s=None), clock=clock)
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(worker.transcribe, talk, ENGLISH, model="fake")
        until(lambda: (orders / "heard").exists() and 12 in heard(orders))
        first = pid_of(worker)
        os.kill(first, signal.SIGSTOP)
        clock.passes_until(worker, lambda: worker.process_id not in (None, first))
        (orders / "hold-at-12").unlink()
        assert job.result(60).text == undisturbed


def test_a_process_that_lives_and_gets_nothing_done_is_replaced(
    make: Callable[..., WorkerTranscriber], orders: Path, talk: Path, undisturbed: str
) -> None:
    (orders / "hold-at-12").write_text("")
    clock = Hand()
    worker = make(Limits(silent_s=1000.0, stalled_s=3.0, idle_s=None), clock=clock)
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(worker.transcribe, talk, ENGLISH, model="fake")
        until(lambda: worker.process_id is not None and (orders / "heard").exists() and 12 in heard(orders))
        first = worker.process_id
        clock.passes_until(worker, lambda: worker.process_id not in (None, first))
        (orders / "hold-at-12").unlink()
        assert job.result(60).text == undisturbed


def test_a_process_that_grows_is_replaced_at_its_next_batch_and_nothing_is_lost(
    make: Callable[..., WorkerTranscriber], orders: Path, talk: Path, undisturbed: str, caplog: pytest.LogCaptureFixture
) -> None:
    (orders / "grow-at-9").write_text("")
    worker = make(Limits(memory_bytes=350 << 20, idle_s=None))
    hold = orders / "hold-at-11"
    hold.write_text("")
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(worker.transcribe, talk, ENGLISH, model="fake")
        until(lambda: "is replaced" in caplog.text or job.done())
        hold.unlink()
        assert job.result(60).text == undisturbed
    assert "it has grown to" in caplog.text


def test_a_sticky_cuda_error_ends_the_process_and_the_job_goes_on_in_a_new_one_on_the_cpu(
    worker: WorkerTranscriber, orders: Path, talk: Path, undisturbed: str, caplog: pytest.LogCaptureFixture
) -> None:
    (orders / "card").touch()
    (orders / "break-at-12").touch()
    (orders / "hold-at-11").touch()
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(worker.transcribe, talk, ENGLISH, model="fake")
        until(lambda: "is replaced" in caplog.text or job.done())
        (orders / "hold-at-11").unlink()
        transcript = job.result(60)
    assert transcript.text == undisturbed
    assert "context on the card is broken" in caplog.text
    assert heard(orders).count(9) == 1
    second = worker.process_id
    assert second not in (None, int((orders / "broke").read_text()))
    assert transcript.device == "cpu"
    assert worker.transcribe(talk, ENGLISH, model="fake").text == undisturbed
    assert worker.process_id == second, "what is inherited is no reason to end"


def test_a_process_whose_last_batch_broke_its_card_is_not_kept_for_the_next_job(
    worker: WorkerTranscriber, orders: Path, talk: Path, undisturbed: str
) -> None:
    (orders / "card").touch()
    (orders / "break-at-11").touch()
    assert worker.transcribe(talk, ENGLISH, model="fake").text == undisturbed
    assert worker.process_id != int((orders / "broke").read_text())
    assert worker.transcribe(talk, ENGLISH, model="fake").device == "cpu"


def test_a_file_that_kills_two_processes_is_poison_and_the_others_are_done(
    worker: WorkerTranscriber, orders: Path, tmp_path: Path
) -> None:
    (orders / "kill-at-7").write_text("always")
    files = [write_speech(tmp_path / f"{count}.wav", speech_samples(count)) for count in (3, 7, 5, 4)]
    outcomes = {o.source.name: o for o in worker.transcribe_many(files, ENGLISH, model="fake")}
    assert set(outcomes) == {path.name for path in files}
    assert isinstance(outcomes["7.wav"].error, PoisonedFile)
    assert "7.wav: it killed the worker process again and again (ended by signal 9)" in str(outcomes["7.wav"].error)
    texts = [outcomes[f"{count}.wav"].transcript for count in (3, 5, 4)]
    assert [len(transcript.words) for transcript in texts if transcript] == [3, 5, 4]


def test_what_nobody_expects_of_the_engine_fails_one_file_of_many_and_no_process(
    worker: WorkerTranscriber, orders: Path, tmp_path: Path
) -> None:
    # It ended the job: the files behind it had no outcome.
    (orders / "raise-at-7").touch()
    files = [write_speech(tmp_path / f"{count}.wav", speech_samples(count)) for count in (3, 7, 5, 4)]
    worker.load("fake")
    before = worker.process_id
    outcomes = {o.source.name: o for o in worker.transcribe_many(files, ENGLISH, model="fake")}
    assert worker.process_id == before
    error = outcomes["7.wav"].error
    assert error is not None
    assert was_fault(error)
    assert "IndexError: nobody expects this" in str(error)
    assert [len(outcomes[f"{count}.wav"].result().words) for count in (3, 5, 4)] == [3, 5, 4]
    with pytest.raises(EngineError, match="IndexError: nobody expects this"):
        worker.transcribe(files[1], ENGLISH, model="fake")


def test_a_process_that_cannot_begin_is_told_and_not_begun_for_ever(
    worker: WorkerTranscriber, orders: Path, talk: Path
) -> None:
    (orders / "die-at-start").write_text("")
    with pytest.raises(WorkerDied, match="exit code 3"):
        worker.transcribe(talk, ENGLISH, model="fake")
    (orders / "die-at-start").unlink()
    assert worker.transcribe(talk, ENGLISH, model="fake").words


def test_an_error_of_a_file_or_a_model_is_the_same_as_in_process(worker: WorkerTranscriber, tmp_path: Path) -> None:
    with pytest.raises(MediaNotFound):
        worker.transcribe(tmp_path / "nothing.wav", ENGLISH, model="fake")
    real = WorkerTranscriber(limits=PATIENT)
    with pytest.raises(ModelNotFound):
        real.load("no-such-model-anywhere")
    real.close()


def test_whoever_wants_no_more_stops_the_work_at_the_next_batch_and_the_process_goes_on(
    worker: WorkerTranscriber, orders: Path, talk: Path
) -> None:
    stream = worker.stream(talk, ENGLISH, model="fake")
    next(stream)
    first = worker.process_id
    stream.close()
    assert len(heard(orders)) <= 4
    assert worker.transcribe(talk, ENGLISH, model="fake").words
    assert worker.process_id == first


# ------------------------------------------------------------ whoever calls


def test_a_slow_caller_kills_no_healthy_process(
    make: Callable[..., WorkerTranscriber], orders: Path, talk: Path, undisturbed: str
) -> None:
    """His time between two segments counted as a stall: with 3.5 s twice his file was called poison."""
    clock = Hand()
    worker = make(Limits(silent_s=1000.0, stalled_s=4.0, idle_s=None), clock=clock)
    stream = worker.stream(talk, ENGLISH, model="fake")
    texts = [next(stream).text]
    first = worker.process_id
    until(lambda: len(heard(orders)) == 4)
    supervisor = worker._supervisor.get()
    until(lambda: not supervisor._on)  # all is told, and nothing is left to do
    clock.passes(worker, 6)
    texts += [segment.text for segment in stream]
    assert " ".join(texts) == undisturbed
    assert worker.process_id == first
    assert len(heard(orders)) == 4


@pytest.mark.slow
def test_a_process_whose_caller_does_not_read_waits_and_is_not_stalled(
    make: Callable[..., WorkerTranscriber], orders: Path, tmp_path: Path
) -> None:
    clock = Hand()
    worker = make(Limits(silent_s=1000.0, stalled_s=4.0, idle_s=None), clock=clock)
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(1 + n % 5)) for n in range(80)]
    outcomes = worker.transcribe_many(files, TranscribeOptions(language="en", batch_size=1), model="fake")
    done = [next(outcomes)]
    process = worker._supervisor.get()._process
    assert process is not None
    until(lambda: process.beat is not None and process.beat.waiting)
    for _ in range(6):
        clock.passes(worker, 1)
        until(lambda: process.got_on_s == clock.now)  # its heartbeat has said that it waits
    assert len(heard(orders)) < 60, "what is not read is bounded"
    done += outcomes
    assert worker.process_id == process.pid
    assert {o.source.name: len(o.result().words) for o in done} == {f"{n}.wav": 1 + n % 5 for n in range(80)}


@pytest.mark.slow
def test_a_process_that_follows_another_one_tells_what_that_one_has_not(
    worker: WorkerTranscriber, orders: Path, tmp_path: Path
) -> None:
    """Of a file with more segments than may be unread, all were told again, which nobody read: it waited for ever."""
    count = UNREAD_SEGMENTS + 44
    long = write_speech(
        tmp_path / "long.wav", np.concatenate([*[speech_samples(1, tail_s=0.7)] * count, speech_samples(19)])
    )
    # Each clip is a chunk, and so a segment, of its own.
    clips = [*((2.0 * n, 2.0 * n + 1.8) for n in range(count)), (2.0 * count, None)]
    (orders / "kill-at-19").write_text("once")
    segments = list(worker.stream(long, TranscribeOptions(language="en", clips=clips), model="fake"))
    assert [segment.index for segment in segments] == list(range(count + 1))
    assert [len(segment.words) for segment in segments] == [1] * count + [19]
    assert not (orders / "kill-at-19").exists()


@pytest.mark.slow
def test_what_is_unread_counts_for_the_next_process_too(
    worker: WorkerTranscriber, orders: Path, tmp_path: Path
) -> None:
    """Each process that followed told as much again as may be unread: with each death more lay in memory."""
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(1 + n % 5)) for n in range(80)]
    outcomes = worker.transcribe_many(files, TranscribeOptions(language="en", batch_size=1), model="fake")
    done = [next(outcomes)]
    process = worker._supervisor.get()._process
    assert process is not None
    until(lambda: process.beat is not None and process.beat.waiting)
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: worker.process_id not in (None, process.pid))
    second = worker._supervisor.get()._process
    assert second is not None
    until(lambda: second.beat is not None and second.beat.waiting)
    [call] = worker._supervisor.get()._on.values()
    assert call.unread <= UNREAD_OUTCOMES
    done += outcomes
    assert {o.source.name: len(o.result().words) for o in done} == {f"{n}.wav": 1 + n % 5 for n in range(80)}


def test_a_process_that_hangs_is_found_though_its_caller_does_not_read(
    make: Callable[..., WorkerTranscriber], orders: Path, talk: Path, undisturbed: str
) -> None:
    (orders / "hold-at-11").write_text("")
    clock = Hand()
    worker = make(Limits(silent_s=1000.0, stalled_s=4.0, idle_s=None), clock=clock)
    stream = worker.stream(talk, ENGLISH, model="fake")
    texts = [next(stream).text]
    first = worker.process_id
    until(lambda: 11 in heard(orders))
    clock.passes_until(worker, lambda: worker.process_id not in (None, first))
    (orders / "hold-at-11").unlink()
    texts += [segment.text for segment in stream]
    assert " ".join(texts) == undisturbed


def test_time_in_which_the_callers_own_process_was_stopped_is_no_silence(
    make: Callable[..., WorkerTranscriber], orders: Path, talk: Path, undisturbed: str
) -> None:
    """After Ctrl-Z and `fg` the first look came before the first sign of life was read."""
    clock = Hand()
    (orders / "hold-at-11").write_text("")
    worker = make(Limits(silent_s=2.0, stalled_s=60.0, idle_s=None), clock=clock)
    stream = worker.stream(talk, ENGLISH, model="fake")
    texts = [next(stream).text]
    first = worker.process_id
    clock.now += 1000.0
    clock.passes(worker, 2)  # the first look finds that so much is gone, the second is over when that is judged
    (orders / "hold-at-11").unlink()
    texts += [segment.text for segment in stream]
    assert worker.process_id == first
    assert " ".join(texts) == undisturbed


@pytest.mark.parametrize("by", ["token", "close"])
def test_another_thread_ends_a_read_at_once_and_the_next_job_need_not_wait_for_the_engine(
    worker: WorkerTranscriber, orders: Path, talk: Path, tmp_path: Path, by: str
) -> None:
    """Closing took 9 to 34 s: the batches in flight."""
    short = write_speech(tmp_path / "short.wav", speech_samples(5))
    (orders / "hold-at-11").write_text("")
    token = CancelToken()
    stream = worker.stream(talk, ENGLISH, model="fake", cancel=token)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: list(stream))
        until(lambda: (orders / "heard").exists() and 11 in heard(orders))
        first = worker.process_id
        token.cancel() if by == "token" else stream.close()
        with pytest.raises(Cancelled):
            reading.result(60)
    with pytest.raises(Cancelled, match="cancelled"):
        stream.result()
    assert len(worker.transcribe(short, ENGLISH, model="fake").words) == 5  # the engine still holds the other's chunk
    assert worker.process_id == first
    (orders / "hold-at-11").unlink()


def test_what_is_said_of_another_job_is_refused(
    worker: WorkerTranscriber, orders: Path, talk: Path, undisturbed: str
) -> None:
    (orders / "hold-at-11").write_text("")  # else the job may be over by then
    stream = worker.stream(talk, ENGLISH, model="fake")
    first = next(stream)
    supervisor = worker._supervisor.get()
    process = supervisor._process
    assert process is not None
    [number] = supervisor._on
    for job in (number - 1, number + 1):
        foreign = replace(first, index=first.index + 1, text="of another job")
        for said in (Event(job, 0, foreign), ChunkDone(job, 0, 1, (b"", b"")), Ready(job, Cancelled())):
            supervisor._inbox.put(Heard(process, said))
    (orders / "hold-at-11").unlink()
    assert " ".join([first.text, *(segment.text for segment in stream)]) == undisturbed


def test_two_streams_may_be_read_in_turn_by_one_thread(
    worker: WorkerTranscriber, talk: Path, tmp_path: Path, undisturbed: str
) -> None:
    """The second waited for ever for the first, which waited to be read."""
    streams = [worker.stream(talk, ENGLISH, model="fake") for _ in range(2)]
    pairs = list(zip(*streams, strict=True))
    assert " ".join(one.text for one, _ in pairs) == " ".join(other.text for _, other in pairs) == undisturbed


def test_two_streams_of_one_thread_go_on_in_a_new_process(
    worker: WorkerTranscriber, orders: Path, talk: Path, undisturbed: str
) -> None:
    """Each waits until the other was tried, which nobody may read meanwhile."""
    (orders / "kill-at-10").write_text("once")
    streams = [worker.stream(talk, ENGLISH, model="fake") for _ in range(3)]
    rows = list(zip(*streams, strict=True))
    assert {" ".join(row[n].text for row in rows) for n in range(3)} == {undisturbed}


# ------------------------------------------------------------ several callers


def test_a_job_waits_for_no_other(worker: WorkerTranscriber, orders: Path, talk: Path, tmp_path: Path) -> None:
    """They went one after the other."""
    short = write_speech(tmp_path / "short.wav", speech_samples(5))
    (orders / "hold-at-12").write_text("")
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(worker.transcribe, talk, ENGLISH, model="fake")
        until(lambda: (orders / "heard").exists() and 12 in heard(orders))
        assert len(worker.transcribe(short, ENGLISH, model="fake").words) == 5  # the engine has another worker
        worker.load("fake")
        assert not held.done()
        (orders / "hold-at-12").unlink()
        assert len(held.result(60).words) == 42


@pytest.mark.slow
def test_what_is_not_read_is_bounded_also_while_others_are_on(
    worker: WorkerTranscriber, talk: Path, tmp_path: Path, undisturbed: str
) -> None:
    """The limit was lifted for whoever waited behind a caller who does not read."""
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(1 + n % 5)) for n in range(80)]
    outcomes = worker.transcribe_many(files, TranscribeOptions(language="en", batch_size=1), model="fake")
    done = [next(outcomes)]
    process = worker._supervisor.get()._process
    assert process is not None
    [call] = worker._supervisor.get()._on.values()
    until(lambda: process.beat is not None and process.beat.waiting)
    for _ in range(3):
        assert worker.transcribe(talk, ENGLISH, model="fake").text == undisturbed
    assert call.unread <= UNREAD_OUTCOMES
    assert len([*done, *outcomes]) == 80


@pytest.mark.slow
def test_a_file_of_one_caller_that_kills_costs_the_others_no_word_and_no_blame(
    worker: WorkerTranscriber, orders: Path, talk: Path, tmp_path: Path, undisturbed: str
) -> None:
    files = {n: write_speech(tmp_path / f"{n}.wav", speech_samples(n)) for n in (3, 5, 7, 19)}
    (orders / "kill-at-7").write_text("always")
    begun = threading.Barrier(5)

    def one(path: Path) -> str:
        begun.wait(60)
        return worker.transcribe(path, ENGLISH, model="fake").text

    def many() -> dict[str, int]:
        begun.wait(60)
        found = {o.source.name: o for o in worker.transcribe_many([files[5], files[3]], ENGLISH, model="fake")}
        return {name: len(outcome.result().words) for name, outcome in found.items()}

    with ThreadPoolExecutor(5) as pool:
        talks = [pool.submit(one, talk) for _ in range(2)]
        killer, several, last = pool.submit(one, files[7]), pool.submit(many), pool.submit(one, files[19])
        with pytest.raises(PoisonedFile, match=r"7\.wav"):
            killer.result(120)
        assert {job.result(120) for job in talks} == {undisturbed}
        assert several.result(120) == {"3.wav": 3, "5.wav": 5}
        assert len(last.result(120).split()) == 19


@pytest.mark.slow
def test_a_chunk_that_kills_late_in_a_long_file_is_found_beside_others(
    worker: WorkerTranscriber, orders: Path, talk: Path, tmp_path: Path, undisturbed: str
) -> None:
    killer = write_speech(
        tmp_path / "killer.wav", np.concatenate([speech_samples(n, tail_s=6.0) for n in (3, 4, 5, 6, 3, 19, 4)])
    )
    (orders / "kill-at-19").write_text("always")
    with ThreadPoolExecutor(4) as pool:
        bad = pool.submit(worker.transcribe, killer, TranscribeOptions(language="en", batch_size=1), model="fake")
        good = [pool.submit(worker.transcribe, talk, ENGLISH, model="fake") for _ in range(3)]
        with pytest.raises(PoisonedFile, match=r"killer\.wav"):
            bad.result(120)
        assert {job.result(120).text for job in good} == {undisturbed}
    assert worker.transcribe(talk, ENGLISH, model="fake").text == undisturbed


def test_jobs_that_begin_and_end_beside_it_do_not_hide_that_the_engine_hangs(
    make: Callable[..., WorkerTranscriber], orders: Path, talk: Path, tmp_path: Path, undisturbed: str
) -> None:
    (orders / "hold-at-12").write_text("")
    clock = Hand()
    worker = make(Limits(silent_s=1000.0, stalled_s=4.0, idle_s=None), clock=clock)
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(worker.transcribe, talk, ENGLISH, model="fake")
        until(lambda: worker.process_id is not None and (orders / "heard").exists() and 12 in heard(orders))
        first = worker.process_id
        [call] = worker._supervisor.get()._on.values()
        until(lambda: len(call.job._done.get(0, ())) == 3)  # all but what is held
        clock.passes(worker, 1)
        for _ in range(4):
            with pytest.raises(MediaNotFound):
                worker.transcribe(tmp_path / "nothing.wav", ENGLISH, model="fake")
            clock.passes(worker, 1)
        clock.passes(worker, 2)  # 6 s since its last chunk, 3 since any job said anything
        until(lambda: worker.process_id not in (None, first))
        (orders / "hold-at-12").unlink()
        assert job.result(60).text == undisturbed


@pytest.mark.slow
def test_a_hang_is_found_beside_a_caller_who_does_not_read(
    make: Callable[..., WorkerTranscriber], orders: Path, talk: Path, tmp_path: Path, undisturbed: str
) -> None:
    """A process of which any job waited for its caller counted as one that has nothing to do."""
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(1 + n % 5)) for n in range(40)]
    clock = Hand()
    worker = make(Limits(silent_s=1000.0, stalled_s=4.0, idle_s=None), clock=clock)
    outcomes = worker.transcribe_many(files, TranscribeOptions(language="en", batch_size=1), model="fake")
    done = [next(outcomes)]
    process = worker._supervisor.get()._process
    assert process is not None
    until(lambda: process.beat is not None and process.beat.waiting)
    (orders / "hold-at-12").write_text("")
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(worker.transcribe, talk, ENGLISH, model="fake")
        until(lambda: 12 in heard(orders))
        clock.passes_until(worker, lambda: worker.process_id not in (None, process.pid))
        (orders / "hold-at-12").unlink()
        assert job.result(60).text == undisturbed
    assert len([*done, *outcomes]) == 40


@pytest.mark.slow
def test_closing_the_transcriber_ends_what_is_on(worker: WorkerTranscriber, orders: Path, talk: Path) -> None:
    (orders / "hold-at-12").write_text("")
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(worker.transcribe, talk, ENGLISH, model="fake") for _ in range(2)]
        until(lambda: (orders / "heard").exists() and 12 in heard(orders))
        worker.close()
        for job in jobs:
            with pytest.raises(Cancelled):
                job.result(60)
    assert worker.process_id is None


def test_a_fork_of_the_callers_process_has_a_worker_of_its_own(
    worker: WorkerTranscriber, talk: Path, undisturbed: str
) -> None:
    worker.transcribe(talk, ENGLISH, model="fake")
    first = worker.process_id
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            with worker:
                os.write(write, worker.transcribe(talk, ENGLISH, model="fake").text.encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        assert told.read() == undisturbed
    os.waitpid(pid, 0)
    assert worker.transcribe(talk, ENGLISH, model="fake").text == undisturbed
    assert worker.process_id == first


def test_an_idle_process_ends_and_the_next_job_begins_another(
    make: Callable[..., WorkerTranscriber], talk: Path, undisturbed: str
) -> None:
    worker = make(Limits(idle_s=0.2))
    worker.transcribe(talk, ENGLISH, model="fake")
    until(lambda: worker.process_id is None)
    assert worker.transcribe(talk, ENGLISH, model="fake").text == undisturbed


def test_a_process_that_died_between_two_jobs_is_no_trouble(worker: WorkerTranscriber, talk: Path) -> None:
    worker.transcribe(talk, ENGLISH, model="fake")
    os.kill(pid_of(worker), signal.SIGKILL)
    assert worker.transcribe(talk, ENGLISH, model="fake").words


def test_jobs_of_several_threads_are_on_at_once(worker: WorkerTranscriber, talk: Path, undisturbed: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(worker.transcribe, talk, ENGLISH, model="fake") for _ in range(4)]
        assert {job.result(60).text for job in jobs} == {undisturbed}


def test_spans_join_the_callers_trace(make: Callable[..., WorkerTranscriber], talk: Path) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    worker = make(telemetry=Telemetry(provider))
    with provider.get_tracer("host").start_as_current_span("host's own") as host:
        worker.transcribe(talk, ENGLISH, model="fake")
    mine = {span.name: span for span in exporter.get_finished_spans()}
    assert {"autorag.whisper.load_audio", "autorag.whisper.ct2_transcribe", "autorag.whisper.align"} <= set(mine)
    assert {span.context.trace_id for span in mine.values() if span.context} == {host.get_span_context().trace_id}


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(exporter: InMemorySpanExporter) -> Telemetry:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Telemetry(provider)


def spans_of(exporter: InMemorySpanExporter) -> list[tuple[str, str | None]]:
    """The stages of files, and the error of each."""
    stages = ("load_audio", "ct2_transcribe", "align")
    found = [(span.name.rpartition(".")[2], span.status.description) for span in exporter.get_finished_spans()]
    return sorted((name, error) for name, error in found if name in stages)


def test_a_stream_that_is_closed_early_leaves_its_spans(
    make: Callable[..., WorkerTranscriber],
    exporter: InMemorySpanExporter,
    telemetry: Telemetry,
    orders: Path,
    talk: Path,
) -> None:
    (orders / "hold-at-11").write_text("")
    worker = make(telemetry=telemetry)
    with worker.stream(talk, TranscribeOptions(language="en", batch_size=1), model="fake") as stream:
        next(stream)
    (orders / "hold-at-11").unlink()
    until(lambda: len(spans_of(exporter)) == 3)  # who closes waits a moment for them, and no longer
    *worked, (loaded, error) = spans_of(exporter)
    assert worked == [("align", "Cancelled"), ("ct2_transcribe", "Cancelled")]
    assert loaded == "load_audio"
    assert error in (None, "Cancelled"), "as it was decoded to its end, or not"
    exporter.clear()
    worker.transcribe(talk, ENGLISH, model="fake")
    assert spans_of(exporter) == [("align", None), ("ct2_transcribe", None), ("load_audio", None)]


def test_a_file_whose_process_goes_on_elsewhere_leaves_its_spans_once(
    make: Callable[..., WorkerTranscriber],
    exporter: InMemorySpanExporter,
    telemetry: Telemetry,
    orders: Path,
    talk: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (orders / "grow-at-9").write_text("")
    (orders / "hold-at-11").write_text("")
    worker = make(Limits(memory_bytes=350 << 20, idle_s=None), telemetry)
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(worker.transcribe, talk, ENGLISH, model="fake")
        until(lambda: "is replaced" in caplog.text or job.done())
        (orders / "hold-at-11").unlink()
        job.result(60)
    assert spans_of(exporter) == [("align", None), ("ct2_transcribe", None), ("load_audio", None)]


def test_a_file_that_dies_with_its_process_leaves_the_span_that_is_known(
    make: Callable[..., WorkerTranscriber],
    exporter: InMemorySpanExporter,
    telemetry: Telemetry,
    orders: Path,
    talk: Path,
) -> None:
    (orders / "kill-at-9").write_text("always")
    [outcome] = make(telemetry=telemetry).transcribe_many([talk], ENGLISH, model="fake")
    assert isinstance(outcome.error, PoisonedFile)
    assert spans_of(exporter) == [("load_audio", "PoisonedFile")]


def test_a_replaced_process_inherits_the_pin_to_the_cpu(worker: WorkerTranscriber, talk: Path) -> None:
    pin = worker._supervisor.get()._pin = CpuPin(FailureCause.DRIVER, "the driver is gone", None)
    worker.transcribe(talk, ENGLISH, model="fake")
    process = worker._supervisor.get()._process
    assert process is not None
    until(lambda: process.pin is not None)
    assert process.pin == pin


def test_a_process_whose_parent_is_gone_ends(orders: Path, talk: Path) -> None:
    program = f"""
import os, sys
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.worker.client import WorkerTranscriber
worker = WorkerTranscriber(program=(sys.executable, {str(CHILD)!r}, {str(orders)!r}))
worker.transcribe({str(talk)!r}, TranscribeOptions(language="en"), model="fake")
print(worker.process_id, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    pid = int(done.stdout)
    until(lambda: not is_running(pid))


def test_a_process_whose_parent_is_killed_ends_though_a_fork_of_it_lives(orders: Path, talk: Path) -> None:
    """The fork holds the parent's end of the socket, which so does not end with the parent."""
    program = f"""
import os, signal, sys
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.worker.client import WorkerTranscriber
worker = WorkerTranscriber(program=(sys.executable, {str(CHILD)!r}, {str(orders)!r}))
worker.transcribe({str(talk)!r}, TranscribeOptions(language="en"), model="fake")
forked = os.fork()
if not forked:
    signal.pause()
print(worker.process_id, forked, flush=True)
os.kill(os.getpid(), 9)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, forked = (int(number) for number in parent.stdout.readline().split())
    try:
        assert parent.wait(60) == -signal.SIGKILL
        until(lambda: not is_running(pid))
        assert is_running(forked)
    finally:
        os.kill(forked, signal.SIGKILL)
        parent.stdout.close()


@pytest.mark.parametrize("is_forbidden", [False, True])
def test_the_parents_end_is_seen_though_its_socket_is_held_elsewhere(
    monkeypatch: pytest.MonkeyPatch, is_forbidden: bool
) -> None:
    if is_forbidden:  # an older kernel, a sandbox, macOS

        def refuse(_pid: int) -> int:
            raise OSError

        monkeypatch.setattr(os, "pidfd_open", refuse)
    pid = os.fork()  # in place of a parent: it makes the socket pair, and the end that it keeps stays open here
    if not pid:
        signal.pause()
    mine, its = socket.socketpair()
    with mine, Connection(its.detach()) as connection:
        monkeypatch.setattr(parent, "_maker_of", lambda _connection: pid)
        watch = Parent(connection)
        mine.send(b"something")
        assert watch.wait()
        connection._recv(9)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(watch.wait)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            assert waiting.result(60) is False


def is_running(pid: int) -> bool:
    try:
        return "\tZ" not in next(
            line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("State")
        ).replace(" ", "")
    except OSError:
        return False


def test_a_job_that_nobody_reads_to_its_end_does_not_keep_the_interpreter(orders: Path, talk: Path) -> None:
    """Its generator was ended by the interpreter's own end, where a thread that is started never runs."""
    program = f"""
import sys
from autorag_whisper.worker.client import WorkerTranscriber
worker = WorkerTranscriber(program=({sys.executable!r}, {str(CHILD)!r}, {str(orders)!r}))
outcomes = worker.transcribe_many([{str(talk)!r}] * 2, model="fake")
next(outcomes)
worker.close()
kept = [outcomes]
kept.append(kept)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


@pytest.mark.slow
def test_no_thread_and_no_descriptor_is_left(make: Callable[..., WorkerTranscriber], talk: Path) -> None:
    def threads() -> set[str]:
        return {thread.name for thread in threading.enumerate() if thread.name.startswith("autorag-whisper")}

    files_before, threads_before = open_files(), threads()
    for _ in range(3):
        worker = make()
        worker.transcribe(talk, ENGLISH, model="fake")
        worker.close()
    until(lambda: threads() <= threads_before)  # its last thread ends just behind the closing
    assert open_files() - files_before == Counter()


def test_the_callers_process_loads_no_engine() -> None:
    program = """
import sys
import autorag_whisper.worker.client
print([name for name in ("ctranslate2", "onnxruntime", "tokenizers", "huggingface_hub") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
