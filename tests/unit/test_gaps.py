"""Times for words that an aligner could not place."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.gaps import filled, shares
from autorag_whisper.align.word_time import WordTime
from autorag_whisper.domain.transcript import WordSource

moments = st.floats(0, 30, allow_nan=False)


def at(start_s: float, end_s: float) -> WordTime:
    return WordTime(start_s, end_s, WordSource.CTC, 0.5)


def between(start_s: float, end_s: float) -> WordTime:
    return WordTime(start_s, end_s, WordSource.INTERPOLATED)


times = st.lists(
    st.none() | st.tuples(moments, st.floats(0, 3)).map(lambda one: at(one[0], one[0] + one[1])), max_size=12
)


@given(times, st.floats(0, 40))
def test_every_word_has_a_time_and_starts_are_in_order(given: list[WordTime | None], duration_s: float) -> None:
    found = filled(given, [1] * len(given), duration_s)
    assert len(found) == len(given)
    assert all(0 <= time.start_s <= time.end_s + 1e-9 for time in found)
    known = [time.start_s for time in found if time.source is WordSource.CTC]
    assert known == sorted(known)
    assert all((time in given) is (time.source is WordSource.CTC) for time in found)


@given(times)
def test_what_is_known_and_in_order_stays(given: list[WordTime | None]) -> None:
    found = filled(given, [1] * len(given), 40.0)
    latest = 0.0
    for before, after in zip(given, found, strict=True):
        if before is not None and before.start_s >= latest:
            assert after == before
            latest = before.start_s


def test_what_is_missing_shares_the_time_between_its_neighbours_by_length() -> None:
    found = filled([at(1.0, 2.0), None, None, at(5.0, 6.0)], [1, 1, 2, 1], 9.0)
    assert found == [at(1.0, 2.0), between(2.0, 3.0), between(3.0, 5.0), at(5.0, 6.0)]


def test_a_missing_start_is_never_nought_where_something_is_known() -> None:
    """Others put a word that they could not align at 0 s."""
    assert filled([at(4.0, 5.0), None], [1, 1], 9.0)[1] == between(5.0, 9.0)
    assert filled([None, at(4.0, 5.0)], [1, 1], 9.0)[0] == between(0.0, 4.0)


def test_where_nothing_is_known_the_whole_time_is_shared() -> None:
    assert filled([None, None], [1, 3], 8.0) == [between(0.0, 2.0), between(2.0, 8.0)]
    assert filled([], [], 8.0) == []


@pytest.mark.parametrize("time", [(1.0, 2.0), (4.5, 4.0), (math.nan, 5.0), (4.0, math.inf), (-1.0, 0.0)])
def test_a_time_that_is_none_or_before_the_one_in_front_of_it_is_not_believed(time: tuple[float, float]) -> None:
    assert filled([at(3.0, 4.0), at(*time), at(6.0, 7.0)], [1, 1, 1], 9.0)[1] == between(4.0, 6.0)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_shares_follow_each_other_from_nought_to_the_whole_by_length(lengths: list[int]) -> None:
    found = shares(lengths)
    assert len(found) == len(lengths)
    assert found[0][0] == 0
    assert found[-1][1] == (1 if sum(lengths) else 0)
    assert all(one[1] == other[0] for one, other in pairwise(found))
    assert [last - first for first, last in found] == pytest.approx([n / (sum(lengths) or 1) for n in lengths])
