"""Files of results: a part has results of some recordings of one shard, is written once and never changed.

A part is gzip of JSON lines. Its first line, a gzip member of its own, lists the recordings with what became of each,
so that whoever asks what is done reads no more than that. Then comes a line for each recording. A part is called after
a digest of what it holds. Two parts may hold the same recording, `best` says which counts.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autorag_whisper.archive.outputs import write_together
from autorag_whisper.archive.sharded.rows import dumps
from autorag_whisper.domain.archive_errors import ResultsDamaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

MARK, VERSION = "autorag_whisper_results", 1
SUFFIX = ".jsonl.gz"
DONE, FAILED = "done", "failed"
_GZIP_LEVEL = 1  # text packs to a sixth; a better level takes more time than it saves
_HEAD_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of a recording: `error` is the failure's type, "" where it is done; in which `attempt`."""

    id: str
    error: str = ""
    attempt: int = 1

    @property
    def is_done(self) -> bool:
        """Whether there is a transcript."""
        return not self.error

    def is_settled(self, attempt: int) -> bool:
        """Whether a run of a plan's `attempt` has nothing to do here."""
        return self.is_done or self.attempt >= attempt

    @property
    def rank(self) -> tuple[bool, int]:
        """Of several entries for a recording the one with the highest rank counts: a transcript, then the latest."""
        return self.is_done, self.attempt


def entry_of(record: Mapping[str, Any]) -> Entry:
    """The entry of a result."""
    error = record.get("error")
    return Entry(record["id"], error["type"] if error else "", record["attempt"])


def best(records: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """id -> the result that counts. Of equal ones the first."""
    found: dict[str, Mapping[str, Any]] = {}
    for record in records:
        known = found.get(record["id"])
        if known is None or entry_of(record).rank > entry_of(known).rank:
            found[record["id"]] = record
    return found


def write_part(folder: Path, shard: int, records: Sequence[Mapping[str, Any]]) -> Path:
    """Write a part into `folder`, which must be there, and return it. It is on the disk then, whole.

    Raises:
        OSError: it cannot be written.
    """
    lines = [dumps(record) for record in records]
    entries = [[entry.id, entry.error, entry.attempt] for entry in map(entry_of, records)]
    head = dumps({MARK: VERSION, "shard": shard, "files": entries}).encode() + b"\n"
    body = "".join(line + "\n" for line in lines).encode()
    digest = hashlib.sha256(head + body).hexdigest()[:16]
    path = folder / f"{shard:07d}.{digest}{SUFFIX}"
    write_together({path: b"".join(gzip.compress(data, _GZIP_LEVEL, mtime=0) for data in (head, body))})
    return path


def read_entries(path: Path) -> list[Entry]:
    """What a part has, without reading the results.

    Raises:
        ResultsDamaged: it is not as it was written.
        FileNotFoundError: it has gone into another part meanwhile.
    """
    with _read(path) as file:
        return _entries(file.readline(_HEAD_BYTES))


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The results in a part. Raises as `read_entries`."""
    with _read(path) as file:
        wanted = [entry.id for entry in _entries(file.readline(_HEAD_BYTES))]
        count = 0
        for line in file:
            record = json.loads(line)
            if count >= len(wanted) or record["id"] != wanted[count]:
                raise ValueError("its lines are not what its head says")
            count += 1
            yield record
        if count != len(wanted):
            raise ValueError("lines are missing")


@contextlib.contextmanager
def _read(path: Path) -> Iterator[gzip.GzipFile]:
    try:
        with gzip.open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, zlib.error) as error:
        raise ResultsDamaged(str(path), str(error) or type(error).__name__) from error


def _entries(line: bytes) -> list[Entry]:
    head = json.loads(line)
    if head[MARK] != VERSION:
        raise ValueError(f"it is of version {head[MARK]!r}, and this is read by another version")
    return [Entry(who, error, attempt) for who, error, attempt in head["files"]]
