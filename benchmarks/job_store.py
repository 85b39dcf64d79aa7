"""How long a store takes where 100,000 jobs wait: `python -m benchmarks.job_store [--store postgres] [--jobs N]`.

Prints the 50th and 99th percentile of each call in milliseconds, and what the process takes of the memory. Every commit
is on the disk when it counts, so the disk's fsync is in every figure of a call that writes; it is measured alone, too.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
import uuid
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import psycopg

from autorag_whisper.jobs.job import Job, JobRequest, JobState, QueueLimits
from autorag_whisper.jobs.sqlite import SqliteJobStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autorag_whisper.jobs.store import JobStore

LEASE_S = 30.0
LIMITS = QueueLimits(queued=1_000_000, client_jobs=1_000_000, client_bytes=1 << 50, total_bytes=1 << 50)


def measured(name: str, calls: int, call: Callable[[], Any]) -> list[Any]:
    """Call it so often, and print how long it took."""
    found, took_ms = [], []
    for _ in range(calls):
        began = time.perf_counter()
        found.append(call())
        took_ms.append(1000 * (time.perf_counter() - began))
    took_ms.sort()
    p50, p99 = took_ms[len(took_ms) // 2], took_ms[int(0.99 * (len(took_ms) - 1))]
    print(
        f"{name:<28} {calls:>6} calls   p50 {p50:8.3f} ms   p99 {p99:8.3f} ms   most {took_ms[-1]:8.3f} ms", flush=True
    )
    return found


def requests(jobs: int) -> Iterator[JobRequest]:
    """Jobs of a hundred clients with all priorities."""
    chance, options = random.Random(1), {"language": "en", "max_duration_s": 21_600.0}
    for n in range(jobs):
        yield JobRequest(
            f"/data/uploads/{n:032x}", f"talk {n}.mp3", "base", options, f"client {n % 100:02}", f"key {n}",
            chance.randint(-5, 5), 1_000_000,
        )  # fmt: skip


class Filled(NamedTuple):
    """A store with jobs, and how many bytes it has on the disk."""

    store: JobStore
    size: Callable[[], int]


@contextmanager
def sqlite(folder: Path, jobs: int) -> Iterator[Filled]:
    """A file."""
    with closing(SqliteJobStore(folder / "jobs")) as store:
        database = store._file._database  # noqa: SLF001 - what it is open with is this benchmark's matter
        database.execute("PRAGMA synchronous = OFF")  # nobody measures that
        for n, request in enumerate(requests(jobs)):
            store.add(request, float(n))
        database.execute("PRAGMA synchronous = FULL")
        yield Filled(store, lambda: sum(path.stat().st_size for path in folder.iterdir() if path.is_file()))


@contextmanager
def postgres(folder: Path, jobs: int) -> Iterator[Filled]:
    """A server of its own with its cluster in the folder, where every commit is synced, as Debian's is."""
    from autorag_whisper.jobs.postgres import INSERTED, PostgresJobStore, inserted
    from benchmarks.postgres_server import PostgresServer

    folder.chmod(0o711)  # PostgreSQL does not run as root
    with closing(PostgresServer(within=folder)) as server, closing(PostgresJobStore(server.url())) as store:
        with psycopg.connect(server.url(), options="-csearch_path=autorag_whisper") as database:
            database.execute("ALTER TABLE jobs DISABLE TRIGGER tell")  # nobody listens
            with database.cursor().copy(f"COPY jobs ({', '.join(INSERTED)}) FROM STDIN") as rows:
                for n, request in enumerate(requests(jobs)):
                    job = Job(uuid.uuid4().hex, request, JobState.QUEUED, float(n), kept_bytes=request.media_bytes)
                    rows.write_row(inserted(job))
            database.execute("ALTER TABLE jobs ENABLE TRIGGER tell")

        def size() -> int:
            with psycopg.connect(server.url()) as database:
                found = database.execute("SELECT pg_database_size(current_database())").fetchone()
            return int(found[0]) if found else 0

        yield Filled(store, size)


STORES = {"sqlite": sqlite, "postgres": postgres}


def main() -> None:
    """Measure a store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=tuple(STORES), default="sqlite")
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="on the disk that is measured; default: the system's temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="js") as place:
        folder = Path(place)
        began = time.perf_counter()
        with STORES[given.store](folder, given.jobs) as (store, size):
            print(f"{given.jobs} jobs added in {time.perf_counter() - began:.1f} s, without waiting for the disk")
            with (folder / "synced").open("wb") as file:

                def sync() -> None:
                    file.write(b"x" * 4096)
                    file.flush()
                    os.fsync(file.fileno())

                measured("write 4 KB and fsync", given.calls, sync)
            measure(store, given.jobs, given.calls)
            used = psutil.Process().memory_info().rss
            print(f"resident memory {used / 1e6:.0f} MB, on the disk {size() / 1e6:.0f} MB")


def measure(store: JobStore, jobs: int, calls: int) -> None:
    """Each call of the store."""
    now = float(jobs)
    claims = measured("claim", calls, lambda: store.claim(LEASE_S, now))
    held = iter(claims)
    measured("renew", calls, lambda: store.renew(next(held), LEASE_S, now, (1.0, 60.0)))
    held = iter(claims)
    kept = [("segment", "x" * 500)] * 3, [(0, b"x" * 5000)]
    measured("keep 3 events, a chunk", calls, lambda: store.keep(next(held), *kept))
    held = iter(claims)
    measured("finish", calls, lambda: store.finish(next(held), now, "result.json", 100_000))
    request = JobRequest("/data/new", "new.mp3", client="client 07", media_bytes=1_000_000)
    measured("add, with limits", calls, lambda: store.add(request, now, LIMITS))
    pages = max(50, calls // 20)
    newest = store.newest(limit=1)[0].id
    middle = store.newest(limit=jobs // 2)[-1].id
    measured("list 100", pages, store.newest)
    measured("list 1000", pages, lambda: store.newest(limit=1000))
    measured("list 100, deep", pages, lambda: store.newest(before=middle))
    measured("list 100 of a client", pages, lambda: store.newest("client 07"))
    measured("list 100, none failed", pages, lambda: store.newest(None, JobState.FAILED))
    measured("list 100 done of a client", pages, lambda: store.newest("client 07", JobState.DONE))
    measured("position of the last", pages, lambda: store.position(newest))
    measured("usage of all", pages, store.usage)
    measured("get", calls, lambda: store.get(middle))


if __name__ == "__main__":
    main()
