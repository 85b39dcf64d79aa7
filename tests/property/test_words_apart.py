"""No word reaches into the next, whatever an aligner says: in a chunk, and across the chunks and parts of a file."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autorag_whisper.align.tokens import WordTokens
from autorag_whisper.align.word_time import WordTime
from autorag_whisper.align.words import LEAST_S, Place, TimedWord, words_timed
from autorag_whisper.domain.transcript import Word, WordSource

MOMENTS = st.floats(0, 12) | st.sampled_from([math.nan, math.inf, -math.inf, -3.0, 1.0, 10.0])
SPANS = st.lists(st.tuples(MOMENTS, MOMENTS), min_size=1, max_size=30)


def timed(spans: list[tuple[float, float]], place: Place) -> list[TimedWord]:
    groups = [WordTokens(f" w{n}", n, n + 1) for n in range(len(spans))]
    times = [WordTime(*span, WordSource.CTC) for span in spans]
    return words_timed(range(len(spans)), groups, times, [0.5] * len(spans), place)


def words_in(spans: list[tuple[float, float]], place: Place) -> list[Word]:
    return [one.word for one in timed(spans, place)]


def assert_apart(words: list[Word]) -> None:
    assert all(word.start_s <= word.end_s for word in words)
    assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(words))


@given(SPANS, st.sampled_from([9.0, 0.3, 0.0]))
@example([(1.0, 1.0), (1.0, 2.0)], 9.0)  # two words on one frame: the first was given 0.02 s of the second
@example([(1.0, 1.5), (1.2, 2.0)], 9.0)  # an aligner whose words overlap
@example([(10.0, 10.0)] * 3, 9.0)
@example([(10.0, 10.0), (math.nan, 2.0), (5.0, 4.0)], 9.0)
def test_words_end_where_the_next_one_starts_at_the_latest(spans: list[tuple[float, float]], room_s: float) -> None:
    words = words_in(spans, Place(1.0, 1.0 + room_s))
    assert [word.text for word in words] == [f"w{n}" for n in range(len(spans))]
    assert all(word.start_s >= 1.0 and word.end_s <= 1.0 + room_s for word in words)
    assert_apart(words)
    least_s = min(LEAST_S, room_s / len(spans))
    assert all(word.end_s - word.start_s >= least_s - 1e-9 for word in words)


@given(SPANS)
def test_words_that_were_parted_once_stay_as_they_are(spans: list[tuple[float, float]]) -> None:
    place = Place(1.0, 10.0)
    once = words_in(spans, place)
    for a, b in zip(once, words_in([(word.start_s, word.end_s) for word in once], place), strict=True):
        assert (a.start_s, a.end_s) == pytest.approx((b.start_s, b.end_s))


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.02, 2)), min_size=1, max_size=12))
def test_words_are_moved_by_no_more_than_those_around_them_need(parts: list[tuple[float, float]]) -> None:
    """Of starts in order nothing moves by more than the least lengths of all words together."""
    spans = sorted((start, start + length) for start, length in parts)
    for (start_s, _), word in zip(spans, words_in(spans, Place(0.0, 20.0)), strict=True):
        assert abs(word.start_s - start_s) <= LEAST_S * len(spans) + 1e-9


@given(st.lists(st.tuples(SPANS, st.floats(0.1, 5), st.sampled_from([0.0, 0.0, 0.7])), min_size=1, max_size=5))
def test_words_of_chunks_that_follow_each_other_are_apart_too(chunks: list[tuple]) -> None:
    """Chunks, and the parts of a chunk, never overlap: so a file's words are in order without another look at them."""
    words, at_s = list[Word](), 0.0
    for spans, length_s, gap_s in chunks:
        words += words_in(spans, Place(at_s, at_s + length_s))
        at_s = at_s + length_s + gap_s
    assert_apart(words)


def test_words_that_are_apart_stay_what_they_are() -> None:
    spans = [(0.0, 1.0), (1.0, 1.5), (2.0, 3.0)]
    assert [(word.start_s, word.end_s) for word in words_in(spans, Place(0.0, 5.0))] == spans


def test_of_words_at_one_moment_each_has_a_moment_of_its_own() -> None:
    words = words_in([(1, 1), (1, 1), (1, 2)], Place(0, 5))
    assert [(round(word.start_s, 3), round(word.end_s, 3)) for word in words] == [
        (1.0, 1.02), (1.02, 1.04), (1.04, 2.0)
    ]  # fmt: skip


def test_words_heaped_up_at_the_end_of_the_sound_lie_before_it() -> None:
    words = words_in([(1, 4.9), (5, 5), (5, 5)], Place(0, 5))
    assert [(round(word.start_s, 3), round(word.end_s, 3)) for word in words] == [(1, 4.9), (4.96, 4.98), (4.98, 5.0)]
