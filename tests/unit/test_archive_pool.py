"""How many engines go onto a Ray cluster, and how it is told that nothing goes on. Pure: no cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.archive.sharded.on_ray import Node, Pool, pool_for
from autorag_whisper.archive.sharded.plan_file import PlanFile, write_plan
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
    assert (pool.cpus, pool.gpus) == (1.0, share)


def test_what_was_said_counts() -> None:
    assert pool_for([Node(2.0)], 3, 0.5, None) == Pool(3, 0.5, 0.0)
    assert pool_for([Node(8.0, 1.0)], None, None, 0.0) == Pool(1, 7.0, 0.0), "no card, though there is one"
    for wrong in ({"actors": 0, "cpus": 1.0}, {"actors": 1, "cpus": 0.0}, {"actors": 1, "cpus": 1.0, "gpus": -1.0}):
        with pytest.raises(InvalidOption):
            Pool(**wrong)  # type: ignore[arg-type]  # the numbers are of their kinds


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
