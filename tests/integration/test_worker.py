"""A supervised worker process over fakes: it dies, hangs and grows, and the job goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.device import CpuPin, FailureCause
from autorag_whisper.domain.errors import MediaNotFound, ModelNotFound, PoisonedFile, WorkerDied
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.testing import speech_samples, write_speech
from autorag_whisper.worker.client import WorkerTranscriber
from autorag_whisper.worker.supervision import Limits
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autorag_whisper.transcriber import Progress

CHILD = Path(__file__).resolve().parents[1] / "worker_child.py"
QUICK = Limits(silent_s=2.0, stalled_s=60.0, idle_s=None)
ENGLISH = TranscribeOptions(language="en")


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    (tmp_path / "orders").mkdir()
    return tmp_path / "orders"


@pytest.fixture
def make(orders: Path) -> Iterator[Callable[..., WorkerTranscriber]]:
    made: list[WorkerTranscriber] = []

    def make(limits: Limits = QUICK, telemetry: Telemetry | None = None) -> WorkerTranscriber:
        program = (sys.executable, str(CHILD), str(orders))
        made.append(WorkerTranscriber(limits=limits, telemetry=telemetry, program=program))
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
    os.kill(worker.process_id or 0, signal.SIGKILL)
    (orders / "hold-at-11").unlink()
    texts += [segment.text for segment in stream]
    assert " ".join(texts) == undisturbed
    assert heard(orders).count(9) == 1


def test_a_process_that_is_stopped_is_noticed_and_its_job_goes_on(
    worker: WorkerTranscriber, orders: Path, talk: Path, undisturbed: str
) -> None:
    (orders / "hold-at-12").write_text("")
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(worker.transcribe, talk, ENGLISH, model="fake")
        until(lambda: (orders / "heard").exists() and 12 in heard(orders))
        os.kill(worker.process_id or 0, signal.SIGSTOP)
        (orders / "hold-at-12").unlink()
        assert job.result(60).text == undisturbed


def test_a_process_that_lives_and_gets_nothing_done_is_replaced(
    make: Callable[..., WorkerTranscriber], orders: Path, talk: Path, undisturbed: str
) -> None:
    (orders / "hold-at-12").write_text("")
    worker = make(Limits(silent_s=30.0, stalled_s=3.0, idle_s=None))
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(worker.transcribe, talk, ENGLISH, model="fake")
        until(lambda: worker.process_id is not None and (orders / "heard").exists() and 12 in heard(orders))
        first = worker.process_id
        until(lambda: worker.process_id not in (None, first))
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
    real = WorkerTranscriber(limits=QUICK)
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


def test_an_idle_process_ends_and_the_next_job_begins_another(
    make: Callable[..., WorkerTranscriber], talk: Path, undisturbed: str
) -> None:
    worker = make(Limits(idle_s=0.2))
    worker.transcribe(talk, ENGLISH, model="fake")
    until(lambda: worker.process_id is None)
    assert worker.transcribe(talk, ENGLISH, model="fake").text == undisturbed


def test_a_process_that_died_between_two_jobs_is_no_trouble(worker: WorkerTranscriber, talk: Path) -> None:
    worker.transcribe(talk, ENGLISH, model="fake")
    os.kill(worker.process_id or 0, signal.SIGKILL)
    assert worker.transcribe(talk, ENGLISH, model="fake").words


def test_jobs_of_several_threads_go_one_after_the_other(
    worker: WorkerTranscriber, talk: Path, undisturbed: str
) -> None:
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


def test_a_replaced_process_inherits_the_pin_to_the_cpu(worker: WorkerTranscriber, talk: Path) -> None:
    worker._pin = CpuPin(FailureCause.DRIVER, "the driver is gone", None)
    worker.transcribe(talk, ENGLISH, model="fake")
    process = worker._process
    assert process is not None
    until(lambda: process.pin is not None)
    assert process.pin == worker._pin


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
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    pid = int(done.stdout)
    until(lambda: not is_running(pid))


def is_running(pid: int) -> bool:
    try:
        return "\tZ" not in next(
            line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("State")
        ).replace(" ", "")
    except OSError:
        return False


def test_no_thread_and_no_descriptor_is_left(make: Callable[..., WorkerTranscriber], talk: Path) -> None:
    def left() -> tuple[int, set[str]]:
        names = {thread.name for thread in threading.enumerate() if thread.name.startswith("autorag-whisper")}
        return len(list(Path("/proc/self/fd").glob("*"))), names

    before = left()
    for _ in range(3):
        worker = make()
        worker.transcribe(talk, ENGLISH, model="fake")
        worker.close()
    assert left() == before


def test_the_callers_process_loads_no_engine() -> None:
    program = """
import sys
import autorag_whisper.worker.client
print([name for name in ("ctranslate2", "onnxruntime", "tokenizers", "huggingface_hub") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
