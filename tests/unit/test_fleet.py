"""The simulated fleet does what can be reckoned by hand, and never better than that."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.fleet.model import Costs, Fleet, durations, many_shard_seconds, shard_seconds, simulate
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.archive.sharded.cutting import Sizing

COSTS = Costs(start_s=5.0, speed=10.0, each_s=0.0, spread=0.0, write_s=0.0)
shards_of = st.lists(st.floats(0.5, 100), min_size=1, max_size=40).map(np.array)


def test_one_worker_needs_its_start_and_all_of_the_work() -> None:
    one = simulate(np.array([10.0, 20.0, 30.0]), Fleet(1), COSTS)
    assert (one.wall_s, one.tail_s, one.lost) == (65.0, 0.0, 0)
    assert one.busy == pytest.approx(60 / 65)


def test_two_workers_share_and_one_waits_for_the_other() -> None:
    one = simulate(np.array([30.0, 20.0, 5.0]), Fleet(2), COSTS)
    assert (one.wall_s, one.tail_s) == (35.0, 5.0)


def test_shares_of_one_each_wait_for_the_slowest() -> None:
    shards = np.array([10.0, 1.0, 10.0, 1.0])
    assert simulate(shards, Fleet(2, shares=True), COSTS).wall_s == 25.0
    assert simulate(shards, Fleet(2), COSTS).wall_s == 16.0


def test_who_comes_late_finds_taken_what_is_read_ahead() -> None:
    shards = np.full(6, 10.0)
    alone = simulate(shards, Fleet(1), COSTS)
    assert simulate(shards, Fleet(2, ramp_s=20.0), COSTS).wall_s == 45.0
    late = simulate(shards, Fleet(2, ramp_s=20.0), replace(COSTS, ahead_s=100.0))
    assert (late.wall_s, late.over_s, alone.wall_s) == (65.0, 65.0, 65.0)
    # 30 s of work: three shards at first, one more with each that is done; the other one has the last, at 25 s.
    assert simulate(shards, Fleet(2, ramp_s=20.0), replace(COSTS, ahead_s=30.0)).wall_s == 55.0


def test_workers_of_one_machine_slow_each_other_while_both_are_at_work() -> None:
    costs, shards = Costs(start_s=5.0, speed=10.0, spread=0.0, write_s=0.0, beside=0.5), np.array([10.0, 10.0, 10.0])
    # Both start in 7.5 and take 15 for a shard; the third is begun while the other one has not yet found nothing.
    assert simulate(shards, Fleet(2, per_machine=2), costs).wall_s == 37.5
    assert simulate(shards, Fleet(2), costs).wall_s == 25.0
    # Alone at first: 5 and 10; the second one starts at 20 and takes 7.5, after which nothing is left.
    late = simulate(shards, Fleet(2, ramp_s=20.0, per_machine=2), costs)
    assert late.wall_s == 5 + 10 + 10 + 15


@given(shards_of, st.integers(1, 8), st.booleans(), st.integers(0, 99))
def test_no_fleet_is_faster_than_its_work_and_none_slower_than_one_worker(
    shards: np.ndarray, workers: int, shares: bool, seed: int
) -> None:
    one = simulate(shards, Fleet(workers, shares=shares), COSTS, seed)
    least = COSTS.start_s + max(shards.sum() / workers, shards.max())
    assert least - 1e-6 <= one.wall_s <= COSTS.start_s + shards.sum() + 1e-6
    assert 0 <= one.busy <= 1
    assert one.tail_s <= one.wall_s


@given(shards_of, st.integers(1, 8), st.integers(0, 99))
def test_losses_cost_time_and_no_work_is_forgotten(shards: np.ndarray, workers: int, seed: int) -> None:
    fleet = Fleet(workers, hours_to_loss=30 / 3600, again_s=7.0)
    one = simulate(shards, fleet, COSTS, seed)
    assert one.busy * one.wall_s * workers == pytest.approx(shards.sum())
    assert one.lost_s <= 2.0 * one.lost
    assert one.wall_s >= COSTS.start_s + shards.sum() / workers - 1e-6


def test_a_storage_that_takes_one_write_at_a_time_is_the_limit() -> None:
    costs = Costs(0.0, 10.0, write_s=1.0)
    shards = np.full(100, 0.1)
    assert simulate(shards, Fleet(50), costs).wall_s < 5
    slow = simulate(shards, Fleet(50, writes_at_once=1), costs)
    assert slow.wall_s >= 100
    assert slow.waited_s > 1000


def test_shards_cost_what_their_recordings_do() -> None:
    lengths = durations(5_000, 150.0, 1)
    assert lengths.mean() == pytest.approx(150)
    shards = shard_seconds(lengths, COSTS, Sizing(5.0, 10.0, 0.0), 1)
    assert shards.sum() == pytest.approx(lengths.sum() / 10)
    assert len(shards) == math.ceil(np.minimum(lengths / 10, 300).sum() / 300), "a longer one fills a shard alone"
    assert shards[0] == shards.max()
    many = many_shard_seconds(1_000_000, 150.0, COSTS, Sizing(5.0, 10.0, 0.0), 1)
    assert many.sum() == pytest.approx(150e6 / 10, rel=0.02)
