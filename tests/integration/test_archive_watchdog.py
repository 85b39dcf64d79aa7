"""How it is told that nothing goes on on a Ray cluster, and what is done then. Without one, and without Ray."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from autorag_whisper.archive.request import BatchRequest
from autorag_whisper.archive.sharded import on_ray
from autorag_whisper.archive.sharded.heartbeats import AT_WORK, BEAT_S, FOLDER, GETS_ON, Heartbeats, Seen, look
from autorag_whisper.archive.sharded.on_ray import RayRequest, run_on_ray
from autorag_whisper.archive.sharded.watchdog import PATIENCE_LOOKS, SILENT_S, ActorsSilent, Patience, Watched
from autorag_whisper.domain.archive_errors import ClusterFailed, ClusterSilent, ClusterStuck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path


SILENT_LOOKS = 24


class Stream:
    """What actors say, as far as a test lets it come."""

    def __init__(self) -> None:
        self.let, self.is_over = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[dict[str, int]]:
        yield {"shard": 0}
        assert self.let.wait(60)
        yield {"shard": 1}
        self.is_over.set()

    def go_on(self) -> None:
        """Let the rest come, and wait until it has."""
        self.let.set()
        assert self.is_over.wait(60)


class Folder:
    """Results that get on with every look, and processes at work, as long as a test says so."""

    def __init__(self, *, gets_on: bool = True, at_work: bool = True) -> None:
        self.gets_on, self.at_work, self.looks = gets_on, at_work, 0
        self._done = self._worked = 0

    def look(self, _results: Path) -> Seen:
        self.looks += 1
        self._done += self.gets_on
        self._worked += self.at_work
        return Seen((self._done, 0), (self._worked, 0))

    def patience(self, results: Path) -> Patience:
        return Patience(results, 0.001, SILENT_LOOKS, look=self.look)


def test_the_watchdog_gives_up_where_actors_are_at_work_and_nothing_gets_on(tmp_path: Path) -> None:
    stream, folder = Stream(), Folder()
    said = iter(Watched(lambda: iter(stream), folder.patience(tmp_path)))
    assert next(said) == {"shard": 0}
    folder.gets_on = False
    with pytest.raises(ClusterStuck):
        next(said)
    stream.let.set()


def test_actors_that_were_at_work_and_give_no_sign_of_life_are_told_sooner(tmp_path: Path) -> None:
    stream, folder = Stream(), Folder()
    said = iter(Watched(lambda: iter(stream), folder.patience(tmp_path)))
    assert next(said) == {"shard": 0}
    folder.gets_on = folder.at_work = False
    before = folder.looks
    with pytest.raises(ActorsSilent):
        next(said)
    assert SILENT_LOOKS <= folder.looks - before <= SILENT_LOOKS + 2
    stream.let.set()


def test_a_cluster_that_has_no_machine_yet_is_waited_for(tmp_path: Path) -> None:
    """Nobody was at work: a cluster that grows brings a machine in its own time."""
    let = threading.Event()

    def begin() -> Iterator[dict[str, int]]:
        assert let.wait(60)
        yield {"shard": 0}

    folder = Folder(gets_on=False, at_work=False)
    with pytest.raises(ClusterStuck):
        next(iter(Watched(begin, folder.patience(tmp_path))))
    assert folder.looks > PATIENCE_LOOKS
    let.set()


@pytest.mark.parametrize("sign", ["results", "at work"])
def test_the_watchdog_waits_as_long_as_there_are_signs(tmp_path: Path, sign: str) -> None:
    stream = Stream()
    folder = Folder(gets_on=sign == "results", at_work=sign == "at work")
    looks = 2 * PATIENCE_LOOKS if sign == "results" else PATIENCE_LOOKS // 2  # many times more than it bears silence

    def looked(results: Path) -> Seen:
        if folder.looks == looks:
            stream.go_on()
        return folder.look(results)

    said = Watched(lambda: iter(stream), replace(folder.patience(tmp_path), look=looked))
    assert [one["shard"] for one in said] == [0, 1]
    assert folder.looks >= looks


def test_a_disk_that_does_not_answer_for_a_while_ends_no_run(tmp_path: Path) -> None:
    stream, folder = Stream(), Folder(at_work=False)

    def looked(results: Path) -> Seen:
        seen = folder.look(results)
        if folder.looks < 4 * SILENT_LOOKS:
            raise OSError(5, "Input/output error")
        stream.go_on()
        return seen

    said = Watched(lambda: iter(stream), replace(folder.patience(tmp_path), look=looked))
    assert [one["shard"] for one in said] == [0, 1]


def test_a_disk_that_does_not_answer_any_more_is_told(tmp_path: Path) -> None:
    def looked(_results: Path) -> Seen:
        raise OSError(116, "Stale file handle")

    stream, folder = Stream(), Folder()
    said = iter(Watched(lambda: iter(stream), replace(folder.patience(tmp_path), look=looked)))
    assert next(said) == {"shard": 0}
    with pytest.raises(OSError, match="Stale file handle"):
        next(said)
    stream.let.set()


def test_what_ray_raises_is_raised_where_results_are_taken(tmp_path: Path) -> None:
    def begin() -> Iterator[dict[str, int]]:
        yield {"shard": 0}
        raise ConnectionError("lost")

    said = iter(Watched(begin, Folder().patience(tmp_path)))
    assert next(said) == {"shard": 0}
    with pytest.raises(ConnectionError):
        next(said)


# ---------------------------------------------------------------- signs of life


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "parts" / "0000").mkdir(parents=True)
    os.utime(tmp_path / "parts" / "0000", (1, 1))
    return tmp_path


def marks(results: Path, what: str) -> list[Path]:
    return list((results / FOLDER).glob(f"*{what}"))


def test_a_part_is_seen_in_the_folder(results: Path) -> None:
    before = look(results)
    assert look(results) == before
    (results / "parts" / "0000" / "0000001.ab.jsonl.gz").write_bytes(b"1")
    now = look(results)
    assert (now.done != before.done, now.at_work != before.at_work) == (True, False)


def test_a_recording_that_gets_on_is_seen_again_and_again(results: Path) -> None:
    now_s = 100.0
    signs, before = Heartbeats(results, "host:1", lambda: now_s), look(results)
    signs.gets_on()
    first = look(results)
    assert (first.done != before.done, first.at_work == before.at_work) == (True, True)
    [mark] = marks(results, GETS_ON)
    os.utime(mark, (1, 1))
    signs.gets_on()
    assert mark.stat().st_mtime == 1, "not at every chunk"
    now_s += BEAT_S
    signs.gets_on()
    assert mark.stat().st_mtime != 1


def test_a_shard_in_work_is_told_until_it_is_over(results: Path) -> None:
    signs, before = Heartbeats(results, "host:1"), look(results)

    def touched() -> bool:
        return all(mark.stat().st_mtime != 1 for mark in marks(results, AT_WORK))

    with signs.at_work(every_s=0.01):
        for _ in range(3):
            while not (marks(results, AT_WORK) and touched()):
                threading.Event().wait(0.001)
            [mark] = marks(results, AT_WORK)
            os.utime(mark, (1, 1))
    now = look(results)
    assert (now.done == before.done, now.at_work != before.at_work) == (True, True)
    for thread in threading.enumerate():
        if thread.name == "at-work":
            thread.join(60)
            assert not thread.is_alive(), "it ends with the shard"


def test_a_full_disk_is_not_told_by_signs_of_life(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    signs = Heartbeats(tmp_path / "file", "host:1")
    signs.gets_on()
    with signs.at_work():
        pass


# ---------------------------------------------------------------- a run that is begun again


class Cluster:
    """Ray's part of a run: what each of its streams says before it says nothing more, or ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *streams: Sequence[dict[str, Any] | str]) -> None:
        self.streams, self.asked, self.ended = list(streams), list[list[int]](), 0
        self.let, self.has_said = threading.Event(), threading.Event()
        self.readers = list[threading.Thread]()
        self.patient = list[int]()  # looks without a sign of life that each stream is given
        self.looks_at_work = 0  # of each stream; then its actors give no sign of life
        self.folder, self.gets_on = Folder(gets_on=False), False
        none = type("RayError", (Exception,), {})
        ray = SimpleNamespace(exceptions=SimpleNamespace(RayError=none), shutdown=self.end)
        monkeypatch.setattr(on_ray, "import_ray", lambda *_, **__: ray)
        monkeypatch.setattr(on_ray, "connect", self.connect)
        monkeypatch.setattr(on_ray, "counted", lambda _request, said, _before: on_ray.Tally(done=said["done"]))
        monkeypatch.setattr(on_ray, "_stream", self.stream)
        monkeypatch.setattr(on_ray, "Watched", self.watched)

    def connect(self, *_: object) -> None:
        assert all(not reader.is_alive() for reader in self.readers), "what read of the one before has ended"
        self.let.clear()
        self.has_said.clear()
        self.folder.looks = 0

    def end(self) -> None:
        """A stream that is left ends when its cluster does."""
        self.ended += 1
        self.let.set()

    def watched(self, begin: Callable[[], Iterator[Mapping[str, Any]]], patience: Patience) -> Watched:
        self.patient.append(patience.silent)
        return Watched(begin, replace(patience, look_s=0.001, look=self.look))

    def look(self, results: Path) -> Seen:
        assert self.has_said.wait(60), "what a stream has to say comes before anybody loses patience"
        self.folder.at_work = self.folder.looks < self.looks_at_work
        self.folder.gets_on = self.gets_on and self.folder.at_work
        return self.folder.look(results)

    def stream(self, _ray: Any, _request: RayRequest, shards: list[int]) -> Iterator[dict[str, Any]]:
        self.asked.append(shards)
        self.readers.append(threading.current_thread())
        for said in self.streams.pop(0) if self.streams else ["silent"]:
            if isinstance(said, str):
                self.has_said.set()
                assert self.let.wait(60)
                return
            yield {"elsewhere": 0, "done": 1} | said
        self.has_said.set()


