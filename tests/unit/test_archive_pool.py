"""How many engines go onto a Ray cluster, and how shards are cut for them. Pure: no cluster."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.archive.request import BatchRequest
from autorag_whisper.archive.sharded.on_ray import RayRequest, blocks_of, counted
from autorag_whisper.archive.sharded.plan_file import PlanFile, write_plan
from autorag_whisper.archive.sharded.pool import LEAST_CPUS, Node, Pool, pool_for, share_of_card
from autorag_whisper.archive.sharded.records import record_of
from autorag_whisper.archive.sharded.results import Results, RunFacts
from autorag_whisper.archive.sharded.rows import Head, Row, dumps
from autorag_whisper.archive.sharded.running import Tally
from autorag_whisper.domain.errors import InvalidOption, MediaDamaged
from cli_world import transcript_of


@given(st.lists(st.integers(1, 256), min_size=1, max_size=20))
def test_without_cards_each_node_has_an_engine_and_a_whole_slot_stays_free(cpus: list[int]) -> None:
    pool = pool_for([Node(float(count)) for count in cpus], None, None, None)
    assert pool.actors == len(cpus)
    assert all(count - pool.cpus >= 1 for count in cpus if count > 1)
    assert pool.cpus > 0


@given(st.lists(st.integers(1, 8), min_size=1, max_size=5), st.sampled_from([1.0, 0.5, 0.25, 2.0]))
def test_every_card_or_part_of_one_has_an_engine_that_names_cpus_too(cards: list[int], share: float) -> None:
    pool = pool_for([Node(32.0, float(count)) for count in cards], None, None, share)
    assert pool.actors == max(1, sum(int(count / share) for count in cards))
    assert pool.gpus == share
    assert 0 < pool.cpus <= 1.0
    assert pool.cpus * max(int(count / share) for count in cards) <= 31.0 + 1e-9, "a whole slot stays free"


@given(st.lists(st.integers(2, 256), min_size=1, max_size=8), st.integers(1, 40))
def test_however_many_engines_are_asked_for_a_whole_slot_stays_free_on_each_node(cpus: list[int], actors: int) -> None:
    pool = pool_for([Node(float(count)) for count in cpus], actors, None, None)
    on_a_node = -(-actors // len(cpus))
    assert pool.actors == actors
    assert pool.cpus == LEAST_CPUS or all(count - pool.cpus * on_a_node >= 1 - 1e-9 for count in cpus)


@given(st.integers(1, 80 << 30), st.sampled_from([8 << 30, 24 << 30, 80 << 30, 141 << 30]))
def test_engines_that_share_a_card_by_their_footprint_fit_onto_it(footprint: int, card: int) -> None:
    if footprint > card * 0.9:
        with pytest.raises(InvalidOption):
            share_of_card(footprint, card)
        return
    share = share_of_card(footprint, card)
    engines = int(1 / share + 1e-9)
    assert engines >= 1
    assert engines * footprint <= card * 0.9
    assert engines >= min(20, int(card * 0.9 // footprint)) // 2, "no card is left half empty"
    assert pool_for([Node(32.0, 1.0)], None, None, share).actors == engines


def test_what_was_said_counts() -> None:
    assert pool_for([Node(2.0)], 3, 0.5, None) == Pool(3, 0.5, 0.0)
    assert pool_for([Node(8.0, 1.0)], None, None, 0.0) == Pool(1, 7.0, 0.0), "no card, though there is one"
    for wrong in ({"actors": 0, "cpus": 1.0}, {"actors": 1, "cpus": 0.0}, {"actors": 1, "cpus": 1.0, "gpus": -1.0}):
        with pytest.raises(InvalidOption):
            Pool(**wrong)  # type: ignore[arg-type]  # the numbers are of their kinds


@given(st.integers(1, 10**7), st.integers(1, 4096))
def test_blocks_are_small_and_each_actor_gets_several(shards: int, actors: int) -> None:
    blocks = blocks_of(shards, actors)
    assert 1 <= blocks <= min(shards, 10_000)
    assert blocks == 10_000 or -(-shards // blocks) <= 16
    assert actors == 1 or blocks >= min(shards, 2 * actors, 10_000)


def kept(row: Row, attempt: int = 1, *, error: bool = False) -> dict[str, Any]:
    return record_of(row, attempt, MediaDamaged(row.name) if error else transcript_of(row.name, "one two three"))


@given(st.lists(st.sampled_from(["before", "lost", "told"]), min_size=1, max_size=12), st.sampled_from([1, 2]))
def test_what_an_actor_did_before_it_died_counts_though_nobody_told_of_it(fates: list[str], attempt: int) -> None:
    # Its block is given to another actor, which finds these results and has not made them: they were in no count.
    with TemporaryDirectory() as name:
        folder = Path(name)
        results = Results.begin(folder, RunFacts("ab", "base", "0" * 16, {}))
        rows = [Row(str(n), f"/{n}.wav", shard=4) for n in range(len(fates))]
        head = Head("ab", 5, len(rows), attempt=attempt)
        write_plan(folder / "plan.jsonl", head, ((row.shard, dumps(row.facts())) for row in rows))
        fails = {row.id: n % 3 == 0 for n, row in enumerate(rows)}
        results.add(4, [kept(row, attempt, error=fails[row.id]) for row in rows])
        before, told = (
            frozenset(row.id for row, fate in zip(rows, fates, strict=True) if fate == wanted)
            for wanted in ("before", "told")
        )
        said = asdict(Tally(shards=1, finished_before=len(rows) - len(told), seconds=2.0 * len(told))) | {"shard": 4}
        said |= {"done": sum(not fails[who] for who in told), "failed": sum(fails[who] for who in told)}
        asked = RayRequest(folder / "plan.jsonl", results.folder, BatchRequest((), None, "base"), folder)
        found = counted(asked, said, before)
        new = fails.keys() - before
        assert (found.done, found.failed) == (sum(not fails[who] for who in new), sum(fails[who] for who in new))
        assert found.seconds == 2.0 * (found.done if "lost" in fates else len(told))
        assert found.finished_before == len(before)


def test_what_another_process_has_in_work_is_told_as_it_is(tmp_path: Path) -> None:
    asked = RayRequest(tmp_path / "no plan", tmp_path, BatchRequest((), None, "base"), tmp_path)
    assert counted(asked, asdict(Tally(elsewhere=1)) | {"shard": 4}, frozenset()) == Tally(elsewhere=1)


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
@pytest.mark.parametrize("spaced", [False, True])
def test_a_shard_is_found_among_others_without_reading_them(tmp_path: Path, ending: str, spaced: bool) -> None:
    # Shards of very different sizes, one that is empty, lines longer than what is read at once.
    sizes = [1, 0, 400, 3, 0, 0, 900, 1, 1, 0]
    rows = [
        Row(f"{shard}-{n}", f"/talks/{'x' * ((n * 97) % 700)}{shard}-{n}.wav", shard=shard)
        for shard, count in enumerate(sizes)
        for n in range(count)
    ]
    path = tmp_path / f"plan{ending}"
    write_plan(path, Head("ab", len(sizes), len(rows)), ((row.shard, dumps(row.facts())) for row in rows))
    if spaced and ending == ".jsonl":  # as others write JSON
        path.write_bytes(path.read_bytes().replace(b'{"shard":', b'{ "shard": '))
    plan = PlanFile(path)
    for shard, count in enumerate(sizes):
        assert plan.rows_of(shard) == [row for row in rows if row.shard == shard], count
