"""Times for words that an aligner could not place."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.gaps import filled, shares

moments = st.floats(0, 30, allow_nan=False)
spans = st.lists(
    st.none() | st.tuples(moments, st.floats(0, 3)).map(lambda one: (one[0], one[0] + one[1])), max_size=12
)


@given(spans, st.floats(0, 40))
def test_every_word_has_a_span_and_starts_are_in_order(
    given: list[tuple[float, float] | None], duration_s: float
) -> None:
    found = filled(given, [1] * len(given), duration_s)
    assert len(found) == len(given)
    assert all(0 <= start <= end + 1e-9 for start, end in found)
    known = [span for span in found if span in given]
    assert [start for start, _ in known] == sorted(start for start, _ in known)


@given(spans)
def test_what_is_known_and_in_order_stays(given: list[tuple[float, float] | None]) -> None:
    found = filled(given, [1] * len(given), 40.0)
    latest = 0.0
    for before, after in zip(given, found, strict=True):
        if before is not None and before[0] >= latest:
            assert after == before
            latest = before[0]


def test_what_is_missing_shares_the_time_between_its_neighbours_by_length() -> None:
    found = filled([(1.0, 2.0), None, None, (5.0, 6.0)], [1, 1, 2, 1], 9.0)
    assert found == [(1.0, 2.0), pytest.approx((2.0, 3.0)), pytest.approx((3.0, 5.0)), (5.0, 6.0)]


def test_a_missing_start_is_never_nought_where_something_is_known() -> None:
    """Others put a word that they could not align at 0 s."""
    assert filled([(4.0, 5.0), None], [1, 1], 9.0)[1] == (5.0, 9.0)
    assert filled([None, (4.0, 5.0)], [1, 1], 9.0)[0] == (0.0, 4.0)


def test_where_nothing_is_known_the_whole_time_is_shared() -> None:
    assert filled([None, None], [1, 3], 8.0) == [(0.0, 2.0), (2.0, 8.0)]
    assert filled([], [], 8.0) == []


def test_a_span_before_the_one_in_front_of_it_is_not_believed() -> None:
    assert filled([(3.0, 4.0), (1.0, 2.0), (6.0, 7.0)], [1, 1, 1], 9.0)[1] == (4.0, 6.0)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_shares_follow_each_other_from_nought_to_the_whole_by_length(lengths: list[int]) -> None:
    found = shares(lengths)
    assert len(found) == len(lengths)
    assert found[0][0] == 0
    assert found[-1][1] == (1 if sum(lengths) else 0)
    assert all(one[1] == other[0] for one, other in pairwise(found))
    assert [last - first for first, last in found] == pytest.approx([n / (sum(lengths) or 1) for n in lengths])
