"""Audio from memory in the worker process: the same words, whatever ends a process, and nothing is left behind."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.errors import InvalidOption, MediaDamaged, MediaEmpty, MediaUnreadable, PoisonedFile
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.testing import speech_samples, write_speech
from autorag_whisper.worker.client import WorkerTranscriber
from autorag_whisper.worker.supervision import Limits
from descriptors import open_files
from http_world import until

if TYPE_CHECKING:
    from collections.abc import Iterator

CHILD = Path(__file__).resolve().parents[1] / "worker_child.py"
ENGLISH = TranscribeOptions(language="en")


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    (tmp_path / "orders").mkdir()
    return tmp_path / "orders"


@pytest.fixture
def worker(orders: Path) -> Iterator[WorkerTranscriber]:
    program = (sys.executable, str(CHILD), str(orders))
    with WorkerTranscriber(limits=Limits(silent_s=1000.0, stalled_s=1000.0, idle_s=None), program=program) as made:
        yield made


@pytest.fixture
def samples() -> np.ndarray:
    """Four chunks, of 9, 12, 10 and 11 words."""
    return np.concatenate([speech_samples(count, tail_s=6.0) for count in (9, 12, 10, 11)])


@pytest.fixture
def file(tmp_path: Path, samples: np.ndarray) -> Path:
    return write_speech(tmp_path / "talk.wav", samples)


def open_in(pid: int | None) -> int:
    """How many files a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def media_of(file: Path, samples: np.ndarray) -> list[Any]:
    data = file.read_bytes()
    theirs, ours = socket.socketpair()
    with ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        ours.sendall(data[:44] + data[44:100_000])
    return [
        data, bytearray(data), memoryview(data), io.BytesIO(data), samples, samples.astype(np.float64)[:, None],
        MediaSource.from_samples(np.repeat(samples, 3), 48_000), theirs.makefile("rb"),
    ]  # fmt: skip


def test_audio_from_memory_gives_the_words_of_its_file(
    worker: WorkerTranscriber, file: Path, samples: np.ndarray
) -> None:
    expected = worker.transcribe(file, ENGLISH, model="fake")
    *whole, short = media_of(file, samples)
    for media in whole:
        transcript = worker.transcribe(media, ENGLISH, model="fake")
        assert (transcript.text, transcript.name) == (expected.text, "audio")
    assert expected.text.startswith(worker.transcribe(short, ENGLISH, model="fake").text)


def test_many_of_every_kind_are_one_job_and_each_has_its_source(
    worker: WorkerTranscriber, file: Path, tmp_path: Path
) -> None:
    with file.open("rb") as opened:
        opened.seek(1000)
        sources = [
            MediaSource.from_samples(speech_samples(2), name="two"),
            MediaSource.from_path(write_speech(tmp_path / "three", speech_samples(3))),
            MediaSource.from_bytes(write_speech(tmp_path / "four", speech_samples(4)).read_bytes(), name="four"),
            MediaSource.from_file(opened, name="all"),
        ]
        found = {o.source: len(o.result().words) for o in worker.transcribe_many(sources, ENGLISH, model="fake")}
        assert opened.tell() == 1000
    assert found == dict(zip(sources, (2, 3, 4, 42), strict=True))


def test_what_cannot_be_heard_fails_alone_with_the_error_that_it_has_in_process(worker: WorkerTranscriber) -> None:
    bad = [None, np.zeros((2, 3, 4)), np.zeros(0), np.full(100, np.nan), b"", io.StringIO("text")]
    outcomes = list(worker.transcribe_many([speech_samples(3), *bad, speech_samples(2)], ENGLISH, model="fake"))
    assert sorted(o.transcript.text for o in outcomes if o.transcript) == ["one two", "one two three"]
    expected = [InvalidOption, InvalidOption, MediaEmpty, MediaDamaged, MediaEmpty, MediaUnreadable]
    failed = sorted(type(o.error).__name__ for o in outcomes if o.error)
    assert failed == sorted(kind.__name__ for kind in expected)
    with pytest.raises(MediaDamaged):
        worker.transcribe(np.full(100, np.nan), ENGLISH, model="fake")


@pytest.mark.parametrize("at", [9, *(pytest.param(at, marks=pytest.mark.slow) for at in (10, 11, 12))])
def test_a_process_that_is_killed_in_mid_job_is_followed_by_one_that_has_the_audio(
    worker: WorkerTranscriber, orders: Path, samples: np.ndarray, file: Path, at: int
) -> None:
    expected = worker.transcribe(file, ENGLISH, model="fake").text
    (orders / f"kill-at-{at}").write_text("once")
    stream = io.BytesIO(file.read_bytes())
    assert worker.transcribe(stream, ENGLISH, model="fake").text == expected
    (orders / f"kill-at-{at}").write_text("once")
    outcomes = worker.transcribe_many([samples, speech_samples(3)], ENGLISH, model="fake")
    assert sorted(outcome.result().text for outcome in outcomes) == sorted([expected, "one two three"])


def test_a_file_in_memory_that_kills_is_poison_and_the_others_are_done(
    worker: WorkerTranscriber, orders: Path, samples: np.ndarray
) -> None:
    (orders / "kill-at-5").touch()
    sources = [MediaSource.from_samples(speech_samples(n), name=str(n)) for n in (3, 5)]
    found = {o.source.name: o for o in worker.transcribe_many([*sources, samples], ENGLISH, model="fake")}
    assert isinstance(found["5"].error, PoisonedFile)
    assert found["3"].result().text == "one two three"
    assert len(found["audio"].result().words) == 42


@pytest.mark.slow
def test_nothing_is_left_of_the_audio_however_a_job_or_a_process_ends(
    orders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples: np.ndarray
) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    program = (sys.executable, str(CHILD), str(orders))
    with WorkerTranscriber(limits=Limits(idle_s=None), program=program) as worker:
        worker.transcribe(samples[:16_000], ENGLISH, model="fake")
        before, pid = open_files(), worker.process_id
        there = open_in(pid)
        for _ in range(3):
            worker.transcribe(samples, ENGLISH, model="fake")
            with worker.stream(samples, ENGLISH, model="fake") as stream:
                next(stream)
            with pytest.raises(MediaDamaged):
                worker.transcribe(np.full(100, np.nan), ENGLISH, model="fake")
        worker.transcribe(samples, ENGLISH, model="fake")
        assert open_files() - before == Counter()
        assert worker.process_id == pid
        until(lambda: open_in(pid) <= there)  # it closes a job's file behind the last word of that job
        with worker.stream(samples, ENGLISH, model="fake") as stream:
            next(stream)
            assert list(folder.iterdir()) == []
            os.kill(pid, signal.SIGKILL)
            assert len(stream.result().words) == 42
    assert list(folder.iterdir()) == []


def test_the_real_engine_hears_in_its_process_what_it_hears_in_this_one(demo_sample: Path) -> None:
    data, options = demo_sample.read_bytes(), TranscribeOptions(language="en", quality="fast")
    with build_transcriber() as transcriber:
        expected = transcriber.transcribe(demo_sample, options, model="tiny.en")
    with WorkerTranscriber() as worker:
        found = worker.transcribe(data, options, model="tiny.en")
    assert found.words == expected.words
