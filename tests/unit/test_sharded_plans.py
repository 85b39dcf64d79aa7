"""Plans: what is found becomes rows, each once, in shards of equal work; a plan file is read as it was written."""

from __future__ import annotations

import io
import itertools
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.archive.sharded.cutting import Sizing, cut, estimated_s
from autorag_whisper.archive.sharded.listing import Candidate, Listing
from autorag_whisper.archive.sharded.plan_file import PlanFile, Share, write_plan
from autorag_whisper.archive.sharded.planning import PlanRequest, make_plan
from autorag_whisper.archive.sharded.rows import Head, Row, dumps, path_of, uri_of
from autorag_whisper.domain.archive_errors import InvalidList, InvalidPlan, NoSuchShard, NothingFound
from autorag_whisper.domain.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.archive.sharded.planning import NewPlan

BY_NAME = PlanRequest(Sizing(1.0, 10.0), "name", with_durations=False)
ENDINGS = [".jsonl", ".parquet"]


def planned(found: Sequence[Candidate], path: Path, request: PlanRequest = BY_NAME) -> tuple[NewPlan, PlanFile]:
    made = make_plan(found, request)
    write_plan(path, made.head, made.lines)
    return made, PlanFile(path)


def clips(count: int, seconds: float = 60.0) -> list[Candidate]:
    return [Candidate(f"/talks/{n}.wav", 1000 + n, seconds) for n in range(count)]


# ---------------------------------------------------------------- cutting


@given(st.lists(st.floats(0.01, 5_000), max_size=60), st.floats(1, 600))
def test_every_recording_is_in_one_shard_and_shards_are_as_equal_as_recordings_allow(
    costs: list[float], shard_s: float
) -> None:
    order, shards = cut(np.array(costs), shard_s)
    assert sorted(order.tolist()) == list(range(len(costs)))
    loads = defaultdict[int, list[float]](list)
    for index, shard in zip(order.tolist(), shards.tolist(), strict=True):
        loads[shard].append(costs[index])
    assert list(loads) == sorted(loads), "a plan stands in the order of its shards"
    assert all(each == sorted(each, reverse=True) for each in loads.values()), "the longest first"
    sums = [sum(each) for each in loads.values()]
    assert all(one >= other - 1e-6 for one, other in itertools.pairwise(sums)), "the dearest shard first"
    # Who got the last recording had the least before it.
    for each, load in zip(loads.values(), sums, strict=True):
        assert load - each[-1] <= min(sums) + 1e-6
    # No more shards than are needed, and none that is larger than needed by more than a recording.
    count = max(1, int(np.ceil(np.minimum(costs, shard_s).sum() / shard_s)))
    assert all(len(each) == 1 or sum(each) < 2 * shard_s + 1e-6 for each in loads.values())
    assert len(loads) <= count
    assert not costs or max(sums) <= sum(costs) / count + max(costs) + 1e-6


@pytest.mark.parametrize("lie", [1e7, 1e12, 1e300])
def test_a_recording_that_is_said_to_be_endless_changes_nothing_for_the_others(lie: float) -> None:
    # Of its 3e8 shards all but eleven would have been empty: the planner's memory went for them.
    honest = [30.0] * 20
    _, shards = cut(np.array([*honest, lie]), 60.0)
    _, without = cut(np.array(honest), 60.0)
    assert shards.max() == without.max() + 1
    assert (shards == 0).sum() == 1, "it is alone in the dearest"


def test_shards_have_one_to_ten_minutes() -> None:
    for minutes in (0.99, 10.01, float("nan")):
        with pytest.raises(InvalidOption, match="shard-minutes"):
            Sizing(minutes)
    for speed in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(InvalidOption, match="speed"):
            Sizing(5.0, speed)


def test_a_shard_is_what_a_device_does_in_the_minutes_that_were_asked_for(tmp_path: Path) -> None:
    request = PlanRequest(Sizing(shard_minutes=2.0, speed=5.0, each_s=0.0), "name", with_durations=False)
    made, plan = planned(clips(100, 60.0), tmp_path / "plan.jsonl", request)
    # 6000 s of audio at five times real time are 1200 s of work: ten shards of two minutes, ten recordings in each.
    assert made.head.shards == 10
    assert [len(rows) for _, rows in plan.shards()] == [10] * 10


def test_what_nobody_knows_the_length_of_is_guessed_by_its_size() -> None:
    assert estimated_s(640_000, ".WAV") == 10
    assert estimated_s(160_000, ".mp3") == 10
    assert estimated_s(None, ".mp3") > 0


