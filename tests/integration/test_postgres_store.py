"""Jobs in PostgreSQL where something is wrong: each fault is told with its reason, and nothing is lost or doubled."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.job_errors import StoreUnavailable
from autorag_whisper.jobs import postgres_schema
from autorag_whisper.jobs.job import JobRequest, JobState
from autorag_whisper.jobs.postgres import PostgresJobStore
from autorag_whisper.jobs.postgres_address import Address
from postgres_wire import Wire, silenced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.postgres_server import PostgresServer

LEASE_S = 30.0
TALK = JobRequest("/in/talk.mp3", "talk.mp3", client="ann")
SECRET = "hunter2"


@pytest.fixture
def url(postgres_server: PostgresServer) -> str:
    return postgres_server.emptied()


@pytest.fixture
def store(url: str) -> Iterator[PostgresJobStore]:
    store = PostgresJobStore(url)
    yield store
    store.close()


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as database:
        for statement in statements:
            database.execute(statement.encode())


def refused(url: str, folder: str = "") -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as found:
        PostgresJobStore(url, folder)
    return found.value


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://whisper:{SECRET}@x@host/jobs",
        f"postgresql://whisper:x/{SECRET}@host/jobs",
        f"postgresql://whisper:1/{SECRET}@host/jobs",
        f"postgresql://whisper:x%{SECRET}@host/jobs",
        f"postgresql://whisper:p@host:{SECRET}/jobs",
        f"postgresql://whisper:p@[::1/{SECRET}",
        f"postgresql://host/jobs?pasword={SECRET}",
        f"host=x password={SECRET} y",
        f"mysql://whisper:{SECRET}@host/jobs",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_and_nothing_of_it_repeated(address: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        Address.parse(address)
    assert SECRET not in f"{refused.value} {refused.value!r}"
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"postgresql://whisper:{SECRET}@db.lan:5433/jobs", "postgresql://whisper@db.lan:5433/jobs"),
        (f"postgresql://whisper:{SECRET}@/jobs?host=/run/pg", "postgresql://whisper@/run/pg/jobs"),
        (f"postgresql://a,b:5433/jobs?password={SECRET}", "postgresql://a,b:,5433/jobs"),
        (f"postgresql://whisper:x:{SECRET}[?#@db/jobs", "postgresql://whisper@db/jobs"),
        (f"host=db user=whisper password={SECRET} dbname=jobs", "postgresql://whisper@db/jobs"),
    ],
)
def test_of_an_address_user_host_and_database_are_shown_and_no_password(address: str, shown: str) -> None:
    found = Address.parse(address)
    assert found.shown == shown
    assert SECRET not in repr(found)
    assert SECRET not in found.without_secrets(f"a {found.options['password']} b")


def test_a_wrong_password_is_told_with_what_to_do_and_without_it(url: str, postgres_server: PostgresServer) -> None:
    right = (postgres_server.folder / "password").read_text()
    error = refused(url.replace(right, SECRET))
    assert "password authentication failed" in error.reason
    assert "mend the user or the password" in str(error)
    assert SECRET not in str(error)
    assert right not in str(refused(url.replace("whisper:", "nobody:")))


def test_no_server_no_database_and_no_rights_are_told(url: str, postgres_server: PostgresServer) -> None:
    assert "start the database" in str(refused("postgresql://a:b@127.0.0.1:1/jobs"))
    assert "start the database" in str(refused("postgresql://a:b@/jobs?host=/nowhere"))
    assert '"none" does not exist' in str(refused(postgres_server.url("none")))
    execute(url, "DROP ROLE IF EXISTS guest", f"CREATE ROLE guest LOGIN PASSWORD '{SECRET}'")
    right = (postgres_server.folder / "password").read_text()
    denied = refused(url.replace(f"whisper:{right}", f"guest:{SECRET}"))
    assert "permission denied" in str(denied)
    assert "let the user create a schema" in str(denied)


def test_tables_of_a_newer_version_are_left_alone(url: str) -> None:
    PostgresJobStore(url).close()
    execute(url, "UPDATE autorag_whisper.version SET number = 99")
    error = refused(url)
    assert "version 99" in str(error)
    assert "newer" in error.advice


def test_tables_are_brought_up_to_date_whole_or_not_at_all_and_jobs_stay(url: str) -> None:
    store = PostgresJobStore(url)
    job = store.add(TALK, 1.0)
    store.close()
    newer = (*postgres_schema.MIGRATIONS, "ALTER TABLE jobs ADD COLUMN colour text NOT NULL DEFAULT 'red'")
    broken = (*newer, "ALTER TABLE jobs ADD COLUMN smell text; SELECT 1 / 0")
    with psycopg.connect(url, autocommit=True, row_factory=psycopg.rows.dict_row) as database:
        with pytest.raises(psycopg.errors.DivisionByZero):
            postgres_schema.migrate(database, broken)
        postgres_schema.migrate(database, postgres_schema.MIGRATIONS)  # nothing has happened: it is not newer
        postgres_schema.migrate(database, newer)
        rows = database.execute("SELECT id, colour FROM autorag_whisper.jobs").fetchall()
        assert rows == [{"id": job.id, "colour": "red"}]
        with pytest.raises(postgres_schema.NewerSchemaError):
            postgres_schema.migrate(database, postgres_schema.MIGRATIONS)


def test_servers_that_start_at_the_same_moment_make_the_tables_once(url: str) -> None:
    start = threading.Barrier(6)

    def begin(_: int) -> PostgresJobStore:
        start.wait()
        return PostgresJobStore(url)

    with ThreadPoolExecutor(6) as threads:
        stores = list(threads.map(begin, range(6)))
    job = stores[0].add(TALK, 0.0)
    assert all(store.get(job.id) == job for store in stores)
    for store in stores:
        store.close()


def test_a_server_with_another_folder_is_refused(url: str) -> None:
    first = PostgresJobStore(url, "folder one")
    second = PostgresJobStore(url, "folder one")
    assert "same folder as --data" in str(refused(url, "folder two"))
    for store in (first, second):
        store.close()


def test_no_job_is_claimed_twice_by_servers_and_each_is_woken_by_the_others(url: str) -> None:
    stores = [PostgresJobStore(url) for _ in range(3)]
    heard = [threading.Event() for _ in stores]
    for store, event in zip(stores, heard, strict=True):
        store.listen(event.set)
    for event in heard:  # each does when it begins to listen
        assert event.wait(60)
        event.clear()
    jobs = {stores[0].add(TALK, 0.0).id for _ in range(30)}
    assert all(event.wait(60) for event in heard)

    def take(store: PostgresJobStore) -> list[str]:
        return [claim.job.id for _ in range(30) if (claim := store.claim(LEASE_S, 1.0)) is not None]

    with ThreadPoolExecutor(3) as threads:
        taken = [job for found in threads.map(take, stores) for job in found]
    assert sorted(taken) == sorted(jobs)
    heard[1].clear()
    assert (asked := stores[2].cancel(taken[0], 2.0)) is not None
    assert asked.wants_cancel
    assert heard[1].wait(60)
    for store in stores:
        store.close()


def test_a_key_that_several_servers_are_given_at_the_same_moment_is_one_job(url: str) -> None:
    stores = [PostgresJobStore(url) for _ in range(4)]
    start = threading.Barrier(4)

    def add(store: PostgresJobStore) -> list[str]:
        found = []
        for n in range(10):
            start.wait()
            found.append(store.add(JobRequest("/in", "in", idempotency_key=f"k{n}"), 0.0).id)
        return found

    with ThreadPoolExecutor(4) as threads:
        one, *others = threads.map(add, stores)
    assert all(other == one for other in others)
    assert len(stores[0].newest()) == 10
    for store in stores:
        store.close()


def test_a_full_disk_and_a_server_that_only_reads_are_told_and_over_when_they_are_over(
    url: str, store: PostgresJobStore
) -> None:
    job = store.add(TALK, 0.0)
    full = "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'"
    execute(
        url,
        "SET search_path TO autorag_whisper",
        f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {full}; END $$",
        "CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON jobs EXECUTE FUNCTION full_disk()",
    )
    for call in (lambda: store.add(TALK, 1.0), lambda: store.claim(LEASE_S, 1.0), lambda: store.cancel(job.id, 1.0)):
        with pytest.raises(StoreUnavailable, match=r"No space left on device.*make room"):
            call()
    assert store.get(job.id) == job
    execute(url, "DROP TRIGGER full_disk ON autorag_whisper.jobs")
    claim = store.claim(LEASE_S, 2.0)
    assert claim is not None
    with store._connections.using() as database:
        database.execute("SET default_transaction_read_only TO on")  # it is kept, and the next one to be used
    with pytest.raises(StoreUnavailable, match="name the primary"):
        store.finish(claim, 3.0)


def test_what_is_kept_is_on_the_disk_whatever_the_databases_default(url: str) -> None:
    for default, kept in (("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")):
        store = PostgresJobStore(f"{url}&options=-csynchronous_commit%3D{default}")
        with store._connections.using() as database:
            assert database.execute("SHOW synchronous_commit").fetchone() == {"synchronous_commit": kept}
        store.close()


def test_a_database_that_goes_away_is_told_and_comes_back_with_all_that_was_kept(
    postgres_server: PostgresServer, url: str
) -> None:
    store = PostgresJobStore(url)
    woken = threading.Semaphore(0)
    store.listen(woken.release)
    assert woken.acquire(timeout=60)
    claim = store.claim(LEASE_S, 0.0) if store.add(TALK, 0.0) else None
    assert claim is not None
    assert store.keep(claim, [("segment", "{}")], [(0, b"chunk")])
    waiting = store.add(TALK, 1.0)
    for end in (postgres_server.stop, postgres_server.kill):
        end()
        for call in (
            lambda: store.get(waiting.id),
            lambda: store.add(TALK, 2.0),
            lambda: store.renew(claim, 9, 9, (0, 0)),
        ):
            with pytest.raises(StoreUnavailable, match="start the database"):
                call()
        while woken.acquire(blocking=False):
            pass
        postgres_server.start()
        assert woken.acquire(timeout=60)  # what was missed meanwhile is looked for
        assert store.get(waiting.id) == waiting
    assert [event.kind for event in store.events(claim.job.id)] == ["segment"]
    assert store.checkpoints(claim.job.id) == {0: b"chunk"}
    assert store.finish(claim, 5.0)
    assert [job.state for job in store.newest()] == [JobState.QUEUED, JobState.DONE]
    store.close()


@pytest.mark.slow
def test_a_server_that_is_silent_or_holds_a_lock_is_given_up(postgres_server: PostgresServer, url: str) -> None:
    patient, store = PostgresJobStore(url), PostgresJobStore(url, answer_s=5.0)
    job = patient.add(TALK, 0.0)
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE autorag_whisper.jobs IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable, match="see what holds the database up"):
            store.get(job.id)
    with silenced(postgres_server), pytest.raises(StoreUnavailable):
        store.get(job.id)
    assert patient.get(job.id) == job
    patient.close()
    store.close()


@pytest.mark.slow
def test_connections_that_the_network_has_forgotten_are_replaced(postgres_server: PostgresServer, url: str) -> None:
    # Each of them was asked whether the server is there, for 20 s each, before a new one was made.
    wire = Wire(postgres_server.folder, url)
    store = PostgresJobStore(wire.url)
    job, start = store.add(TALK, 0.0), threading.Barrier(4)

    def get(_: int) -> object:
        with store._connections.using():
            start.wait(60)  # each has a connection of its own
        return store.get(job.id)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(get, range(4))) == [job] * 4
    wire.swallow()
    assert store.get(job.id) == job
    store.close()
    wire.close()


def test_what_was_committed_though_its_answer_was_lost_is_not_done_twice(
    postgres_server: PostgresServer, url: str
) -> None:
    wire = Wire(postgres_server.folder, url)
    store = PostgresJobStore(wire.url)

    def cut(call: Callable[[], object]) -> None:
        wire.cuts = True
        with pytest.raises(StoreUnavailable):
            call()
        assert not wire.cuts

    asked = JobRequest("/in", "in", idempotency_key="k")
    cut(lambda: store.add(asked, 0.0))
    job = store.add(asked, 0.0)
    assert store.newest() == [job]
    claim = store.claim(LEASE_S, 1.0)
    assert claim is not None
    assert store.keep(claim, [("segment", "1")])
    cut(lambda: store.keep(claim, [("segment", "2"), ("segment", "3")], [(0, b"x")], ["a note"]))
    assert store.keep(claim, [("segment", "2"), ("segment", "3"), ("segment", "4")], [(0, b"x")], ["a note"])
    assert [event.data for event in store.events(job.id)] == ["1", "2", "3", "4"]
    cut(lambda: store.finish(claim, 2.0, "r.json", 5))
    assert store.finish(claim, 2.0, "r.json", 5)
    cut(lambda: store.claim(LEASE_S, 3.0))  # nothing to claim, and nothing is
    second = store.add(TALK, 4.0)
    cut(lambda: store.claim(LEASE_S, 5.0))  # nobody knows that it has it
    assert store.claim(LEASE_S, 5.0) is None
    again = store.claim(LEASE_S, 6.0 + LEASE_S)
    assert again is not None
    assert again.job.id == second.id
    assert store.fail(again, "{}", 50.0, again_s=60.0)
    store.close()
    wire.close()


def test_whoever_waits_for_news_ends_at_once(url: str) -> None:
    store = PostgresJobStore(url)
    store.listen(lambda: None)
    store.close()
    store.close()
    assert not [t for t in threading.enumerate() if t.name == "autorag-whisper-jobs-heard" and t.is_alive()]
    with pytest.raises(StoreUnavailable, match="is ending"):
        store.get("x")