SILENT = "silent"


def run(cluster: Cluster, tmp_path: Path, shards: int, patience_s: float = 1800.0) -> tuple[on_ray.Tally, list[int]]:
    told: list[int] = []
    batch = BatchRequest((), None, "tiny.en")
    request = RayRequest(tmp_path / "plan.jsonl", tmp_path, batch, tmp_path, patience_s=patience_s)
    tally = run_on_ray(request, dict.fromkeys(range(shards), frozenset()), lambda said: told.append(said["shard"]))
    assert cluster.ended == len(cluster.asked), "no cluster is left behind"
    return tally, told


def test_what_a_cluster_loses_is_begun_again_and_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cluster = Cluster(monkeypatch, [{"shard": 1}, SILENT], [{"shard": 0}, SILENT], [{"shard": 2}])
    tally, told = run(cluster, tmp_path, 3)
    assert cluster.asked == [[0, 1, 2], [0, 2], [2]]
    assert (told, tally.done, tally.elsewhere) == ([1, 0, 2], 3, 0)


def test_a_stream_that_has_said_all_and_does_not_end_is_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster(monkeypatch, [{"shard": 1}, {"shard": 0}, SILENT])
    tally, told = run(cluster, tmp_path, 2)
    assert (len(cluster.asked), told, tally.done) == (1, [1, 0], 2)
    assert not caplog.records


