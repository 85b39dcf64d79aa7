"""What callers of a worker with the real engine met: another file's transcript, a stream that would not close."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.api import get_model
from autorag_whisper.worker.client import WorkerTranscriber

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from autorag_whisper.transcriber import Progress

MODEL = "base"

pytestmark = [pytest.mark.slow, pytest.mark.kit]


class SoftLimitError(Exception):
    """As Celery's."""


@pytest.fixture
def worker() -> Iterator[WorkerTranscriber]:
    with WorkerTranscriber() as made:
        yield made


@pytest.fixture
def interrupt_after() -> Iterator[Callable[[float], Callable[[Progress], None]]]:
    """Makes a callback of a job's progress: that job's caller is interrupted so many seconds after its first call."""

    def handle(*_: object) -> None:
        raise SoftLimitError

    before = signal.signal(signal.SIGUSR1, handle)
    main = threading.get_ident()
    timers = list[threading.Timer]()

    def after(seconds: float) -> Callable[[Progress], None]:
        def on_progress(_: Progress) -> None:
            if not timers:
                timers.append(threading.Timer(seconds, lambda: signal.pthread_kill(main, signal.SIGUSR1)))
                timers[-1].start()

        return on_progress

    yield after
    for timer in timers:  # one that fires behind the handler would end the test run
        timer.cancel()
        timer.join()
    signal.signal(signal.SIGUSR1, before)


def test_after_an_interrupt_the_next_job_has_its_own_transcript(
    worker: WorkerTranscriber, kit: Path, interrupt_after: Callable[[float], Callable[[Progress], None]]
) -> None:
    # jfk.flac was asked for, the interrupted recording's transcript came.
    worker.load(MODEL)
    hour = kit / "tts" / "long_60min.opus"  # no engine is done with it by then
    with pytest.raises(SoftLimitError):
        worker.transcribe(hour, model=MODEL, on_progress=interrupt_after(1.0))
    transcript = worker.transcribe(kit / "real" / "jfk.flac", model=MODEL)
    assert transcript.name == "jfk.flac"
    assert "ask not what your country can do" in transcript.text
    assert worker.transcribe(kit / "tts" / "short01.flac", model=MODEL).text == "Yes."


def test_after_an_interrupt_files_are_paired_with_their_own_transcripts(
    worker: WorkerTranscriber, kit: Path, interrupt_after: Callable[[float], Callable[[Progress], None]]
) -> None:
    worker.load(MODEL)
    long = [kit / "tts" / "long_60min.opus", kit / "real" / "sonnet002.mp3"]
    with pytest.raises(SoftLimitError):
        list(worker.transcribe_many(long, model=MODEL, on_progress=interrupt_after(1.0)))
    asked = [kit / "real" / "lj_LJ001-0002.flac", kit / "real" / "jfk.flac"]
    texts = {o.source.name: o.result().text for o in worker.transcribe_many(asked, model=MODEL)}
    assert texts["lj_LJ001-0002.flac"].startswith("in being comparatively modern")
    assert texts["jfk.flac"].startswith("And so my fellow Americans")


def test_a_stream_over_an_hour_is_closed_at_its_next_batch_and_its_process_stays(
    worker: WorkerTranscriber, kit: Path
) -> None:
    # It took 9 to 34 s: batches were done that nobody wanted any more.
    done_s = list[float]()
    stream = worker.stream(
        kit / "tts" / "long_60min.opus", model=MODEL, on_progress=lambda progress: done_s.append(progress.audio_s)
    )
    for _ in range(10):
        next(stream)
    first, told = worker.process_id, len(done_s)
    stream.close()
    assert worker.transcribe(kit / "tts" / "short01.flac", model=MODEL).text == "Yes."
    assert worker.process_id == first
    assert len(done_s) == told  # nothing of it is told behind its end
    assert done_s[-1] < 600  # of an hour: what was in flight at the tenth segment


def test_the_worker_takes_what_a_transcriber_takes(
    worker: WorkerTranscriber, kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jfk = kit / "real" / "jfk.flac"
    with worker.stream(jfk, model=get_model(MODEL)) as stream:
        text = stream.result().text
    assert "ask not what your country can do" in text
    monkeypatch.chdir(kit / "tts")
    assert worker.transcribe("short01.flac", model=worker.model(MODEL, "cpu")).text == "Yes."
    assert worker.transcribe(os.path.relpath(jfk), model=MODEL).text == text
