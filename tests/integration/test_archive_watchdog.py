"""How it is told that nothing goes on on a Ray cluster. Without one, and without Ray."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.archive.request import BatchRequest
from autorag_whisper.archive.sharded.on_ray import PATIENCE_LOOKS, RayRequest, beat, beats_of, newest_of, watched
from autorag_whisper.domain.archive_errors import ClusterStuck

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Stream:
    """What actors say, as far as a test lets it come."""

    def __init__(self) -> None:
        self.let = threading.Event()

    def __iter__(self) -> Iterator[dict[str, int]]:
        yield {"shard": 0}
        assert self.let.wait(60)
        yield {"shard": 1}


@pytest.fixture
def asked(tmp_path: Path) -> RayRequest:
    (tmp_path / "parts" / "0000").mkdir(parents=True)
    return RayRequest(tmp_path / "plan.jsonl", tmp_path, BatchRequest((), None, "tiny.en"), tmp_path, patience_s=10.0)


class Folder:
    """Results that go on with every look, as long as `goes_on`."""

    def __init__(self) -> None:
        self.looks, self.goes_on = 0, True

    def newest(self, _folder: Path) -> tuple[int, int]:
        self.looks += self.goes_on
        return self.looks, 0


def test_the_watchdog_gives_up_where_neither_ray_nor_the_results_go_on(asked: RayRequest) -> None:
    stream, folder = Stream(), Folder()
    said = watched(lambda: iter(stream), asked, look_s=0.001, newest=folder.newest)
    assert next(said) == {"shard": 0}
    folder.goes_on = False
    with pytest.raises(ClusterStuck):
        next(said)
    stream.let.set()


def test_the_watchdog_waits_as_long_as_results_are_written(asked: RayRequest) -> None:
    stream, folder = Stream(), Folder()

    def newest(results: Path) -> tuple[int, int]:
        # Far more looks than its patience has, each of which finds something new; then Ray goes on, too.
        if folder.looks == 2 * PATIENCE_LOOKS:
            stream.let.set()
        return folder.newest(results)

    said = watched(lambda: iter(stream), asked, look_s=0.001, newest=newest)
    assert [one["shard"] for one in said] == [0, 1]
    assert folder.looks >= 2 * PATIENCE_LOOKS


def test_what_ray_raises_is_raised_where_results_are_taken(asked: RayRequest) -> None:
    def begin() -> Iterator[dict[str, int]]:
        yield {"shard": 0}
        raise ConnectionError("lost")

    said = watched(begin, asked, newest=Folder().newest)
    assert next(said) == {"shard": 0}
    with pytest.raises(ConnectionError):
        next(said)


@pytest.mark.parametrize("what", ["a part", "a sign of life"])
def test_progress_is_seen_in_the_folder(asked: RayRequest, what: str) -> None:
    results = asked.results
    for place in (results / "parts" / "0000", *beats_of(results)):
        os.utime(place, (1, 1))
    before = newest_of(results)
    assert newest_of(results) == before
    if what == "a part":
        (results / "parts" / "0000" / "0000001.ab.jsonl.gz").write_bytes(b"1")
    else:
        beat(results, "host:1")
    assert newest_of(results) != before
    if what == "a sign of life":
        [place] = beats_of(results)
        os.utime(place, (1, 1))
        before = newest_of(results)
        beat(results, "host:1")
        assert newest_of(results) != before, "again"
