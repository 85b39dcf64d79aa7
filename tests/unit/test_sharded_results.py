"""Results of shards: what is done is what they say, whoever wrote them, in whatever order, how often."""

from __future__ import annotations

import contextlib
import gzip
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.archive.outputs import TEMPORARY
from autorag_whisper.archive.sharded.parts import best, entry_of, read_entries, read_records, write_part
from autorag_whisper.archive.sharded.records import record_of, transcript_of
from autorag_whisper.archive.sharded.results import Results, RunFacts
from autorag_whisper.archive.sharded.rows import Row
from autorag_whisper.domain.archive_errors import (
    MediaUnreachable,
    OutputFolderUnwritable,
    ResultsDamaged,
    ResultsNotFound,
    ResultsOfAnotherPlan,
)
from autorag_whisper.domain.errors import MediaDamaged
from cli_world import transcript_of as made_transcript

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

FACTS = RunFacts("ab12", "base", "0123456789abcdef", {})


def record(who: str, *, attempt: int = 1, error: bool = False, shard: int = 0) -> dict[str, Any]:
    row = Row(who, f"/talks/{who}.wav", shard=shard)
    result = MediaDamaged(row.name) if error else made_transcript(row.name, f"words of {who}")
    return record_of(row, attempt, result)


def rows(count: int) -> list[Row]:
    return [Row(str(n), f"/{n}.wav") for n in range(count)]


def ids(left: Sequence[Row]) -> list[str]:
    return [row.id for row in left]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results.begin(tmp_path, FACTS)


def test_a_result_comes_back_whole() -> None:
    row = Row("x", "/talks/talk.wav", also=("/copy.wav",))
    transcript = made_transcript("talk.wav", "hello there")
    kept = record_of(row, 2, transcript)
    assert transcript_of(kept) == transcript
    assert (kept["id"], kept["uri"], kept["also"], kept["attempt"]) == ("x", "/talks/talk.wav", ["/copy.wav"], 2)


def test_a_failure_is_a_result_with_its_type_and_what_to_do() -> None:
    row = Row("x", "/talk.wav")
    assert record_of(row, 1, MediaDamaged("talk.wav"))["error"] == {
        "type": "MediaDamaged",
        "message": "talk.wav: damaged, no audio could be decoded",
        "remedy": "get an undamaged copy",
        "may_succeed_later": False,
    }
    assert record_of(row, 1, MediaUnreachable("talk.wav", "timeout"))["error"]["may_succeed_later"]


def test_the_folder_carries_the_model_and_the_digest(tmp_path: Path) -> None:
    assert Results.begin(tmp_path, FACTS).folder.name == "base-0123456789ab"
    odd = RunFacts("ab12", "../owner/My model", "0" * 64, {})
    folder = Results.begin(tmp_path, odd).folder
    assert folder.parent == tmp_path
    assert folder.name == "owner-My-model-000000000000"


def test_a_folder_has_results_of_one_plan(tmp_path: Path) -> None:
    Results.begin(tmp_path, FACTS)
    with pytest.raises(ResultsOfAnotherPlan):
        Results.begin(tmp_path, RunFacts("cd34", FACTS.model, FACTS.digest, {}))
    with pytest.raises(ResultsOfAnotherPlan):
        Results.find(tmp_path, "cd34")


def test_the_results_of_a_plan_are_found_where_run_was_told_and_in_their_own_folder(tmp_path: Path) -> None:
    results = Results.begin(tmp_path, FACTS)
    assert Results.find(tmp_path, "ab12").folder == results.folder
    assert Results.find(results.folder, "ab12").folder == results.folder
    Results.begin(tmp_path, RunFacts("ab12", "tiny", "f" * 64, {}))
    with pytest.raises(ResultsNotFound, match=r"base-0123456789ab, tiny-ffffffffffff"):
        Results.find(tmp_path, "ab12")
    with pytest.raises(ResultsNotFound, match="no results"):
        Results.find(tmp_path / "nothing", "ab12")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFolderUnwritable):
        Results.begin(tmp_path / "file", FACTS)


def test_what_is_left_is_what_has_no_result(results: Results) -> None:
    results.add(0, [record("1"), record("3", error=True)])
    assert ids(results.left(0, rows(5), attempt=1)) == ["0", "2", "4"]
    # A later attempt does again what failed, and nothing that is done.
    assert ids(results.left(0, rows(5), attempt=2)) == ["0", "2", "3", "4"]
    results.add(0, [record("3", attempt=2, error=True)])
    assert ids(results.left(0, rows(5), attempt=2)) == ["0", "2", "4"]


def test_a_transcript_counts_before_a_failure_and_the_latest_failure_before_an_earlier_one() -> None:
    for several in ([record("a", attempt=3, error=True), record("a")], [record("a"), record("a", error=True)]):
        assert "result" in best(several)["a"]
    assert best([record("a", error=True), record("a", attempt=2, error=True)])["a"]["attempt"] == 2


def test_another_process_sees_what_was_kept_when_it_looks_anew(results: Results) -> None:
    other = Results(results.folder)
    assert len(other.left(7, rows(1), 1)) == 1
    results.add(7, [record("0", shard=7)])
    assert other.left(7, rows(1), 1, anew=True) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3), st.booleans()), max_size=25), st.randoms())
