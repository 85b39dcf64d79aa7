"""The worker process with the real engine: killed at random, stopped, and kept busy for hundreds of jobs."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.gpu.arbiter.status import look
from autorag_whisper.worker.client import WorkerTranscriber
from autorag_whisper.worker.job import WorkerJob
from autorag_whisper.worker.supervision import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from autorag_whisper.domain.transcript import Transcript

_log = logging.getLogger(__name__)

MODEL, LONG = "tiny.en", Path("tts") / "long_10min.flac"
DISTURBANCES = 4
OPTIONS = TranscribeOptions(language="en", temperatures=(0.0,))
"""Without samples: these are drawn, and no two runs draw the same."""


@pytest.fixture
def worker() -> Iterator[WorkerTranscriber]:
    with WorkerTranscriber(limits=Limits(idle_s=None)) as made:
        yield made


class Disturber:
    """Kills or stops a worker's process at any moment, but after it has done a chunk: twice at one place is poison."""

    def __init__(self, worker: WorkerTranscriber, chance: random.Random, kinds: Sequence[signal.Signals]) -> None:
        self._worker, self._chance, self._kinds = worker, chance, kinds
        self.count, self._over, self._got_on = 0, threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._got_on.set()
        self._thread.join()

    def note(self) -> None:
        """The process has done a chunk."""
        self._got_on.set()

    def _run(self) -> None:
        last: int | None = None
        while self.count < DISTURBANCES:
            while (pid := self._worker.process_id) in (None, last) and not self._over.wait(0.01):
                pass
            self._got_on.clear()
            if self._over.is_set():
                return
            self._got_on.wait()
            if self._over.wait(self._chance.uniform(0.0, 0.7)):
                return
            if pid is not None and pid == self._worker.process_id:
                os.kill(pid, self._chance.choice(self._kinds))
                self.count, last = self.count + 1, pid


@pytest.fixture
def on_chunk(monkeypatch: pytest.MonkeyPatch) -> dict[Path, Callable[[], None]]:
    """What is called when a chunk of a file is done, by the file."""
    calls: dict[Path, Callable[[], None]] = {}
    noted = WorkerJob.noted

    def noted_here(job: WorkerJob, at: int, chunk: int, finished: bytes) -> None:
        noted(job, at, chunk, finished)
        calls[job.files[0].path or Path()]()

    monkeypatch.setattr(WorkerJob, "noted", noted_here)
    return calls


@pytest.fixture
def undisturbed(kit: Path) -> Transcript:
    with build_transcriber() as transcriber:
        return transcriber.transcribe(kit / LONG, OPTIONS, model=MODEL)


def words(transcript: Transcript) -> list[tuple[str, float, float]]:
    return [(word.text, word.start_s, word.end_s) for word in transcript.words]


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_or_stopped_at_random_the_job_ends_with_the_words_of_an_undisturbed_run(
    worker: WorkerTranscriber, kit: Path, undisturbed: Transcript, on_chunk: dict[Path, Callable[[], None]], seed: int
) -> None:
    chance, disturbed = random.Random(seed), 0
    while disturbed < 2:  # a machine that lets this process wait leaves it no time to disturb the job
        with Disturber(worker, chance, (signal.SIGKILL, signal.SIGSTOP)) as disturber:
            on_chunk[kit / LONG] = disturber.note
            found = worker.transcribe(kit / LONG, OPTIONS, model=MODEL)
        disturbed += disturber.count
        assert words(found) == words(undisturbed)
        assert [segment.index for segment in found.segments] == list(range(len(found.segments)))


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.timeout(900)
def test_two_processes_behind_the_arbiter_killed_in_mid_batch_end_with_the_words_of_an_undisturbed_run(
    kit: Path, tmp_path: Path, undisturbed: Transcript, on_chunk: dict[Path, Callable[[], None]]
) -> None:
    """With the real engine on the CPU, which stands for a card: each batch of either waits for the other's lease."""
    environ = os.environ | {"AUTORAG_WHISPER_GPU_DIR": str(tmp_path), "AUTORAG_WHISPER_GPU_BUSY": "wait"}
    program = (sys.executable, str(Path(__file__).with_name("sharing_child.py")))
    # The same sound under two names: who has done a chunk is told by the file.
    media = [tmp_path / f"talk{n}.flac" for n in range(2)]
    for copy in media:
        copy.symlink_to(kit / LONG)
    holders, over = set[str](), threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            holder = look(tmp_path / "gpu0", time.monotonic()).holder
            if holder is not None:
                holders.add(holder.owner)

    def job(n: int) -> tuple[Transcript, int]:
        worker = WorkerTranscriber(environ=environ, limits=Limits(idle_s=None), program=program)
        with worker, Disturber(worker, random.Random(n), (signal.SIGKILL,)) as disturber:
            on_chunk[media[n]] = disturber.note
            return worker.transcribe(media[n], OPTIONS, model=MODEL), disturber.count

    killed = [0, 0]
    with ThreadPoolExecutor(3) as pool:
        watching = pool.submit(watch)
        try:
            while min(killed) < 2:  # as above
                for n, (found, times) in enumerate(pool.map(job, range(2))):
                    killed[n] += times
                    assert words(found) == words(undisturbed)
                    assert not found.device_fallbacks
        finally:
            over.set()
        watching.result()
    assert len(holders) >= 4, "both, and those that came for the killed, had the card"


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


def counts(worker: WorkerTranscriber) -> tuple[int, ...]:
    """Threads and descriptors of the worker and of this process at rest: a job's own may end just after its result."""
    seen = []
    for _ in range(40):
        seen.append(counts_now(worker))
        time.sleep(0.05)
    return tuple(min(column) for column in zip(*seen, strict=True))


def counts_now(worker: WorkerTranscriber) -> tuple[int, int, int, int]:
    """At this moment."""
    place = Path(f"/proc/{worker.process_id}")
    return (
        len(list((place / "task").iterdir())),
        len(list((place / "fd").iterdir())),
        threading.active_count(),
        len(list(Path("/proc/self/fd").iterdir())),
    )