def test_a_cluster_that_goes_silent_each_time_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each time it is waited for twice as long: what gave no sign may have been slow to begin."""
    cluster = Cluster(monkeypatch, [{"shard": 1}, SILENT])
    cluster.looks_at_work = 3
    with pytest.raises(ClusterSilent, match="went silent 5 times"):
        run(cluster, tmp_path, 2)
    assert cluster.asked == [[0, 1], [0], [0], [0], [0]]
    assert cluster.patient == [24, 24, 48, 96, 192], "it had done a shard before the first silence"


def test_a_cluster_that_gets_something_done_each_time_is_begun_again_as_often_as_it_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Shards are said at the end of a block alone; results are seen before that."""
    cluster = Cluster(monkeypatch, *[[SILENT]] * 9, [{"shard": 0}])
    cluster.looks_at_work, cluster.gets_on = 3, True
    tally, _ = run(cluster, tmp_path, 1)
    assert (len(cluster.asked), set(cluster.patient), tally.done) == (10, {24}, 1)


def test_the_wait_for_signs_of_life_is_the_same_however_long_a_run_may_be_stuck(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A sign comes every ten seconds: a user of little patience must not end actors that are at work."""
    for patience_s in (60.0, 300.0, 36_000.0):
        cluster = Cluster(monkeypatch, [{"shard": 0}])
        run(cluster, tmp_path, 1, patience_s)
        assert cluster.patient[0] * patience_s / PATIENCE_LOOKS >= SILENT_S >= 6 * BEAT_S


def test_a_shard_that_is_said_twice_counts_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cluster = Cluster(monkeypatch, [{"shard": 1}, {"shard": 1}, {"shard": 0}])
    tally, told = run(cluster, tmp_path, 2)
    assert (told, tally.done) == ([1, 0], 2)


def test_a_cluster_that_ends_without_having_done_all_has_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ClusterFailed, match="shards left: 1"):
        run(Cluster(monkeypatch, [{"shard": 1}]), tmp_path, 2)


def test_shards_of_who_was_given_up_are_asked_for_once_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = {"shard": 0, "elsewhere": 1, "done": 0}
    cluster = Cluster(monkeypatch, [{"shard": 1}, SILENT], [elsewhere], [{"shard": 0}])
    tally, told = run(cluster, tmp_path, 2)
    assert (cluster.asked, told, tally.elsewhere) == ([[0, 1], [0], [0]], [1, 0], 0)


@pytest.mark.parametrize(
    ("error", "told"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(5, "Input/output error"), ClusterFailed)],
    ids=["an interruption", "a disk"],
)
def test_a_caller_that_fails_leaves_no_cluster_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: BaseException, told: type[BaseException]
) -> None:
    cluster = Cluster(monkeypatch, [{"shard": 1}, SILENT])

    def fail(_said: Mapping[str, Any]) -> None:
        raise error

    request = RayRequest(tmp_path / "plan.jsonl", tmp_path, BatchRequest((), None, "tiny.en"), tmp_path)
    with pytest.raises(told) as raised:
        run_on_ray(request, dict.fromkeys(range(2), frozenset()), fail)
    assert cluster.ended == 1, f"though {raised.value!r} is kept, and with it all that it went through"


def test_shards_that_others_have_are_told_and_left_to_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cluster = Cluster(monkeypatch, [{"shard": 1}, {"shard": 0, "elsewhere": 1, "done": 0}])
    tally, told = run(cluster, tmp_path, 2)
    assert (cluster.asked, told, tally.elsewhere) == ([[0, 1]], [1], 1)
