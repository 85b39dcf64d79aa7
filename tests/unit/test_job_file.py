"""What is the file's alone: it stays, one process has it, newer and foreign ones are refused by name."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.cli.job_store import open_store
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.job_errors import StoreUnavailable
from autorag_whisper.jobs import sqlite_file as module
from autorag_whisper.jobs.job import JobRequest, JobState
from autorag_whisper.jobs.sqlite import SqliteJobStore
from autorag_whisper.jobs.sqlite_schema import MIGRATIONS

if TYPE_CHECKING:
    from pathlib import Path

TALK = JobRequest("/in/talk.mp3", "talk.mp3")


def test_jobs_are_there_again_after_a_close(tmp_path: Path) -> None:
    with_job = SqliteJobStore(tmp_path / "jobs.sqlite3")
    job = with_job.add(TALK, 1.0)
    with_job.close()
    with_job.close()
    again = SqliteJobStore(tmp_path / "jobs.sqlite3")
    assert again.get(job.id) == job
    again.close()


def test_a_job_that_a_dead_process_had_is_taken_up_at_once(tmp_path: Path) -> None:
    store = SqliteJobStore(tmp_path / "jobs.sqlite3")
    job = store.add(TALK, 1.0)
    assert store.claim(1e9, 2.0) is not None
    store.close()
    again = SqliteJobStore(tmp_path / "jobs.sqlite3")
    claim = again.claim(1e9, 3.0)
    assert claim is not None
    assert (claim.job.id, claim.job.deaths) == (job.id, 1)
    again.close()


def test_a_second_process_is_told_that_another_has_it(tmp_path: Path) -> None:
    store = SqliteJobStore(tmp_path / "jobs.sqlite3")
    code = (
        "import sys; from pathlib import Path; from autorag_whisper.jobs.sqlite import SqliteJobStore\n"
        "SqliteJobStore(Path(sys.argv[1]))"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "jobs.sqlite3")]
    refused = subprocess.run(run, capture_output=True, text=True, check=False)
    assert "another process has it" in refused.stderr
    store.close()
    assert subprocess.run(run, capture_output=True, text=True, check=False).returncode == 0


def test_a_file_of_a_newer_version_and_one_that_is_none_are_refused_by_name(tmp_path: Path) -> None:
    newer = tmp_path / "newer.sqlite3"
    with sqlite3.connect(newer) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreUnavailable, match=r"newer\.sqlite3.*version 99"):
        SqliteJobStore(newer)
    (tmp_path / "text.sqlite3").write_text("no database " * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        SqliteJobStore(tmp_path / "text.sqlite3")


def test_a_folder_that_cannot_be_made_is_told_as_the_options_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InvalidOption, match=r"--data.*can be written"):
            open_store(folder, "")


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "file_system", lambda _: "nfs4")
    with pytest.raises(StoreUnavailable, match="network"):
        SqliteJobStore(tmp_path / "jobs.sqlite3")


def test_a_file_that_an_earlier_version_wrote_is_brought_up_to_date_with_all_that_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    with sqlite3.connect(path) as database:
        database.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1;")
        fields = "id, client, request, priority, state, created_s, ready_s, failures"
        row = f"INSERT INTO jobs ({fields}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        asked = '{"path": "/in/talk.mp3", "name": "talk.mp3", "client": "ann", "priority": 2}'
        rows = (
            ("waits", "ann", asked, 0, "queued", 1.0, 1.0, 0),
            ("urgent", "ann", asked, 2, "queued", 5.0, 5.0, 0),
            ("later", "ann", asked, 9, "queued", 0.0, 500.0, 1),
            ("had", "ann", asked, 0, "running", 0.0, 0.0, 0),
            ("over", "bob", asked, 0, "done", 0.0, 0.0, 0),
        )
        database.executemany(row, rows)
        database.execute("INSERT INTO chunks VALUES ('waits', 0, x'00')")
        database.execute("INSERT INTO events VALUES ('waits', 1, 'segment', '{}')")
    database.close()
    store = SqliteJobStore(path)
    assert [store.position(name) for name in ("urgent", "later", "waits")] == [0, 1, 2]
    assert [c.job.id for _ in range(3) if (c := store.claim(30.0, 10.0))] == ["urgent", "had", "waits"]
    assert store.claim(9.0, 11.0) is None
    assert (claim := store.claim(9.0, 600.0)) is not None  # what the others had is over as well
    assert claim.job.id == "urgent"
    assert (store.checkpoints("waits"), len(store.events("waits"))) == ({0: b"\0"}, 1)
    assert store.usage("ann").unfinished == 4
    done = store.get("over")
    assert done is not None
    assert (done.result, done.request.webhook, done.notes) == ("over.json", "", ())
    store.close()
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    database.close()


def test_a_full_disk_refuses_what_would_write_keeps_what_was_there_and_is_over_when_there_is_room(
    tmp_path: Path,
) -> None:
    store = SqliteJobStore(tmp_path / "jobs.sqlite3")
    job, large = store.add(TALK, 1.0), "x" * 4_000_000
    claim = store.claim(30.0, 2.0)
    assert claim is not None
    database = store._file._database
    database.execute(f"PRAGMA max_page_count = {database.execute('PRAGMA page_count').fetchone()[0] + 1}")
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="full"):
            store.keep(claim, [("small", "{}"), ("large", large)])
        assert store.events(job.id) == []
    assert store.get(job.id) == claim.job
    database.execute("PRAGMA max_page_count = 1000000")
    assert store.keep(claim, [("large", large)])
    assert [event.kind for event in store.events(job.id)] == ["large"]
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.get(job.id)


def test_a_process_that_is_killed_in_the_midst_of_its_writing_leaves_all_or_nothing_of_each_call(
    tmp_path: Path,
) -> None:
    code = """
import sys
from pathlib import Path
from autorag_whisper.jobs.job import JobRequest
from autorag_whisper.jobs.sqlite import SqliteJobStore
store = SqliteJobStore(Path(sys.argv[1]))
n = 0
while True:
    n += 1
    job = store.add(JobRequest("/in", str(n)), float(n))
    claim = store.claim(1e9, float(n))
    store.keep(claim, [("a", "1"), ("b", "2")], [(n, b"x")])
    print(n, flush=True)
    if n % 2:
        store.finish(claim, float(n))
"""
    path = tmp_path / "jobs.sqlite3"
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told = [process.stdout.readline() for _ in range(20)]
            process.kill()
            told += process.stdout.readlines()
        last = int([line for line in told if line.endswith("\n")][-1])
        store = SqliteJobStore(path)
        jobs = {int(job.request.name): job for job in store.newest(limit=10_000)}
        assert set(range(1, last + 1)) <= set(jobs)
        for number, job in jobs.items():
            kinds = [event.kind for event in store.events(job.id)]
            assert kinds in ([], ["a", "b"], ["a", "b", "done"])
            assert (kinds[-1:] == ["done"]) == (job.state is JobState.DONE)  # with the end of the job, or not at all
            if number <= last:
                assert kinds[:2] == ["a", "b"]
                assert number % 2 == 0 or number == last or job.state is JobState.DONE
        store.close()
        for name in (path, path.with_name("jobs.sqlite3-wal"), path.with_name("jobs.sqlite3-shm")):
            name.unlink(missing_ok=True)
