"""Words from spans, paths and nothing at all: inside their place, in order, each with a length."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.tokens import split_words
from autorag_whisper.align.word_time import WordTime
from autorag_whisper.align.words import Place, words_from_path, words_interpolated, words_timed
from autorag_whisper.domain.transcript import WordSource

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXTS = (" one", " two", " thr", "ee", ",", " four")
IDS = range(len(TEXTS))
PLACE = Place(10.0, 14.0)


def decode(token_ids: Sequence[int]) -> str:
    return "".join(TEXTS[n] for n in token_ids)


def test_tokens_that_are_parts_of_a_character_are_one_word_with_it() -> None:
    """As Whisper's are: two tokens for an emoji, the bytes of which say nothing each for itself."""
    said = {(0,): " so", (1,): " \ufffd", (1, 2): " 😀", (2,): "\ufffd", (3,): " late"}
    words = split_words([0, 1, 2, 3], lambda ids: said[tuple(ids)], "en")
    assert [(word.text, word.first, word.stop) for word in words] == [(" so", 0, 1), (" 😀", 1, 3), (" late", 3, 4)]


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (("call", " 555", "-", "01", "99", "."), ["call", " 555-", "0199."]),
        ((" 2", "-", "6", "-", "9"), [" 2-", "6-", "9"]),
        ((" F", "-", "16", " C", "O", "V", "-", "19"), [" F-16", " COV-19"]),
        ((" 3", "-", "year", "-", "old"), [" 3-year-old"]),
        ((" 7", ":", "45", " 3", ".", "5", " -", "7"), [" 7:45", " 3.5", " -7"]),
    ],
)
def test_numbers_joined_by_hyphens_are_words_of_their_own_and_nothing_else_is_parted(
    tokens: tuple[str, ...], words: list[str]
) -> None:
    found = split_words(range(len(tokens)), lambda ids: "".join(tokens[n] for n in ids), "en")
    assert [word.text for word in found] == words


def times(spans: list[tuple[float, float]], place: Place = PLACE) -> list[tuple[float, float]]:
    groups = split_words(IDS, decode, "en")
    given = [WordTime(*span, WordSource.TOKENS) for span in spans]
    timed = words_timed(IDS, groups, given, [0.5] * len(groups), place)
    assert [one.word.text for one in timed] == ["one", "two", "three,", "four"]
    return [(one.word.start_s, one.word.end_s) for one in timed]


def test_sound_spans_stay_as_they_are() -> None:
    spans = [(10.0, 10.5), (10.5, 11.0), (11.5, 12.0), (12.0, 14.0)]
    assert times(spans) == spans


def test_a_span_that_leaves_its_place_is_cut_there_at_both_edges() -> None:
    assert times([(9.0, 10.5), (10.5, 11.0), (11.5, 12.0), (12.0, 15.0)])[::3] == [(10.0, 10.5), (12.0, 14.0)]


def test_a_word_before_the_one_that_precedes_it_is_moved_behind_its_start() -> None:
    found = times([(10.0, 10.5), (12.0, 12.5), (11.0, 11.5), (12.6, 13.0)])
    assert found[1] == pytest.approx((12.0, 12.02))
    assert found[2] == pytest.approx((12.02, 12.04))


def test_a_word_whose_end_is_no_number_has_the_least_length_and_not_all_up_to_the_next() -> None:
    found = times([(10.0, 10.5), (10.5, math.nan), (11.5, 12.0), (12.0, math.nan)])
    assert found[1::2] == [pytest.approx((10.5, 10.52)), pytest.approx((12.0, 12.02))]


any_time = st.floats(0.0, 20.0) | st.sampled_from([math.nan, math.inf, -math.inf, -5.0])


@given(st.lists(st.tuples(any_time, any_time), min_size=4, max_size=4))
def test_whatever_an_aligner_says_words_are_inside_in_order_and_have_a_length(spans: list[tuple[float, float]]) -> None:
    found = times(spans)
    assert all(10.0 <= start < end <= 14.0 for start, end in found)
    assert [start for start, _ in found] == sorted(start for start, _ in found)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_probability_that_is_no_number_is_0(value: float) -> None:
    groups = split_words(list(IDS), decode, "en")
    given = [WordTime(10.0 + n, 11.0 + n, WordSource.CTC, value) for n in range(len(groups))]
    for timed in words_timed(list(IDS), groups, given, [value] * len(groups), PLACE):
        assert (timed.word.probability, timed.word.score) == (0.0, 0.0)


def test_words_may_have_been_found_in_different_ways() -> None:
    groups = split_words(list(IDS), decode, "en")
    sources = [WordSource.CTC, *[WordSource.INTERPOLATED] * (len(groups) - 1)]
    given = [WordTime(10.0 + n, 11.0 + n, source, None if n else 0.5) for n, source in enumerate(sources)]
    found = words_timed(list(IDS), groups, given, [0.5] * len(groups), PLACE)
    assert [timed.word.source for timed in found] == sources
    assert [timed.word.score for timed in found] == [0.5, *[None] * (len(groups) - 1)]


def test_a_path_gives_a_word_its_first_tokens_start_its_last_tokens_end_and_their_mean_probability() -> None:
    starts = [10.0, 10.4, 11.0, 11.3, 11.9, 12.0, 13.0]
    path = np.array([starts, [0.1, 0.2, 0.3, 0.6, 0.9, 0.7, 0.0]])
    words = [one.word for one in words_from_path(IDS, decode, "en", path, PLACE)]
    assert [(word.start_s, word.end_s) for word in words] == [(10.0, 10.4), (10.4, 11.0), (11.0, 12.0), (12.0, 13.0)]
    assert [word.probability for word in words] == pytest.approx([0.1, 0.2, 0.6, 0.7])


def test_words_without_an_aligner_are_spread_over_the_speech_by_their_letters_and_none_lies_in_a_pause() -> None:
    place = Place(0.0, 20.0, ((1.0, 4.0), (10.0, 12.0), (15.0, 20.0)))  # 10 s of speech for 3 + 3 + 6 + 4 letters
    words = [one.word for one in words_interpolated(IDS, decode, "en", 0.4, place)]
    assert [word.start_s for word in words] == pytest.approx([1.0, 2.875, 10.75, 17.5])
    assert words[-1].end_s == pytest.approx(20.0)
    assert {word.source for word in words} == {WordSource.INTERPOLATED}
    assert {word.probability for word in words} == {0.4}
