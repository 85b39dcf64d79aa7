"""A durable job whose process ends goes on behind its finished chunks; over a worker process of fakes."""

from __future__ import annotations

import json
import sys
import threading
import zlib
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.jobs.job import JobEvent, JobRequest, JobState
from autorag_whisper.jobs.runner import JobRunner
from autorag_whisper.jobs.sqlite import SqliteJobStore
from autorag_whisper.jobs.work import Telling, pack, unpack
from autorag_whisper.testing import speech_samples, write_speech
from autorag_whisper.transcriber.checkpoint_format import HEADER
from autorag_whisper.worker.client import WorkerTranscriber
from autorag_whisper.worker.supervision import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.jobs.job import Job

CHILD = Path(__file__).resolve().parents[1] / "worker_child.py"
PIECES = (2, 3, 4, 5)
ALL = " ".join(" ".join(["one", "two", "three", "four", "five"][:n]) for n in PIECES)


def until(condition: Callable[[], object]) -> None:
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not happen")


class Machine:
    """A folder with a job's store, and servers that come and go on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.orders = folder, folder / "orders"
        self.orders.mkdir()
        # A pause of 28 s: no two pieces fit into a chunk, and each is known by its number of words.
        pieces = [speech_samples(words, lead_s=1, tail_s=28) for words in PIECES]
        self.media = write_speech(folder / "talk.wav", np.concatenate(pieces))

    def store(self) -> SqliteJobStore:
        return SqliteJobStore(self.folder / "jobs.sqlite3")

    def worker(self) -> WorkerTranscriber:
        return WorkerTranscriber(
            limits=Limits(silent_s=1000.0, idle_s=None), program=(sys.executable, str(CHILD), str(self.orders))
        )

    def add(self) -> str:
        with closing(self.store()) as store:
            return store.add(JobRequest(str(self.media), "talk.wav", options={"language": "en"}), 1.0).id

    def heard(self) -> Counter[int]:
        """How often the engine heard each piece, by its number of words."""
        return Counter(int(line) for line in (self.orders / "heard").read_text().split())

    def serve(self, job_id: str, enough: Callable[[SqliteJobStore], object]) -> Job:
        """Run a server until there is enough, and end it."""
        with closing(self.store()) as store, self.worker() as worker:
            with closing(JobRunner(store, worker, self.folder / "data", lambda: 1000.0, most=1)):
                until(lambda: enough(store))
            for hold in self.orders.glob("hold-at-*"):
                hold.unlink()  # nobody waits for a batch that is held; what comes of it is dropped
            found = store.get(job_id)
            assert found is not None
            return found

    def finish(self, job_id: str) -> Job:
        return self.serve(job_id, lambda store: (job := store.get(job_id)) is not None and job.state.is_final)

    def text(self, job: Job) -> str:
        return str(json.loads((self.folder / "data/results" / job.result).read_text())["text"])


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.slow
def test_no_chunk_that_was_kept_is_recognised_again_and_no_segment_told_twice(machine: Machine) -> None:
    (machine.orders / "hold-at-4").touch()
    job = machine.add()
    left = machine.serve(job, lambda store: len(store.checkpoints(job)) >= 2)
    assert left.state is JobState.QUEUED
    with closing(machine.store()) as store:
        kept = set(store.checkpoints(job))
    done = machine.finish(job)
    assert (done.state, machine.text(done), done.notes) == (JobState.DONE, ALL, ())
    assert len(kept) >= 2
    heard = machine.heard()
    assert all(heard[PIECES[index]] == 1 for index in kept)
    with closing(machine.store()) as store:
        events = store.events(job)
        assert [event.kind for event in events] == ["segment"] * 4 + ["done"]
        assert " ".join(json.loads(event.data)["text"] for event in events[:-1]) == ALL
        assert store.checkpoints(job) == {}


@pytest.mark.slow
def test_a_job_whose_server_was_killed_goes_on_too(machine: Machine) -> None:
    (machine.orders / "hold-at-4").touch()
    job = machine.add()
    machine.serve(job, lambda store: len(store.checkpoints(job)) >= 2)
    with closing(machine.store()) as store:
        assert store.claim(1e9, 2.0) is not None  # and its process dies with that claim
    done = machine.finish(job)
    assert (done.state, machine.text(done)) == (JobState.DONE, ALL)
    assert machine.heard()[2] == machine.heard()[3] == 1


def test_what_another_version_kept_and_this_one_does_not_read_is_done_again_and_that_is_said(machine: Machine) -> None:
    job = machine.add()
    with closing(machine.store()) as store:
        claim = store.claim(30.0, 2.0)
        assert claim is not None
        foreign = json.dumps(json.loads(HEADER) | {"version": 99, "package": "9.9"}).encode()
        told = [("segment", '{"text": "of the other version"}')]
        assert store.keep(claim, told, [(0, pack((foreign, b"[]"))), (1, b"damaged")])
    done = machine.finish(job)
    assert (done.state, machine.text(done)) == (JobState.DONE, ALL)
    [note] = done.notes
    assert "again" in note
    assert "9.9" in note
    with closing(machine.store()) as store:
        kinds = [event.kind for event in store.events(job)]
    assert kinds == ["segment", "restart", *["segment"] * 4, "done"]


@pytest.mark.slow
def test_a_worker_that_dies_in_the_midst_of_a_job_costs_no_chunk_that_was_done(machine: Machine) -> None:
    (machine.orders / "kill-at-5").write_text("once")
    job = machine.add()
    done = machine.finish(job)
    assert (done.state, machine.text(done), done.deaths) == (JobState.DONE, ALL, 0)


def test_checkpoints_are_packed_and_come_back_and_what_is_damaged_is_left_out() -> None:
    written = (HEADER.encode(), b"[1,2]")
    kept = {0: pack(written), 1: b"nothing of ours", 2: zlib.compress(b"no header\n[]")}
    found, refused = unpack(kept)
    assert found == {0: written}
    assert "cannot be read" in refused
    assert unpack({0: pack(written)}) == ({0: written}, "")


def events_of(*kinds: str) -> list[JobEvent]:
    return [JobEvent(n, kind.partition(" ")[0], kind.partition(" ")[2]) for n, kind in enumerate(kinds, 1)]


def test_segments_that_come_out_as_they_were_told_are_not_told_again_and_others_begin_anew() -> None:
    same = Telling(events_of("segment a", "segment b"))
    assert [same.segment(data) for data in "abc"] == [[], [], [("segment", "c")]]
    assert same.end() == []
    other = Telling(events_of("segment z", "restart {}", "segment a", "segment b"))
    assert other.segment("a") == []
    assert other.segment("x") == [("restart", "{}"), ("segment", "a"), ("segment", "x")]
    assert other.segment("y") == [("segment", "y")]
    fewer = Telling(events_of("segment a", "segment b"))
    assert fewer.segment("a") == []
    assert fewer.end() == [("restart", "{}"), ("segment", "a")]
