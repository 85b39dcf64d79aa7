"""What `Library` promises of versions, names, media and the search, kept by every store."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.jobs import sqlite_schema
from autorag_whisper.jobs.job import Job, JobRequest, JobState
from autorag_whisper.jobs.library import DRAFT_S, MOST_VERSIONS, Edition, Sort, Wanted
from autorag_whisper.jobs.search import lines_of, matches_in, terms_asked
from autorag_whisper.jobs.sql_library import job_terms
from autorag_whisper.jobs.sqlite import SqliteJobStore

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.jobs.store import JobStore

TALK = JobRequest("/in/talk.mp3", "talk.mp3", client="ann")
DAY = 86_400.0


def done(store: JobStore, at_s: float = 0.0, media_bytes: int = 0, total_s: float = 0.0, **fields: object) -> Job:
    """A job that is done."""
    job = store.add(replace(TALK, **fields), at_s)  # type: ignore[arg-type]  # its own fields
    claim = store.claim(30.0, at_s)
    assert claim is not None
    assert store.renew(claim, 30.0, at_s, (total_s, total_s)) is not None
    assert store.finish(claim, at_s + 1, f"{job.id}.1.json", 1000, media_bytes)
    return found(store, job.id)


def found(store: JobStore, job_id: str) -> Job:
    job = store.get(job_id)
    assert job is not None
    return job


def edition(text: str, **fields: object) -> Edition:
    return Edition(text.encode("utf-8", "replace"), lines_of([(1.5, text)]), len(text.split()), **fields)  # type: ignore[arg-type]  # its own


def names(store: JobStore, query: str, client: str | None = "ann") -> list[str]:
    return [one.job.request.name for one in store.library.search(client, terms_asked(query))]


def test_a_done_job_has_its_first_version_and_each_save_a_further_one(store: JobStore) -> None:
    queued = store.add(TALK, 0.0)
    assert queued.version == 0
    assert store.library.save(queued.id, 0, edition("x"), 1.0) is None
    store.cancel(queued.id, 1.0)
    job = done(store)
    assert (job.version, store.library.versions(job.id)) == (1, [])
    second = store.library.save(job.id, 1, edition("Mary had", author="Anna", note="names"), 10.0)
    assert second is not None
    assert (second.number, second.created_s, second.author, second.note, second.is_draft, second.words) == (
        2, 10.0, "Anna", "names", False, 2,
    )  # fmt: skip
    third = store.library.save(job.id, 2, edition("Mary had a lamb"), 20.0)
    assert third is not None
    assert store.library.versions(job.id) == [third, second]
    assert store.library.version(job.id, 2) == (second, b"Mary had")
    assert store.library.version(job.id, 1) is store.library.version(job.id, 4) is None
    assert (found(store, job.id).version, found(store, job.id).kept_bytes) == (3, 1000 + 8 + 15)
    assert store.usage("ann").kept_bytes == 1000 + 8 + 15


def test_who_saves_on_an_older_version_is_refused_and_nothing_is_changed(store: JobStore) -> None:
    job = done(store)
    assert store.library.save(job.id, 1, edition("first"), 1.0) is not None
    before = found(store, job.id)
    assert store.library.save(job.id, 1, edition("second"), 2.0) is None
    assert store.library.save(job.id, 3, edition("second"), 2.0) is None
    assert store.library.save("none", 1, edition("second"), 2.0) is None
    assert found(store, job.id) == before
    assert [version.words for version in store.library.versions(job.id)] == [1]
    assert names(store, "second") == []


def test_of_many_who_save_at_once_one_gets_through(store: JobStore) -> None:
    job = done(store)
    with ThreadPoolExecutor(4) as threads:
        saved = list(threads.map(lambda n: store.library.save(job.id, 1, edition(f"by {n}"), 1.0), range(4)))
    [one] = [version for version in saved if version is not None]
    assert store.library.versions(job.id) == [one]
    assert found(store, job.id).version == 2


def test_a_draft_is_replaced_by_the_next_version_of_its_author_while_it_is_young(store: JobStore) -> None:
    job, draft = done(store), edition("draft", author="Anna", is_draft=True)
    for base, now in ((1, 0.0), (2, 5.0), (3, 9.0)):
        assert store.library.save(job.id, base, draft, now) is not None
    assert [version.number for version in store.library.versions(job.id)] == [4]
    assert store.library.version(job.id, 3) is None
    assert found(store, job.id).kept_bytes == 1005
    assert store.library.save(job.id, 4, edition("Bob's", author="Bob", is_draft=True), 10.0) is not None
    assert store.library.save(job.id, 5, replace(draft, author="Bob", replaces_draft=False), 11.0) is not None
    assert [version.number for version in store.library.versions(job.id)] == [6, 5, 4]
    assert store.library.save(job.id, 6, replace(draft, author="Bob"), 11.0 + DRAFT_S + 1) is not None
    assert store.library.save(job.id, 7, edition("final", author="Bob"), 12.0 + DRAFT_S + 1) is not None
    assert [version.number for version in store.library.versions(job.id)] == [8, 6, 5, 4]


def test_the_oldest_of_many_versions_are_dropped(store: JobStore) -> None:
    job = done(store)
    for n in range(MOST_VERSIONS + 3):
        assert store.library.save(job.id, n + 1, edition("ab"), float(n)) is not None
    kept = [version.number for version in store.library.versions(job.id)]
    assert kept == list(range(MOST_VERSIONS + 4, 4, -1))
    assert found(store, job.id).kept_bytes == 1000 + 2 * MOST_VERSIONS


def test_versions_go_with_their_job(store: JobStore) -> None:
    job = done(store)
    assert store.library.save(job.id, 1, edition("gone"), 1.0) is not None
    assert [gone.id for gone in store.prune(DAY)] == [job.id]
    assert store.library.versions(job.id) == []
    assert names(store, "gone") == []
    assert store.usage().kept_bytes == 0


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("mary", True), ("MARY lamb", True), ("lamb little", True), ("litt", True), ("zurich", True), ("Zürich", True),
        ("interview", True), ("ittle", False), ("mary wolf", False), ("東京", True), ("京", True), ("東京都", True),
        ("都東", False), ("iphone", True), ("手机", True), ("हिन्दी", True), ("हि", True),
        ("café", True), ("cafe", True),
        ("ﬁne", True), ("fine", True), ("don", True), ("don't", True), ("O'Brien", False), ("42", True),
    ],
)  # fmt: skip
def test_words_of_the_text_and_the_name_are_found_in_any_case_and_script(
    store: JobStore, query: str, is_found: bool
) -> None:
    job = done(store, name="Interview Zürich.mp3")
    text = "Mary had a little lamb, don't ask. 東京都に iPhone手机 हिन्दी Café ﬁne 42"
    lines = lines_of([(0.0, "Nothing here."), (2.5, text)])
    assert names(store, query) == []
    assert store.library.index(job.id, 1, lines, job_terms(job.request.name, lines))
    assert (names(store, query) == [job.request.name]) is is_found


def test_a_search_finds_ones_own_jobs_alone_the_newest_first_in_pages(store: JobStore) -> None:
    for n in range(5):
        job = done(store, float(n), name=f"talk {n}", client="bob" if n == 2 else "ann")
        assert store.library.index(job.id, 1, lines_of([(0.0, "same")]), job_terms(job.request.name, "0\tsame"))
    assert names(store, "same") == ["talk 4", "talk 3", "talk 1", "talk 0"]
    assert names(store, "same", "bob") == ["talk 2"]
    assert len(names(store, "same", None)) == 5
    page = store.library.search("ann", ["same"], limit=2, offset=1)
    assert [one.job.request.name for one in page] == ["talk 3", "talk 1"]
    assert store.library.search("ann", []) == []


def test_the_search_finds_the_newest_text_and_the_newest_name(store: JobStore) -> None:
    job = done(store)
    assert [one.id for one in store.library.unindexed()] == [job.id]
    lines = lines_of([(0.0, "wolf")])
    assert store.library.index(job.id, 1, lines, job_terms("talk.mp3", lines))
    assert store.library.unindexed() == []
    assert store.library.save(job.id, 1, edition("little lamb"), 1.0) is not None
    assert (names(store, "wolf"), names(store, "lamb")) == ([], ["talk.mp3"])
    assert not store.library.index(job.id, 1, lines, ["wolf"])  # an older one
    [hit] = store.library.search("ann", ["lamb"])
    assert [(match.segment, match.start_s, match.match) for match in matches_in(hit.lines, "lamb")] == [
        (0, 1.5, "lamb")
    ]
    renamed = store.library.rename(job.id, "Übung")
    assert renamed is not None
    assert renamed.request == replace(job.request, name="Übung")
    assert store.get(job.id) == renamed
    assert [one.id for one in store.library.unindexed()] == [job.id]
    assert store.library.rename("none", "x") is None


@pytest.mark.parametrize("odd", ["a\0b", "\ud800", "'\"\\ %s ? $1 :*", "NEAR(a b)", "\u2028", "x" * 5000, "''", "*"])
def test_no_text_and_no_query_is_too_odd(store: JobStore, odd: str) -> None:
    job = done(store, name=odd)
    saved = store.library.save(job.id, 1, edition(f"{odd} lamb", author=odd, note=odd), 1.0)
    assert saved is not None
    assert store.library.versions(job.id) == [saved]
    assert [one.job.id for one in store.library.search("ann", ["lamb", *terms_asked(odd)])] == [job.id]
    assert store.library.find("ann", Wanted(name=odd, folder=odd)) == ([], 0)
    assert store.library.rename(job.id, f"{odd} new") is not None


def test_a_list_is_sorted_filtered_and_paged(store: JobStore) -> None:
    made = [
        done(store, 10.0, total_s=50.0, name="beta.mp3", folder="x"),
        done(store, 20.0, total_s=10.0, name="Ähre.mp3"),
        done(store, 30.0, total_s=90.0, name="alpha.mp3", folder="x", client="ann"),
        done(store, 40.0, name="other's", client="bob"),
        store.add(replace(TALK, name="Zeta.mp3"), 5.0),
    ]
    beta, ahre, alpha, other, zeta = (job.id for job in made)

    def listed(client: str | None = "ann", **wanted: object) -> list[str]:
        jobs, total = store.library.find(client, Wanted(**wanted))  # type: ignore[arg-type]  # its own fields
        assert total == len(jobs)
        return [job.id for job in jobs]

    assert listed() == [zeta, alpha, ahre, beta]
    assert listed(None) == [zeta, other, alpha, ahre, beta]
    assert listed(descending=False) == [beta, ahre, alpha, zeta]
    assert listed(sort=Sort.NAME, descending=False) == [ahre, alpha, beta, zeta]
    assert listed(sort=Sort.DURATION) == [alpha, beta, ahre, zeta]
    assert listed(sort=Sort.FINISHED) == [alpha, ahre, beta, zeta]
    assert listed(states=(JobState.QUEUED, JobState.RUNNING)) == [zeta]
    assert listed(states=(JobState.DONE,), folder="x") == [alpha, beta]
    assert listed(folder="") == [zeta, ahre]
    assert listed(name="AHRE") == [ahre]
    assert listed(name="ta.mp") == [zeta, beta]
    jobs, total = store.library.find("ann", Wanted(limit=2, offset=1))
    assert ([job.id for job in jobs], total) == ([alpha, ahre], 4)


def test_a_job_that_is_over_can_be_forgotten_alone(store: JobStore) -> None:
    job, other = done(store), done(store)
    assert store.library.save(job.id, 1, edition("text"), 1.0) is not None
    assert (forgotten := store.library.forget(job.id)) is not None
    assert forgotten.id == job.id
    assert store.library.forget(job.id) is None
    assert store.library.versions(job.id) == []
    assert [left.id for left in store.newest()] == [other.id]
    queued = store.add(replace(TALK, webhook="https://h/1"), 0.0)
    assert store.library.forget(queued.id) is None
    store.cancel(queued.id, 1.0)
    assert store.library.forget(queued.id) is not None  # whoever asks for it does not wait for its webhook


def test_kept_media_is_dropped_by_age_and_where_it_is_too_much_the_oldest_first(store: JobStore) -> None:
    jobs = [done(store, 10.0 * n, media_bytes=100).id for n in range(4)]
    assert found(store, jobs[0]).media_bytes == 100
    assert store.usage().kept_bytes == 4000  # media has its own limit
    assert store.library.drop_media(0.0) == store.library.drop_media(0.0, 400) == []
    assert [(job.id, job.media_bytes) for job in store.library.drop_media(2.0)] == [(jobs[0], 0)]
    assert [job.id for job in store.library.drop_media(2.0, 150)] == jobs[1:3]
    assert found(store, jobs[2]).media_bytes == 0
    assert [job.id for job in store.library.drop_media(0.0, 0)] == [jobs[3]]
    assert store.library.drop_media(DAY, 0) == []


def test_a_file_of_an_older_version_is_found_by_its_names_and_has_first_versions(tmp_path: Path) -> None:
    place = tmp_path / "jobs.sqlite3"
    database = sqlite3.connect(place)
    for number, migration in enumerate(sqlite_schema.MIGRATIONS[:2], 1):
        database.executescript(f"{migration}; PRAGMA user_version = {number};")
    request = JobRequest("/in/x", "Übung.mp3").to_json().replace(', "folder": ""', "").replace('"folder": "", ', "")
    columns = "id, client, request, priority, state, created_s, ready_s"
    for n, state in enumerate(("done", "failed")):
        values = (f"job{n}", "ann", request, 0, state, 1.0, 1.0)
        database.execute(f"INSERT INTO jobs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    database.commit()
    database.close()
    store = SqliteJobStore(place)
    assert [job.id for job in store.library.find(None, Wanted(name="ubung"))[0]] == ["job1", "job0"]
    assert [(job.id, job.version) for job in store.library.unindexed()] == [("job0", 1)]
    store.close()
