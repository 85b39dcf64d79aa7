"""How long a store of jobs takes where 100,000 jobs wait: `python -m benchmarks.job_store [--jobs N] [--folder DIR]`.

Prints the 50th and 99th percentile of each call in milliseconds, and what the process takes of the memory. Every commit
is on the disk when it counts, so the disk's fsync is in every figure of a call that writes; it is measured alone, too.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from autorag_whisper.jobs.job import JobRequest, JobState, QueueLimits
from autorag_whisper.jobs.sqlite import SqliteJobStore

if TYPE_CHECKING:
    from collections.abc import Callable

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


def filled(store: SqliteJobStore, jobs: int) -> None:
    """Add jobs of a hundred clients with all priorities, some of them over."""
    database = store._file._database  # noqa: SLF001 - what it is open with is this benchmark's matter
    database.execute("PRAGMA synchronous = OFF")  # nobody measures that
    chance, options = random.Random(1), {"language": "en", "max_duration_s": 21_600.0}
    for n in range(jobs):
        request = JobRequest(
            f"/data/uploads/{n:032x}", f"talk {n}.mp3", "base", options, f"client {n % 100:02}", f"key {n}",
            chance.randint(-5, 5), 1_000_000,
        )  # fmt: skip
        store.add(request, float(n))
    database.execute("PRAGMA synchronous = FULL")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="on the disk that is measured; default: the system's temporary one")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=given.folder) as folder,
        closing(SqliteJobStore(Path(folder) / "jobs")) as store,
    ):
        began = time.perf_counter()
        filled(store, given.jobs)
        print(f"{given.jobs} jobs added in {time.perf_counter() - began:.1f} s, without waiting for the disk")
        calls, now = given.calls, float(given.jobs)
        with (Path(folder) / "synced").open("wb") as file:

            def sync() -> None:
                file.write(b"x" * 4096)
                file.flush()
                os.fsync(file.fileno())

            measured("write 4 KB and fsync", calls, sync)
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
        middle = store.newest(limit=given.jobs // 2)[-1].id
        measured("list 100", pages, store.newest)
        measured("list 1000", pages, lambda: store.newest(limit=1000))
        measured("list 100, deep", pages, lambda: store.newest(before=middle))
        measured("list 100 of a client", pages, lambda: store.newest("client 07"))
        measured("list 100, none failed", pages, lambda: store.newest(None, JobState.FAILED))
        measured("list 100 done of a client", pages, lambda: store.newest("client 07", JobState.DONE))
        measured("position of the last", pages, lambda: store.position(newest))
        measured("usage of all", pages, store.usage)
        measured("get", calls, lambda: store.get(middle))
        process = psutil.Process()
        print(f"resident memory {process.memory_info().rss / 1e6:.0f} MB, file {_size(Path(folder)) / 1e6:.0f} MB")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


if __name__ == "__main__":
    main()
