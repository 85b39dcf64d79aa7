"""The worker process with the real engine: killed at random, stopped, and kept busy for hundreds of jobs."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.worker.client import WorkerTranscriber
from autorag_whisper.worker.supervision import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autorag_whisper.transcriber.outcome import Progress

_log = logging.getLogger(__name__)

MODEL = "tiny.en"
OPTIONS = TranscribeOptions(language="en", temperatures=(0.0,))
"""Without samples: these are drawn, and no two runs draw the same."""


@pytest.fixture
def worker() -> Iterator[WorkerTranscriber]:
    with WorkerTranscriber(limits=Limits(silent_s=5.0, idle_s=None)) as made:
        yield made


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_or_stopped_at_random_the_job_ends_with_the_words_of_an_undisturbed_run(
    worker: WorkerTranscriber, kit: Path, seed: int
) -> None:
    media = kit / "tts" / "long_10min.flac"
    with build_transcriber() as undisturbed:
        wanted = undisturbed.transcribe(media, OPTIONS, model=MODEL)
    chance, killed, over, got_on = random.Random(seed), [0], threading.Event(), threading.Event()

    def disturb() -> None:
        """At any moment of its work, but after something was done: twice at one place is what poison does."""
        last: int | None = None
        while killed[0] < 4:
            while (pid := worker.process_id) in (None, last) and not over.wait(0.01):
                pass
            got_on.clear()
            got_on.wait()
            if over.wait(chance.uniform(0.0, 2.0)):
                return
            if pid is not None and pid == worker.process_id:
                os.kill(pid, chance.choice((signal.SIGKILL, signal.SIGSTOP)))
                killed[0], last = killed[0] + 1, pid

    def note(progress: Progress) -> None:
        if progress.audio_s > done[0]:
            done[0] = progress.audio_s
            got_on.set()

    done, thread = [0.0], threading.Thread(target=disturb)
    thread.start()
    try:
        found = worker.transcribe(media, OPTIONS, model=MODEL, on_progress=note)
    finally:
        over.set()
        got_on.set()
        thread.join()
    assert killed[0] >= 2
    assert [(word.text, word.start_s, word.end_s) for word in found.words] == [
        (word.text, word.start_s, word.end_s) for word in wanted.words
    ]
    assert [segment.index for segment in found.segments] == list(range(len(found.segments)))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_three_hundred_short_jobs_leave_memory_threads_and_descriptors_as_they_were(
    worker: WorkerTranscriber, demo_sample: Path
) -> None:
    options = TranscribeOptions(language="en")
    sizes = []
    for number in range(300):
        worker.transcribe(demo_sample, options, model=MODEL)
        if number == 49:
            before = counts(worker)
        sizes.append(resident_mb(worker))
    assert counts(worker) == before
    early, late = max(sizes[50:100]), max(sizes[250:])
    _log.info("resident MB: after 50 jobs %.0f, at the end %.0f", early, late)
    assert late <= 1.05 * early


def resident_mb(worker: WorkerTranscriber) -> float:
    fields = Path(f"/proc/{worker.process_id}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def counts(worker: WorkerTranscriber) -> tuple[int, int, int, int]:
    """Threads and descriptors of the worker and of this process."""
    place = Path(f"/proc/{worker.process_id}")
    return (
        len(list((place / "task").iterdir())),
        len(list((place / "fd").iterdir())),
        threading.active_count(),
        len(list(Path("/proc/self/fd").iterdir())),
    )
