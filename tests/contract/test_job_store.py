"""What `JobStore` promises, kept by every store; and every store is as the one in memory, whatever is done to it."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag_whisper.domain.job_errors import QueueFull, QuotaExceeded
from autorag_whisper.jobs.job import POISONED, Job, JobRequest, JobState, QueueLimits
from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.jobs.postgres import PostgresJobStore
from autorag_whisper.jobs.sqlite import SqliteJobStore
from autorag_whisper.jobs.store import MOST_DEATHS, WAITING_WORTH_S, every_job

if TYPE_CHECKING:
    from benchmarks.postgres_server import PostgresServer

    from autorag_whisper.jobs.delivery import Delivery
    from autorag_whisper.jobs.store import JobStore

LEASE_S = 30.0
TALK = JobRequest("/in/talk.mp3", "talk.mp3", client="ann")


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


def test_what_a_clock_put_off_that_was_a_year_ahead_is_done_when_it_is_set_right(store: JobStore) -> None:
    year_s, now_s = 365 * 86_400.0, 1000.0
    failed, in_hand, waits = (store.add(replace(TALK, webhook="https://host/"), year_s) for _ in range(3))
    first = store.claim(LEASE_S, year_s)
    assert first is not None
    assert store.fail(first, "{}", year_s, year_s + 300.0)
    second = store.claim(LEASE_S, year_s)
    assert second is not None
    assert (first.job.id, second.job.id) == (failed.id, in_hand.id)
    claims = [store.claim(1000.0, now_s) for _ in range(4)]
    assert {claim.job.id for claim in claims if claim is not None} == {failed.id, in_hand.id, waits.id}
    assert store.renew(second, LEASE_S, now_s, (0.0, 0.0)) is None
    assert claims[0] is not None
    assert store.fail(claims[0], "{}", now_s, now_s + 300.0)  # what is put off by the right clock is
    assert store.claim(LEASE_S, now_s + 299.0) is None
    assert claims[1] is not None
    assert store.finish(claims[1], year_s)
    message = store.deliveries.claim(LEASE_S, now_s)
    assert message is not None
    assert message.job_id == claims[1].job.id
    assert store.deliveries.claim(LEASE_S, now_s) is None


def test_every_job_is_seen_whatever_is_forgotten_and_goes_on_meanwhile(store: JobStore) -> None:
    # Another server forgot the job behind which the next page begins: all older ones were taken for none.
    jobs = [store.add(TALK, float(n)) for n in range(7)]
    seen = []
    for job in every_job(store, 2):
        seen.append(job.id)
        if len(seen) == 2:
            store.cancel(job.id, 10.0)
            assert store.library.forget(job.id) is not None
            assert store.claim(LEASE_S, 10.0) is not None
    assert set(seen) == {job.id for job in jobs}
    assert list(every_job(MemoryJobStore())) == []


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
    assert store.keep(claim, [("segment", "{}"), ("segment", "[]")], [(0, b"begun"), (1, b"next")])
    assert store.keep(claim, [("progress", "1")], [(0, b"done")])
    assert store.checkpoints(job.id) == {0: b"done", 1: b"next"}
    assert [(e.number, e.kind, e.data) for e in store.events(job.id)] == [
        (1, "segment", "{}"), (2, "segment", "[]"), (3, "progress", "1"),
    ]  # fmt: skip
    assert [event.number for event in store.events(job.id, after=2)] == [3]
    assert [event.number for event in store.events(job.id, after=1, limit=1)] == [2]
    assert store.finish(claim, 30.0, "it.json", 77)
    done = store.get(job.id)
    assert done is not None
    assert (done.state, done.started_s, done.finished_s) == (JobState.DONE, 1.0, 30.0)
    assert (done.result, done.kept_bytes) == ("it.json", 77)
    assert store.checkpoints(job.id) == {}
    assert store.finish(claim, 31.0, "it.json", 77)  # the answer to the first may have been lost
    assert not store.finish(claim, 31.0, "another.json", 77)
    assert [(e.number, e.kind, e.data) for e in store.events(job.id)][3:] == [(4, "done", "{}")]  # once, with the end
    assert (store.get(job.id), store.deliveries.of_job(job.id)) == (done, [])


def test_whose_lease_ran_out_is_refused_and_the_job_goes_on_behind_its_chunks(store: JobStore) -> None:
    job = store.add(TALK, 0.0)
    dead = store.claim(LEASE_S, 0.0)
    assert dead is not None
    store.keep(dead, checkpoints=[(0, b"first")])
    assert store.claim(LEASE_S, LEASE_S) is None  # to the last moment it is its holder's
    claim = store.claim(LEASE_S, LEASE_S + 1)
    assert claim is not None
    assert (claim.job.deaths, claim.fence > dead.fence) == (1, True)
    assert store.renew(dead, LEASE_S, 40.0, (1, 2)) is None
    assert not store.keep(dead, [("x", "")], [(0, b"late")], ["late"])
    refused = (store.finish(dead, 40.0), store.fail(dead, "{}", 40.0), store.fail(dead, "{}", 40.0, 41.0),
               store.hand_back(dead), store.cancelled(dead, 40.0))  # fmt: skip
    assert not any(refused)
    assert store.checkpoints(job.id) == {0: b"first"}
    assert store.events(job.id) == []
    assert store.finish(claim, 50.0)
    assert [event.kind for event in store.events(job.id)] == ["done"]


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


def test_a_process_that_crashed_counts_as_a_death_and_not_as_a_failure(store: JobStore) -> None:
    store.add(TALK, 0.0)
    claim = store.claim(LEASE_S, 0.0)
    assert claim is not None
    assert store.fail(claim, "{}", 1.0, again_s=60.0, crashed=True)
    assert store.claim(LEASE_S, 59.0) is None
    again = store.claim(LEASE_S, 60.0)
    assert again is not None
    assert (again.job.failures, again.job.deaths) == (0, 1)
    assert store.renew(again, LEASE_S, 61.0, (5.0, 9.0)) is not None
    found = store.get(again.job.id)
    assert found is not None
    assert found.deaths == 0  # it got on


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
    store.keep(claim, [("x", "{}")], [(0, b"x")])
    assert store.fail(claim, "{}", 10.0)
    assert store.prune(10.0) == []
    assert [gone.id for gone in store.prune(11.0)] == [claim.job.id] == [job.id]
    assert store.get(job.id) is None
    assert (store.events(job.id), store.checkpoints(job.id)) == ([], {})
    assert [left.id for left in store.newest()] == [other.id]


def test_a_claim_says_from_where_the_job_goes_on_and_how_long_it_will_take(store: JobStore) -> None:
    job = store.add(TALK, 0.0)
    claim = store.claim(LEASE_S, 10.0)
    assert claim is not None
    assert (claim.job.claimed_s, claim.job.claimed_audio_s, claim.job.left_s(10.0)) == (10.0, 0.0, None)
    assert store.renew(claim, LEASE_S, 20.0, (50.0, 200.0)) is not None
    again = store.claim(LEASE_S, 100.0)
    assert again is not None
    assert (again.job.claimed_s, again.job.claimed_audio_s, again.job.started_s) == (100.0, 50.0, 10.0)
    assert store.renew(again, LEASE_S, 104.0, (100.0, 200.0)) is not None
    found = store.get(job.id)
    assert found is not None
    assert found.left_s(105.0) == 10.0  # fifty seconds of audio in five, a hundred are left
    store.finish(again, 110.0)
    assert (over := store.get(job.id)) is not None
    assert over.left_s(111.0) is None


def test_notes_are_kept_once_each_and_what_may_come_in_a_request_stays(store: JobStore) -> None:
    asked = replace(TALK, options={"prompt": "Zürich"}, webhook="https://h/1", trace="00-1-2-01", media_bytes=5)
    job = store.add(asked, 0.0)
    claim = store.claim(LEASE_S, 1.0)
    assert claim is not None
    assert store.keep(claim, notes=["first", "first"])
    assert store.keep(claim, notes=["für", "first"])
    found = store.get(job.id)
    assert found is not None
    assert (found.request, found.notes, found.kept_bytes) == (asked, ("first", "für"), 5)


def test_a_failed_job_that_waits_for_its_moment_holds_up_no_other(store: JobStore) -> None:
    first, second = store.add(replace(TALK, priority=5), 0.0), store.add(TALK, 1.0)
    claim = store.claim(LEASE_S, 2.0)
    assert claim is not None
    assert store.fail(claim, "{}", 2.0, again_s=50.0)
    assert [store.position(job.id) for job in (first, second)] == [0, 1]
    taken = store.claim(999.0, 3.0)
    assert taken is not None
    assert taken.job.id == second.id
    assert store.claim(LEASE_S, 49.0) is None
    third = store.add(TALK, 49.0)
    assert [c.job.id for _ in range(2) if (c := store.claim(LEASE_S, 50.0))] == [first.id, third.id]


def test_what_a_client_and_all_may_have_is_limited_and_a_known_key_is_let_in(store: JobStore) -> None:
    own = QueueLimits(client_jobs=2, client_bytes=100)
    first = store.add(replace(TALK, idempotency_key="k", media_bytes=60), 0.0, own)
    with pytest.raises(QuotaExceeded, match="100 bytes"):
        store.add(replace(TALK, media_bytes=41), 0.0, own)
    second = store.add(replace(TALK, media_bytes=40), 0.0, own)
    with pytest.raises(QuotaExceeded, match="2 jobs"):
        store.add(TALK, 0.0, own)
    assert store.add(replace(TALK, idempotency_key="k", media_bytes=60), 0.0, own) == first
    bob = store.add(replace(TALK, client="bob"), 0.0, own)
    with pytest.raises(QueueFull, match="3 jobs wait"):
        store.add(replace(TALK, client="cat"), 0.0, QueueLimits(queued=3))
    with pytest.raises(QueueFull, match="100 bytes"):
        store.add(replace(TALK, client="cat", media_bytes=1), 0.0, QueueLimits(total_bytes=100))
    assert len(store.newest()) == 3
    mine, all_ = store.usage("ann"), store.usage()
    assert (mine.unfinished, mine.kept_bytes, all_.unfinished, all_.kept_bytes) == (2, 100, 3, 100)
    claim = store.claim(LEASE_S, 1.0)
    assert claim is not None
    assert store.usage().jobs == {JobState.QUEUED: 2, JobState.RUNNING: 1}
    assert store.finish(claim, 2.0, "r.json", 7)
    store.cancel(second.id, 3.0)
    store.cancel(bob.id, 3.0)
    assert store.usage("ann").kept_bytes == 47  # a result instead of its media, and what a retry needs
    assert store.usage().unfinished == 0
    store.prune(10.0)
    assert (dict(store.usage().jobs), store.usage().kept_bytes) == ({}, 0)


def test_results_that_take_too_much_are_forgotten_the_oldest_first(store: JobStore) -> None:
    jobs = []
    for n in range(4):
        jobs.append(store.add(replace(TALK, client="bob" if n == 0 else "ann"), float(n)).id)
        claim = store.claim(LEASE_S, 10.0 + n)
        assert claim is not None
        assert store.finish(claim, 20.0 + n, "r", 10)
    waiting = store.add(replace(TALK, media_bytes=10), 30.0)
    assert store.prune(0.0, most_bytes=50) == []
    assert [gone.id for gone in store.prune(0.0, most_bytes=20, client="ann", limit=1)] == [jobs[1]]
    assert [gone.id for gone in store.prune(0.0, most_bytes=25)] == [jobs[0], jobs[2]]
    assert [gone.id for gone in store.prune(0.0, most_bytes=0)] == [jobs[3]]
    assert [left.id for left in store.newest()] == [waiting.id]


def test_a_job_with_a_webhook_leaves_a_message_of_its_end_however_it_ends(store: JobStore) -> None:
    told = replace(TALK, webhook="https://host/hook")
    done, failed, stopped, queued, silent = (store.add(told if n < 4 else TALK, float(n)) for n in range(5))
    store.cancel(queued.id, 9.0)
    for n, job in enumerate((done, failed, stopped)):
        claim = store.claim(LEASE_S, 10.0)
        assert claim is not None
        assert claim.job.id == job.id
        assert store.deliveries.claim(LEASE_S, 10.0) is None or n == 0
        _ = n == 0 and store.finish(claim, 20.0)
        _ = n == 1 and store.fail(claim, '{"message": "m", "code": "c"}', 21.0)
        if n == 2:
            store.cancel(job.id, 21.0)
            store.cancelled(claim, 22.0)
    store.cancel(silent.id, 23.0)
    found = {job.id: store.deliveries.of_job(job.id) for job in (done, failed, stopped, queued, silent)}
    assert [len(found[job.id]) for job in (done, failed, stopped, queued, silent)] == [1, 1, 1, 1, 0]
    bodies = [json.loads(found[job.id][0].payload) for job in (done, failed, stopped, queued)]
    assert [body["type"].rpartition(".")[2] for body in bodies] == ["done", "failed", "cancelled", "cancelled"]
    assert [body["data"]["id"] for body in bodies] == [job.id for job in (done, failed, stopped, queued)]
    assert bodies[1]["data"]["error"] == {"message": "m", "code": "c"}
    message = found[done.id][0]
    assert (message.url, message.created_s, message.due_s, message.attempts) == ("https://host/hook", 20.0, 20.0, 0)


def test_a_job_taken_for_the_cause_of_deaths_is_told_too_and_so_is_each_end_of_a_retried_one(store: JobStore) -> None:
    job, now = store.add(replace(TALK, webhook="https://host/hook"), 0.0), 0.0
    for _ in range(MOST_DEATHS):
        assert store.claim(LEASE_S, now) is not None
        now += LEASE_S + 1
    assert store.claim(LEASE_S, now) is None
    store.retry(job.id, now)
    store.cancel(job.id, now + 1)
    types = [json.loads(one.payload)["type"] for one in store.deliveries.of_job(job.id)]
    assert types == ["transcription.job.failed", "transcription.job.cancelled"]


def test_a_message_is_its_holders_until_its_lease_is_over_and_is_tried_until_it_arrives(store: JobStore) -> None:
    job = store.add(replace(TALK, webhook="https://host/hook"), 0.0)
    store.cancel(job.id, 100.0)
    sent = store.deliveries
    assert sent.claim(LEASE_S, 99.0) is None
    first = sent.claim(LEASE_S, 100.0)
    assert first is not None
    assert (first.job_id, first.attempts) == (job.id, 1)
    assert sent.claim(LEASE_S, 129.0) is None
    second = sent.claim(LEASE_S, 130.0)  # the process that had it died
    assert second is not None
    assert (second.id, second.payload, second.attempts) == (first.id, first.payload, 2)
    assert not sent.delivered(first, "late", 131.0)
    assert sent.failed(second, "HTTP 500", 131.0, again_s=200.0)
    assert sent.claim(LEASE_S, 199.0) is None
    assert store.prune(9999.0) == []  # it has still to be told
    third = sent.claim(LEASE_S, 200.0)
    assert third is not None
    assert third.response == "HTTP 500"
    assert sent.delivered(third, "HTTP 204", 201.0)
    assert not sent.failed(third, "again", 202.0)
    assert sent.claim(LEASE_S, 9999.0) is None
    [over] = sent.of_job(job.id)
    assert (over.delivered, over.ended_s, over.response, over.attempts) == (True, 201.0, "HTTP 204", 3)
    assert [gone.id for gone in store.prune(9999.0)] == [job.id]
    assert sent.of_job(job.id) == []


def test_a_message_that_is_given_up_is_over_and_those_that_are_due_first_go_first(store: JobStore) -> None:
    jobs = [store.add(replace(TALK, webhook="https://host/hook"), 0.0) for _ in range(2)]
    store.cancel(jobs[1].id, 1.0)
    store.cancel(jobs[0].id, 2.0)
    first, second = store.deliveries.claim(LEASE_S, 3.0), store.deliveries.claim(LEASE_S, 3.0)
    assert first is not None
    assert second is not None
    assert (first.job_id, second.job_id) == (jobs[1].id, jobs[0].id)
    assert store.deliveries.failed(first, "no such host", 4.0)
    assert store.deliveries.failed(second, "HTTP 500", 4.0, again_s=5.0)
    assert store.deliveries.claim(LEASE_S, 9999.0, [second.url[:9]]) is None
    last = store.deliveries.claim(LEASE_S, 9999.0, ["https://other", f"{second.url}x", "%"])
    assert last is not None
    assert last.job_id == jobs[0].id
    [given_up] = store.deliveries.of_job(jobs[1].id)
    assert (given_up.delivered, given_up.ended_s, given_up.response) == (False, 4.0, "no such host")


def test_who_listens_is_woken_by_what_may_be_claimed_or_cancelled(store: JobStore) -> None:
    woken = threading.Semaphore(0)
    store.listen(woken.release)
    if store.is_shared:  # what others did before it began to listen may have been missed
        assert woken.acquire(timeout=60)
    job = store.add(TALK, 0.0)
    for call in (store.cancel, store.retry):
        assert woken.acquire(timeout=60)
        call(job.id, 1.0)
    assert woken.acquire(timeout=60)
    assert store.claim(LEASE_S, 2.0) is not None
    store.cancel(job.id, 3.0)
    assert woken.acquire(timeout=60)


@pytest.mark.parametrize("odd", ["a\0b", "\ud800", "x\udcff.mp3", "\U0001f600 \u2028", "%s \\ \\u0000 \"'", "\x1b\x7f"])
def test_any_text_is_kept_as_it_is(store: JobStore, odd: str) -> None:
    asked = JobRequest(f"/in/{odd}", odd, options={"prompt": odd}, idempotency_key=odd, webhook="https://h")
    job = store.add(asked, 0.0)
    assert store.add(asked, 0.0).id == job.id
    assert store.newest() == [job] == [store.get(job.id)]
    claim = store.claim(LEASE_S, 1.0)
    assert claim is not None
    assert store.keep(claim, [("segment", json.dumps([odd], ensure_ascii=False))], notes=[odd])
    assert [json.loads(event.data) for event in store.events(job.id)] == [[odd]]
    assert store.fail(claim, json.dumps({"message": odd, "code": "c"}, ensure_ascii=False), 2.0)
    found = store.get(job.id)
    assert found is not None
    assert (found.request, json.loads(found.error)["message"], found.notes) == (asked, odd, (odd,))
    message = store.deliveries.claim(LEASE_S, 3.0)
    assert message is not None
    assert json.loads(message.payload)["data"]["name"] == odd
    assert store.deliveries.failed(message, odd, 4.0)


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
    "add", "claim", "renew", "keep", "finish", "fail", "again", "back", "stopped", "cancel", "retry", "prune", "send",
)  # fmt: skip
ACTS = st.lists(st.tuples(st.sampled_from(ACT_NAMES), st.integers(0, 3), st.floats(0, 40)), max_size=40)


@settings(deadline=None)
@given(acts=ACTS)
def test_the_file_does_what_the_memory_does_whatever_is_asked_of_it(
    acts: list[tuple[str, int, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = SqliteJobStore(tmp_path_factory.mktemp("jobs") / "jobs.sqlite3")
    _does_what_the_memory_does(file, acts)
    file.close()


@settings(deadline=None, max_examples=15)
@given(acts=ACTS)
def test_the_database_does_what_the_memory_does_whatever_is_asked_of_it(
    acts: list[tuple[str, int, float]], postgres_server: PostgresServer
) -> None:
    database = PostgresJobStore(postgres_server.emptied())
    _does_what_the_memory_does(database, acts)
    database.close()


def _does_what_the_memory_does(file: JobStore, acts: list[tuple[str, int, float]]) -> None:
    model = MemoryJobStore()
    stores: tuple[JobStore, JobStore] = (model, file)
    ids: list[tuple[str, str]] = []
    claims: list[tuple[object, object]] = []
    now = 0.0
    for act, which, step in acts:
        now += step
        if act == "add":
            key, hook = "k" if which == 3 else "", "https://host/hook" if which == 1 else ""
            request = replace(TALK, priority=which, idempotency_key=key, webhook=hook, media_bytes=10 * which)
            made = tuple(store.add(request, now).id for store in stores)
            if made not in ids:
                ids.append(made)  # type: ignore[arg-type]  # two of them
        elif act == "claim":
            taken = tuple(store.claim(LEASE_S, now) for store in stores)
            assert [one is None for one in taken] == [taken[0] is None] * 2
            claims += [taken] if taken[0] is not None else []  # type: ignore[list-item]  # two of them
        elif act == "prune":
            assert len({len(store.prune(now - 20, most_bytes=10 * which, limit=2)) for store in stores}) == 1
        elif act == "send":
            sent = [store.deliveries.claim(LEASE_S, now) for store in stores]
            told = [one and _sent(store, one, which, now) for store, one in zip(stores, sent, strict=True)]
            assert told[0] == told[1]
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
            due = [[_of(d) for d in s.deliveries.of_job(i)] for s, i in zip(stores, pair, strict=True)]
            assert due[0] == due[1]
        assert model.usage().kept_bytes == file.usage().kept_bytes
        assert dict(model.usage("ann").jobs) == dict(file.usage("ann").jobs)


def _do(store: JobStore, act: str, claim: object, now: float) -> bool:
    """Whether the holder's call counted."""
    from autorag_whisper.jobs.job import Claim

    assert isinstance(claim, Claim)
    if act == "renew":
        return store.renew(claim, LEASE_S, now, (now, 100.0)) is not None
    if act == "keep":
        return store.keep(claim, [("progress", str(now))], [(int(now) % 3, b"x")], [f"note {int(now) % 3}"])
    if act == "finish":
        return store.finish(claim, now, "result", 7)
    if act == "again":
        return store.fail(claim, "{}", now, now + 5)
    if act == "back":
        return store.hand_back(claim)
    return store.cancelled(claim, now) if act == "stopped" else store.fail(claim, "{}", now)


def _sent(store: JobStore, delivery: Delivery, which: int, now: float) -> tuple[bool, int]:
    """Whether the sender's call counted, and the attempt."""
    sent = store.deliveries
    if which == 0:
        return sent.delivered(delivery, "HTTP 200", now), delivery.attempts
    return sent.failed(delivery, "HTTP 500", now, now + 5 if which > 1 else None), delivery.attempts


def _of(delivery: Delivery) -> Delivery:
    payload = json.loads(delivery.payload)
    payload["data"].pop("id")
    return replace(delivery, id="", job_id="", payload=json.dumps(payload))


def _plain(job: Job) -> Job:
    return replace(job, id="")
