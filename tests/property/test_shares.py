"""The engine's division among priorities: nobody starves, and whoever goes first waits for little more than a batch."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.recognition.shares import MOST_WAITED, Shares

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARE = st.floats(0.05, 0.9)
SECONDS = st.floats(6.0, 480.0)  # a border's window to a card's batch
BATCHES = st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=80)


def divided(
    least: float, batches: Sequence[tuple[float, float]], shares: Shares | None = None
) -> list[tuple[int, float]]:
    """Both priorities always wait: which one each batch was for, and its seconds."""
    shares, went = shares or Shares(least), list[tuple[int, float]]()
    for pair in batches:
        first = shares.first({0, 1})
        shares = shares.after(first, {first: pair[first]}, {0, 1}, {0, 1})
        went.append((first, pair[first]))
    return went


@given(SHARE, BATCHES)
def test_within_any_batches_the_lower_priority_has_its_share_but_for_one_batch(
    least: float, batches: list[tuple[float, float]]
) -> None:
    went, biggest = divided(least, batches), max(60.0, *(s for pair in batches for s in pair))
    for begin in range(len(went)):
        part = went[begin:]
        lower, total = sum(s for one, s in part if one == 0), sum(s for _, s in part)
        assert lower >= least * total - 2 * biggest


@given(SHARE, BATCHES)
def test_it_has_no_more_but_for_one_batch_and_one_in_seventeen(
    least: float, batches: list[tuple[float, float]]
) -> None:
    went, biggest = divided(least, batches), max(60.0, *(s for pair in batches for s in pair))
    for begin in range(len(went)):
        part = went[begin:]
        lower, total = sum(s for one, s in part if one == 0), sum(s for _, s in part)
        late = len(part) // (MOST_WAITED + 1)
        assert lower <= least * total + (2 + late) * biggest


@given(st.floats(0.05, 0.5), SECONDS, st.integers(2, 60))
def test_who_goes_first_waits_for_one_batch_of_the_others_at_a_time(least: float, size_s: float, count: int) -> None:
    """With batches of one size and a share of a half at most: what a clip waits for beside its own kind."""
    went = [first for first, _ in divided(least, [(size_s, size_s)] * count)]
    assert (0, 0) not in pairwise(went)
    assert went[0] == 1


@given(st.floats(0.0, 0.9), st.lists(st.dictionaries(st.integers(0, 4), SECONDS, min_size=1), min_size=1, max_size=120))
def test_every_priority_that_waits_has_its_turn(least: float, batches: list[dict[int, float]]) -> None:
    shares, levels, waited = Shares(least), set(range(5)), dict.fromkeys(range(5), 0)
    for seconds in batches:
        first = shares.first(levels)
        took = {first: seconds.get(first, 30.0)}
        shares = shares.after(first, took, levels, levels)
        waited = {one: 0 if one in took else n + 1 for one, n in waited.items()}
        assert max(waited.values()) < MOST_WAITED + len(levels)


@given(SHARE, st.lists(SECONDS, max_size=40), st.lists(SECONDS, max_size=40))
def test_nothing_is_saved_up_by_whoever_does_not_wait(least: float, high: list[float], low: list[float]) -> None:
    shares = Shares(least)
    for seconds in high:  # the higher alone
        shares = shares.after(1, {1: seconds}, {1}, {1})
    for seconds in low:  # the lower alone
        shares = shares.after(0, {0: seconds}, {0}, {0, 1})
    assert shares.first({0, 1}) == 1
    assert shares.after(1, {1: 10.0}, {0, 1}, {0, 1}).first({0, 1}) == 0


@given(SHARE, st.lists(st.tuples(SECONDS, SECONDS), max_size=40))
def test_room_that_was_left_in_a_batch_costs_nothing(least: float, batches: list[tuple[float, float]]) -> None:
    shares = Shares(least)
    for own, other in batches:
        shares = shares.after(1, {1: own, 0: other}, {0, 1}, {0, 1})
        assert shares.owed_s.get(1, 0.0) >= 0.0


@given(SHARE, st.lists(st.tuples(SECONDS, SECONDS, st.booleans()), min_size=1, max_size=80))
def test_who_comes_and_goes_leaves_the_lower_priority_its_share(
    least: float, batches: list[tuple[float, float, bool]]
) -> None:
    """A client that has an answer sends the next request: while its own is computed nothing of it waits."""
    shares, lower, total = Shares(least), 0.0, 0.0
    biggest = max(60.0, *(s for low, high, _ in batches for s in (low, high)))
    for low, high, waits in batches:
        first = shares.first({0, 1}) if waits else 0
        seconds = high if first else low
        shares = shares.after(first, {first: seconds}, {0, 1} if waits else {0}, {0, 1})
        lower, total = lower + (0 if first else seconds), total + seconds
        assert lower >= least * total - 2 * biggest


def test_with_a_quarter_one_batch_in_four_is_the_lower_priority_s() -> None:
    went = [first for first, _ in divided(0.25, [(30.0, 30.0)] * 41)]
    assert went[:6] == [1, 0, 1, 1, 1, 0]
    assert went.count(0) == 10