# ---------------------------------------------------------------- files of plans


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_plan_is_read_as_it_was_written(tmp_path: Path, ending: str) -> None:
    found = [
        Candidate("/talks/Grüße 1.mp3", 5, 1.5),
        Candidate("s3://bucket/a b.wav", None, None, "etag"),
        Candidate("/x", 0, 0.0, id="given"),
        Candidate(uri_of(Path(os.fsdecode(b"/talks/\xff.wav"))), 7),
    ]
    made, plan = planned(found, tmp_path / f"plan{ending}")
    rows = {row.uri: row for row in plan.rows()}
    assert rows.keys() == {candidate.uri for candidate in found}
    assert plan.head == made.head
    assert rows["/x"] == Row("given", "/x", 0.0, 0)
    assert (rows["s3://bucket/a b.wav"].duration_s, rows["s3://bucket/a b.wav"].size_bytes) == (None, None)
    assert rows["/talks/Grüße 1.mp3"].duration_s == 1.5
    assert not list(tmp_path.glob(".autorag*")), "nothing is left beside it"


@given(st.binary(min_size=1, max_size=40).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b"..")))
def test_any_name_of_a_file_comes_back_from_its_place(name: bytes) -> None:
    path = Path(os.fsdecode(b"/talks/" + name))
    uri = uri_of(path)
    assert path_of(uri) == path
    assert Row("x", uri).uri.encode("utf-8"), "and can stand in every kind of plan"