def test_whoever_writes_and_joins_in_whatever_order_nothing_is_lost(
    made: list[tuple[int, int, bool]], chance: random.Random
) -> None:
    records = [record(str(who), attempt=attempt, error=error) for who, attempt, error in made]
    with TemporaryDirectory() as folder:
        processes = [Results.begin(Path(folder), FACTS) for _ in range(3)]
        waiting = list(records)
        while waiting:
            process = chance.choice(processes)
            count = chance.randint(1, 4)
            some, waiting = waiting[:count], waiting[count:]
            process.add(0, some)
            if chance.random() < 0.5:
                chance.choice(processes).join(0)
        found = processes[0].records(0)
        wanted = best(records)
        assert found.keys() == wanted.keys()
        assert {who: entry_of(one) for who, one in found.items()} == {who: entry_of(one) for who, one in wanted.items()}
        assert processes[1].entries(0, anew=True) == {who: entry_of(one) for who, one in wanted.items()}
        processes[2].join(0)
        assert processes[0].records(0) == found
        assert len(list(Path(folder).rglob("*.gz"))) <= 1


def test_a_part_that_goes_while_it_is_read_is_looked_for_anew(results: Results) -> None:
    results.add(0, [record("0")])
    reader = Results(results.folder)
    assert reader.left(0, rows(2), 1) == rows(2)[1:]
    results.add(0, [record("1")])
    results.join(0)  # the part that `reader` has listed is gone
    assert reader.left(0, rows(2), 1) == []


@pytest.mark.parametrize("read", [Results.entries, Results.records], ids=["entries", "records"])
def test_parts_that_go_again_and_again_while_they_are_read_are_looked_for_anew(
    results: Results, monkeypatch: pytest.MonkeyPatch, read: Callable[[Results, int], Mapping[str, Any]]
) -> None:
    # With more than two processes at one shard a second part went, and FileNotFoundError ended the run.
    listed, other, count = Results._parts, Results(results.folder), 3
    results.add(0, [record("0")])

    def parts(self: Results, shard: int, *, anew: bool = False) -> list[Path]:
        nonlocal count
        found = listed(self, shard, anew=anew)
        if self is results and count:
            count -= 1
            other.add(0, [record(f"new{count}")])
            other.join(0)
        return found

    monkeypatch.setattr(Results, "_parts", parts)
    assert read(results, 0).keys() == {"0", "new0", "new1", "new2"}


def test_of_two_processes_that_begin_with_two_plans_at_once_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both found no results there, and the plan of the later one stood above the results of both.
    read = RunFacts.read
    other = RunFacts("cd34", FACTS.model, FACTS.digest, {})

    def at_the_same_time(folder: Path) -> RunFacts:
        monkeypatch.undo()
        with contextlib.suppress(FileNotFoundError):
            return read(folder)
        Results.begin(tmp_path, other)
        raise FileNotFoundError

    monkeypatch.setattr(RunFacts, "read", at_the_same_time)
    with pytest.raises(ResultsOfAnotherPlan):
        Results.begin(tmp_path, FACTS)
    assert Results.find(tmp_path, "cd34").folder.is_dir()


def test_what_killed_processes_left_half_written_is_removed_when_it_is_old(results: Results) -> None:
    results.add(0, [record("0")])
    folder = next(results.folder.glob("parts/*"))
    old, new = folder / TEMPORARY.format("0a"), folder / TEMPORARY.format("0b")
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1.0, 1.0))
    results.add(0, [record("1")])
    results.join(0)
    assert not old.exists()
    assert new.exists(), "somebody is at it"
    assert results.left(0, rows(2), 1, anew=True) == []


def damages(data: bytes) -> Mapping[str, bytes]:
    return {
        "empty": b"",
        "cut": data[:-9],
        "head alone": data[: data.index(b"\x1f\x8b", 2)],
        "not gzip": b"nonsense",
        "turned": data[:-20] + bytes(byte ^ 0xFF for byte in data[-20:]),
        "another version": gzip.compress(b'{"autorag_whisper_results":99,"files":[]}\n'),
        "no head": gzip.compress(b"[]\n"),
    }


@pytest.mark.parametrize("kind", damages(b"\x1f\x8b\x1f\x8b"))
def test_a_damaged_part_is_named_and_nothing_is_made_of_it(tmp_path: Path, kind: str) -> None:
    path = write_part(tmp_path, 0, [record("a"), record("b")])
    path.write_bytes(damages(path.read_bytes())[kind])
    with pytest.raises(ResultsDamaged, match=path.name):
        list(read_records(path))


def test_what_is_done_is_read_from_the_first_line_alone(tmp_path: Path) -> None:
    path = write_part(tmp_path, 0, [record("a"), record("b", error=True)])
    entries = read_entries(path)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x1f\x8b", 2)])
    assert read_entries(path) == entries
    assert [(entry.id, entry.error) for entry in entries] == [("a", ""), ("b", "MediaDamaged")]


def test_the_same_results_make_the_same_part(tmp_path: Path) -> None:
    assert write_part(tmp_path, 0, [record("a")]) == write_part(tmp_path, 0, [record("a")])
    assert len(list(tmp_path.iterdir())) == 1
