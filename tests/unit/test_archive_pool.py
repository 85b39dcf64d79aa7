"""How many engines go onto a Ray cluster, and how shards are cut for them. Pure: no cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.archive.sharded.on_ray import blocks_of
from autorag_whisper.archive.sharded.plan_file import PlanFile, write_plan
from autorag_whisper.archive.sharded.pool import LEAST_CPUS, Node, Pool, pool_for, share_of_card
from autorag_whisper.archive.sharded.rows import Head, Row, dumps
from autorag_whisper.domain.errors import InvalidOption

if TYPE_CHECKING:
    from pathlib import Path


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