@given(st.integers(1, 9), st.integers(1, 40))
def test_shares_are_a_partition(count: int, shards: int) -> None:
    owners = [
        [share.index for share in map(Share, range(count), [count] * count) if share.has(n)] for n in range(shards)
    ]
    assert all(len(each) == 1 for each in owners)
    sizes = [sum(owner == [index] for owner in owners) for index in range(count)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("text", ["4/4", "-1/4", "1", "1/", "/2", "a/b", "1/0", "1.5/2", ""])
def test_a_part_of_the_shards_that_there_is_not(text: str) -> None:
    with pytest.raises(NoSuchShard, match="I/N"):
        Share.parse(text)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_share_reads_its_shards_alone(tmp_path: Path, ending: str) -> None:
    _, plan = planned(clips(100), tmp_path / f"plan{ending}")
    assert plan.head.shards > 3
    parts = [list(plan.rows(Share(index, 3))) for index in range(3)]
    assert all({row.shard % 3 for row in rows} == {index} for index, rows in enumerate(parts))
    assert sorted(row.id for rows in parts for row in rows) == sorted(row.id for row in plan.rows())


HEAD = dumps(Head("ab12", 2, 1).facts())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no plan"),
        ("{}", "no plan"),
        ("nonsense", "no plan"),
        ("\x00\x01\x02", "no plan"),
        ('{"autorag_whisper_plan": 99}', "another version"),
        ('{"autorag_whisper_plan": 1}', "not whole"),
        ('{"autorag_whisper_plan": 1, "plan": "../x", "shards": 1, "rows": 1}', "no identity"),
        ('{"autorag_whisper_plan": 1, "plan": "ab", "shards": 0, "rows": 1}', "make no sense"),
        (HEAD + "\nnonsense\n", "line 2"),
        (HEAD + '\n{"shard":0,"id":"a","uri":"/a"}\n[]\n', "line 3"),
        (HEAD + '\n{"shard":0,"id":"","uri":"/a"}\n', "an id is"),
        (HEAD + '\n{"shard":0,"id":"a","uri":""}\n', "no place"),
        (HEAD + '\n{"shard":0,"id":"a"}\n', "'uri' is missing"),
        (HEAD + '\n{"shard":0,"id":"a","uri":7}\n', "no recording"),
        (HEAD + '\n{"shard":0,"id":"a","uri":"/a","duration_s":-1}\n', "a duration"),
        (HEAD + '\n{"shard":0,"id":"a","uri":"/a","duration_s":NaN}\n', "a duration"),
        (HEAD + '\n{"shard":0,"id":"a","uri":"/a","size_bytes":-1}\n', "a size"),
        (HEAD + '\n{"shard":-1,"id":"a","uri":"/a"}\n', "from 0"),
        (HEAD + '\n{"shard":2,"id":"a","uri":"/a"}\n', "order of their shards"),
        (HEAD + '\n{"shard":1,"id":"a","uri":"/a"}\n{"shard":0,"id":"b","uri":"/b"}\n', "order of their shards"),
        (HEAD + '\n{"shard":1,"id":"a","uri":"/a"}\n{"shard":1,"id":"a","uri":"/b"}\n', "shard 1 has 'a' twice"),
        ('{"autorag_whisper_plan": 1, "plan": "ab", "shards": 1e999, "rows": 1}', "not whole"),
    ],
)
def test_what_is_no_plan_says_what_is_wrong_and_where(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "plan.jsonl"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InvalidPlan, match=said):
        list(PlanFile(path).shards())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "plan.jsonl"),
        ('{"shard":0,"id":"","uri":"/a"}', "an id is"),
        ('{"shard":0,"id":"a","uri":"/"}', "twice"),
    ],
)
def test_a_shard_that_makes_no_sense_says_so_to_who_reads_it_alone(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "plan.jsonl"
    path.write_text(HEAD + '\n{"shard":0,"id":"a","uri":"/a"}\n' + line + "\n")
    with pytest.raises(InvalidPlan, match=said):
        PlanFile(path).rows_of(0)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_plan_that_is_not_there_or_another_kind_of_file(tmp_path: Path, ending: str) -> None:
    with pytest.raises(InvalidPlan, match="no such file"):
        PlanFile(tmp_path / f"none{ending}")
    other = tmp_path / f"other{ending}"
    other.write_bytes(b"RIFF....")
    with pytest.raises(InvalidPlan, match=r"no P|no plan"):
        PlanFile(other)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_plan_that_is_damaged_or_goes_while_it_is_read_is_named(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"plan{ending}"
    _, plan = planned(clips(5_000), path)
    if ending == ".parquet":  # its head is at its end
        data = bytearray(path.read_bytes())
        data[8 : len(data) // 2] = bytes(len(data) // 2 - 8)
        path.write_bytes(data)
        for read in (lambda: list(plan.shards()), lambda: plan.rows_of(0)):
            with pytest.raises(InvalidPlan, match="plan"):
                read()
    path.unlink()
    for read in (lambda: list(plan.shards()), lambda: plan.rows_of(0)):
        with pytest.raises(InvalidPlan, match="plan"):
            read()


# ---------------------------------------------------------------- planning


def test_the_same_content_is_recognised_once_and_all_its_places_are_known(tmp_path: Path) -> None:
    for name, text in (("a", "one"), ("b", "two"), ("c", "one"), ("d", "one")):
        (tmp_path / f"{name}.wav").write_text(text)
    listing = Listing([str(tmp_path)])
    made, plan = planned(list(listing.candidates()), tmp_path / "plan.jsonl", PlanRequest(with_durations=False))
    rows = {row.uri: row for row in plan.rows()}
    assert rows.keys() == {str(tmp_path / "a.wav"), str(tmp_path / "b.wav")}
    assert rows[str(tmp_path / "a.wav")].also == (str(tmp_path / "c.wav"), str(tmp_path / "d.wav"))
    assert (made.added, made.same) == (2, 2)


def test_a_file_that_cannot_be_read_is_planned_and_so_not_forgotten(tmp_path: Path) -> None:
    gone = Candidate(str(tmp_path / "gone.wav"), 3)
    made, plan = planned([gone], tmp_path / "plan.jsonl", PlanRequest())
    assert [row.uri for row in plan.rows()] == [gone.uri]
    assert not made.problems


def test_the_same_place_named_twice_is_one_recording(tmp_path: Path) -> None:
    made, plan = planned([*clips(3), *clips(3)], tmp_path / "plan.jsonl")
    assert (made.added, made.same, len(list(plan.rows()))) == (3, 0, 3)


def test_a_named_pipe_and_an_empty_file_are_planned_and_not_waited_for(tmp_path: Path) -> None:
    # Whoever opened the pipe for its digest waited for ever.
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "empty.wav").touch()
    _, plan = planned(list(Listing([str(tmp_path)]).candidates()), tmp_path / "plan.jsonl", PlanRequest())
    assert sorted(row.name for row in plan.rows()) == ["empty.wav", "pipe.wav"]


@pytest.mark.parametrize("identity", ["content", "name"])
def test_a_file_is_the_same_recording_in_a_folder_and_in_a_list(tmp_path: Path, identity: str) -> None:
    (tmp_path / "a.wav").write_text("one")
    (tmp_path / "list.jsonl").write_text('{"uri": "a.wav", "duration_s": 3}\n')
    listing = Listing([str(tmp_path)], [tmp_path / "list.jsonl"])
    request = PlanRequest(identity=identity, with_durations=False)
    made, _ = planned(list(listing.candidates()), tmp_path / "plan.jsonl", request)
    assert (made.added, made.same) == (1, 0)


def test_an_id_for_two_recordings_is_refused() -> None:
    with pytest.raises(InvalidList, match="'x' is also"):
        make_plan([Candidate("/a", id="x"), Candidate("/b", id="x")], BY_NAME)


def test_nothing_to_plan_says_so() -> None:
    with pytest.raises(NothingFound):
        make_plan([], BY_NAME)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_plan_that_is_extended_keeps_its_rows_shards_and_identity(tmp_path: Path, ending: str) -> None:
    _, old = planned(clips(30), tmp_path / f"old{ending}")
    made = make_plan(clips(45), BY_NAME, old)
    write_plan(tmp_path / f"new{ending}", made.head, made.lines)
    new = PlanFile(tmp_path / f"new{ending}")
    before, after = list(old.rows()), list(new.rows())
    assert after[: len(before)] == before
    assert {row.shard for row in after[30:]} == set(range(old.head.shards, new.head.shards))
    assert (new.head.plan, new.head.rows, made.added) == (old.head.plan, 45, 15)
    assert (made.known, made.same) == (30, 0)


def test_a_plan_has_the_same_identity_in_whatever_order_it_was_found() -> None:
    one, other = make_plan(clips(9), BY_NAME), make_plan(clips(9)[::-1], BY_NAME)
    assert one.head.plan == other.head.plan
    assert one.head.plan != make_plan(clips(8), BY_NAME).head.plan


# ---------------------------------------------------------------- lists


def test_lists_as_text_json_lines_and_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "list.txt").write_text("/abs/a.wav\n\n  rel/b.wav \ns3://bucket/c.wav\n")
    rows = [{"uri": "d.wav", "duration_s": 2, "id": 7}, {"uri": "/e.wav", "size_bytes": 9}]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.table({"uri": ["/f.wav"], "other": [1]}), tmp_path / "list.parquet")
    lists = [tmp_path / f"list{ending}" for ending in (".txt", ".jsonl", ".parquet")]
    assert list(Listing(lists=lists).candidates()) == [
        Candidate("/abs/a.wav"),
        Candidate(str(tmp_path / "rel/b.wav")),
        Candidate("s3://bucket/c.wav"),
        Candidate(str(tmp_path / "d.wav"), None, 2.0, id="7"),
        Candidate("/e.wav", 9),
        Candidate("/f.wav"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_is_read_as_windows_writes_it(tmp_path: Path, encoding: str, end: str) -> None:
    # The mark of the first bytes became a part of the first name, and that recording was not found.
    places = ["/talks/Grüße.mp3", "/talks/two.mp3"]
    for name, lines in (("l.txt", places), ("l.jsonl", [json.dumps({"uri": place}) for place in places])):
        (tmp_path / name).write_bytes("".join(line + end for line in lines).encode(encoding))
        assert [one.uri for one in Listing(lists=[tmp_path / name]).candidates()] == places


@pytest.mark.parametrize("text", ["/a.wav\nb.wav\n", '{"uri": "/a.wav"}\n{"uri": "b.wav"}'])
def test_a_list_on_standard_input(text: str) -> None:
    given = io.BufferedReader(io.BytesIO(text.encode()))
    listing = Listing(lists=[Path("-")], standard_input=given)
    assert [one.uri for one in listing.candidates()] == ["/a.wav", os.path.abspath("b.wav")]  # noqa: PTH100 - as it is named
    assert not given.closed
    with pytest.raises(InvalidList, match="closed"):
        list(Listing(lists=[Path("-")]).candidates())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.txt", "\xff\xfe/"),
        ("l.txt", "x" * (1 << 20)),
        ("l.jsonl", '{"uri": "/a", "size_bytes": 1e999}'),
        ("l.jsonl", "[" * 100_000),
        ("l.jsonl", "nonsense"),
        ("l.jsonl", "{}"),
        ("l.jsonl", "[1]"),
        ("l.jsonl", '{"uri": 3}'),
        ("l.jsonl", '{"uri": "/a", "duration_s": "x"}'),
        ("l.parquet", "nonsense"),
    ],
)
def test_a_list_that_makes_no_sense(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="latin-1")
    with pytest.raises(InvalidList, match="give text with a path"):
        list(Listing(lists=[tmp_path / name]).candidates())


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    for name in ("none.txt", "none.parquet"):
        with pytest.raises(InvalidList, match="no such file"):
            list(Listing(lists=[tmp_path / name]).candidates())
