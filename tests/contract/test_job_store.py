"""What `JobStore` promises, kept by every store; and every store is as the one in memory, whatever is done to it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag_whisper.jobs.job import POISONED, Job, JobRequest, JobState
from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.jobs.sqlite import SqliteJobStore
from autorag_whisper.jobs.store import MOST_DEATHS, WAITING_WORTH_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autorag_whisper.jobs.store import JobStore

LEASE_S = 30.0
TALK = JobRequest("/in/talk.mp3", "talk.mp3", client="ann")


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JobStore]:
    made: JobStore = MemoryJobStore() if request.param == "memory" else SqliteJobStore(tmp_path / "jobs.sqlite3")
    yield made
    made.close()


def test_a_job_is_added_found_and_shown_to_its_client_alone(store: JobStore) -> None:
    job = store.add(replace(TALK, options={"language": "de"}, priority=3), 100.0)
    assert (job.state, job.created_s, job.request.options) == (JobState.QUEUED, 100.0, {"language": "de"})
    assert store.get(job.id) == store.get(job.id, "ann") == job
    assert store.get(job.id, "bob") is store.get("none") is None


def test_one_idempotency_key_of_a_client_is_one_job(store: JobStore) -> None:
    first = store.add(replace(TALK, idempotency_key="k"), 1.0)
    assert store.add(replace(TALK, idempotency_key="k", name="other"), 2.0) == first
    assert store.add(replace(TALK, idempotency_key="k", client="bob"), 2.0).id != first.id
    assert store.add(TALK, 2.0).id != store.add(TALK, 2.0).id


def test_jobs_are_listed_the_newest_first_in_pages(store: JobStore) -> None:
    jobs = [store.add(replace(TALK, client="ann" if n % 2 else "bob"), float(n)) for n in range(6)]
    assert store.newest() == jobs[::-1]
    assert store.newest("ann", limit=2) == [jobs[5], jobs[3]]
    assert store.newest("ann", limit=2, before=jobs[3].id) == [jobs[1]]
    claim = store.claim(LEASE_S, 10.0)
    assert claim is not None
    assert store.newest(state=JobState.RUNNING) == [claim.job]


def test_the_highest_priority_goes_first_then_the_oldest_and_nobody_waits_for_ever(store: JobStore) -> None:
    low, first, second = (store.add(replace(TALK, priority=p), s) for p, s in ((0, 0.0), (1, 1.0), (1, 2.0)))
    assert [store.position(job.id) for job in (first, second, low)] == [0, 1, 2]
    taken = [claim.job.id for _ in range(3) if (claim := store.claim(9999.0, 5.0)) is not None]
    assert taken == [first.id, second.id, low.id]
    assert store.claim(LEASE_S, 5.0) is None
    old = store.add(TALK, 10.0)
    young = store.add(replace(TALK, priority=5), 11.0 + 5 * WAITING_WORTH_S)
    assert [c.job.id for _ in range(2) if (c := store.claim(LEASE_S, 1000.0))] == [old.id, young.id]


def test_a_claim_is_renewed_kept_with_and_finished_by_its_holder(store: JobStore) -> None:
    job = store.add(TALK, 0.0)
    claim = store.claim(LEASE_S, 1.0)
    assert claim is not None
    assert claim.until_s == 1.0 + LEASE_S
    renewed = store.renew(claim, LEASE_S, 20.0, (12.5, 100.0))
    assert renewed is not None
    assert (renewed.job.audio_s, renewed.job.total_s, renewed.until_s) == (12.5, 100.0, 20.0 + LEASE_S)
    assert store.keep(claim, [("segment", "{}"), ("segment", "[]")], (0, b"done"))
    assert store.keep(claim, [("progress", "1")])
    assert store.checkpoints(job.id) == {0: b"done"}
    assert [(e.number, e.kind, e.data) for e in store.events(job.id)] == [
        (1, "segment", "{}"), (2, "segment", "[]"), (3, "progress", "1"),
    ]  # fmt: skip
    assert [event.number for event in store.events(job.id, after=2)] == [3]
    assert store.finish(claim, 30.0)
    done = store.get(job.id)
    assert done is not None
    assert (done.state, done.started_s, done.finished_s) == (JobState.DONE, 1.0, 30.0)
    assert store.checkpoints(job.id) == {}
    assert not store.finish(claim, 31.0)


def test_whose_lease_ran_out_is_refused_and_the_job_goes_on_behind_its_chunks(store: JobStore) -> None:
    job = store.add(TALK, 0.0)
    dead = store.claim(LEASE_S, 0.0)
    assert dead is not None
    store.keep(dead, [], (0, b"first"))
    assert store.claim(LEASE_S, LEASE_S) is None  # to the last moment it is its holder's
    claim = store.claim(LEASE_S, LEASE_S + 1)
    assert claim is not None
    assert (claim.job.deaths, claim.fence > dead.fence) == (1, True)
    assert store.renew(dead, LEASE_S, 40.0, (1, 2)) is None
    assert not store.keep(dead, [("x", "")], (0, b"late"))
    refused = (store.finish(dead, 40.0), store.fail(dead, "{}", 40.0), store.fail(dead, "{}", 40.0, 41.0),
               store.hand_back(dead), store.cancelled(dead, 40.0))  # fmt: skip
    assert not any(refused)
    assert store.checkpoints(job.id) == {0: b"first"}
    assert store.finish(claim, 50.0)


def test_a_job_with_which_processes_die_is_failed_as_the_cause(store: JobStore) -> None:
    job = store.add(TALK, 0.0)
    now = 0.0
    for _ in range(MOST_DEATHS):
        assert store.claim(LEASE_S, now) is not None
        now += LEASE_S + 1
    assert store.claim(LEASE_S, now) is None
    failed = store.get(job.id)
    assert failed is not None
    assert (failed.state, failed.deaths, failed.error, failed.finished_s) == (
        JobState.FAILED,
        MOST_DEATHS,
        POISONED,
        now,
    )
    assert store.retry(job.id, now) == replace(failed, state=JobState.QUEUED, deaths=0, error="", finished_s=0.0)


def test_processes_that_die_do_not_count_where_the_job_gets_on(store: JobStore) -> None:
    job = store.add(TALK, 0.0)
    now = 0.0
    for n in range(3 * MOST_DEATHS):
        claim = store.claim(LEASE_S, now)
        assert claim is not None
        assert claim.job.deaths == (n > 0)
        assert store.renew(claim, LEASE_S, now, (1.0 + n, 100.0)) is not None
        now += LEASE_S + 1
    found = store.get(job.id)
    assert found is not None
    assert found.deaths == 0


def test_a_failure_is_tried_again_at_its_moment_or_is_the_end(store: JobStore) -> None:
    job = store.add(TALK, 0.0)
    claim = store.claim(LEASE_S, 0.0)
    assert claim is not None
    assert store.fail(claim, "{}", 1.0, again_s=60.0)
    assert store.claim(LEASE_S, 59.0) is None
    again = store.claim(LEASE_S, 60.0)
    assert again is not None
    assert (again.job.failures, again.job.deaths) == (1, 0)
    assert store.hand_back(again)
    last = store.claim(LEASE_S, 61.0)
    assert last is not None
    assert last.job.failures == 1
    assert store.fail(last, '{"code": "x"}', 62.0)
    failed = store.get(job.id)
    assert failed is not None
    assert (failed.state, failed.error) == (JobState.FAILED, '{"code": "x"}')


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_by_its_holder(store: JobStore) -> None:
    queued = store.cancel(store.add(TALK, 0.0).id, 1.0)
    assert queued is not None
    assert (queued.state, queued.finished_s) == (JobState.CANCELLED, 1.0)
    job = store.add(TALK, 2.0)
    claim = store.claim(LEASE_S, 3.0)
    assert claim is not None
    asked = store.cancel(job.id, 4.0)
    assert asked is not None
    assert (asked.state, asked.wants_cancel) == (JobState.RUNNING, True)
    told = store.renew(claim, LEASE_S, 5.0, (0, 0))
    assert told is not None
    assert told.job.wants_cancel
    assert store.cancelled(claim, 6.0)
    over = store.get(job.id)
    assert over is not None
    assert (over.state, over.finished_s) == (JobState.CANCELLED, 6.0)
    assert store.cancel(job.id, 7.0) == over
    assert store.cancel("none", 7.0) is store.retry("none", 7.0) is None


def test_a_cancelled_job_whose_process_dies_is_not_begun_again(store: JobStore) -> None:
    job = store.add(TALK, 0.0)
    assert store.claim(LEASE_S, 0.0) is not None
    store.cancel(job.id, 1.0)
    assert store.claim(LEASE_S, LEASE_S + 1) is None
    over = store.get(job.id)
    assert over is not None
    assert over.state is JobState.CANCELLED


def test_what_is_over_for_long_is_forgotten_with_all_that_was_kept(store: JobStore) -> None:
    job, other = store.add(TALK, 0.0), store.add(TALK, 0.0)
    claim = store.claim(LEASE_S, 0.0)
    assert claim is not None
    store.keep(claim, [("x", "{}")], (0, b"x"))
    assert store.fail(claim, "{}", 10.0)
    assert store.prune(10.0) == []
    assert [gone.id for gone in store.prune(11.0)] == [claim.job.id] == [job.id]
    assert store.get(job.id) is None
    assert (store.events(job.id), store.checkpoints(job.id)) == ([], {})
    assert [left.id for left in store.newest()] == [other.id]


def test_no_job_is_claimed_twice_by_threads(store: JobStore) -> None:
    jobs = {store.add(TALK, 0.0).id for _ in range(40)}
    start = threading.Barrier(4)

    def take(_: int) -> list[str]:
        start.wait()
        return [claim.job.id for _ in range(20) if (claim := store.claim(LEASE_S, 1.0)) is not None]

    with ThreadPoolExecutor(4) as threads:
        taken = [job for found in threads.map(take, range(4)) for job in found]
    assert sorted(taken) == sorted(jobs)


ACT_NAMES = (
    "add", "claim", "renew", "keep", "finish", "fail", "again", "back", "stopped", "cancel", "retry", "prune",
)  # fmt: skip
ACTS = st.lists(st.tuples(st.sampled_from(ACT_NAMES), st.integers(0, 3), st.floats(0, 40)), max_size=40)


@settings(deadline=None)
@given(acts=ACTS)
def test_the_file_does_what_the_memory_does_whatever_is_asked_of_it(
    acts: list[tuple[str, int, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    model, file = MemoryJobStore(), SqliteJobStore(tmp_path_factory.mktemp("jobs") / "jobs.sqlite3")
    stores: tuple[JobStore, JobStore] = (model, file)
    ids: list[tuple[str, str]] = []
    claims: list[tuple[object, object]] = []
    now = 0.0
    for act, which, step in acts:
        now += step
        if act == "add":
            request = replace(TALK, priority=which, idempotency_key="k" if which == 3 else "")
            made = tuple(store.add(request, now).id for store in stores)
            if made not in ids:
                ids.append(made)  # type: ignore[arg-type]  # two of them
        elif act == "claim":
            taken = tuple(store.claim(LEASE_S, now) for store in stores)
            assert [one is None for one in taken] == [taken[0] is None] * 2
            claims += [taken] if taken[0] is not None else []  # type: ignore[list-item]  # two of them
        elif act == "prune":
            assert len({len(store.prune(now - 20)) for store in stores}) == 1
        elif act in ("cancel", "retry") and ids:
            for store, job_id in zip(stores, ids[which % len(ids)], strict=True):
                (store.cancel if act == "cancel" else store.retry)(job_id, now)
        elif claims:
            held = claims[-1 - which % len(claims)]
            told = [_do(store, act, claim, now) for store, claim in zip(stores, held, strict=True)]
            assert told[0] == told[1]
        assert [_plain(job) for job in model.newest()] == [_plain(job) for job in file.newest()]
        for pair in ids:
            kept = [(s.checkpoints(i), s.events(i), s.position(i)) for s, i in zip(stores, pair, strict=True)]
            assert kept[0] == kept[1]
    file.close()


def _do(store: JobStore, act: str, claim: object, now: float) -> bool:
    """Whether the holder's call counted."""
    from autorag_whisper.jobs.job import Claim

    assert isinstance(claim, Claim)
    if act == "renew":
        return store.renew(claim, LEASE_S, now, (now, 100.0)) is not None
    if act == "keep":
        return store.keep(claim, [("progress", str(now))], (int(now) % 3, b"x"))
    if act == "finish":
        return store.finish(claim, now)
    if act == "again":
        return store.fail(claim, "{}", now, now + 5)
    if act == "back":
        return store.hand_back(claim)
    return store.cancelled(claim, now) if act == "stopped" else store.fail(claim, "{}", now)


def _plain(job: Job) -> Job:
    return replace(job, id="")
