"""No word reaches into the next, whatever an aligner says."""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from autorag_whisper.align.tokens import WordTokens
from autorag_whisper.align.words import Place, Timing, apart, words_timed
from autorag_whisper.domain.transcript import WordSource

SPANS = st.lists(st.tuples(st.floats(0, 12), st.floats(0, 12)), min_size=1, max_size=12)


@given(SPANS)
@example([(1.0, 1.0), (1.0, 2.0)])  # two words on one frame: the first was given 0.02 s of the second
@example([(1.0, 1.5), (1.2, 2.0)])  # an aligner whose words overlap
@example([(10.0, 10.0)] * 3)
def test_words_end_where_the_next_one_starts_at_the_latest(spans: list[tuple[float, float]]) -> None:
    groups = [WordTokens(f" w{n}", n, n + 1) for n in range(len(spans))]
    timing, place = Timing(WordSource.CTC, spans, [0.5] * len(spans)), Place(1.0, 10.0)
    timed = words_timed(range(len(spans)), groups, timing, place)
    words = [one.word for one in apart(timed)]
    assert [word.text for word in words] == [f"w{n}" for n in range(len(spans))]
    assert all(1.0 <= word.start_s <= word.end_s <= 10.0 for word in words)
    assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(words))
    assert apart(apart(timed)) == apart(timed)
    for before, word in zip(timed, words, strict=True):
        assert 0 <= word.start_s - before.word.start_s <= 0.02 * len(spans) + 1e-9


def test_words_that_are_apart_stay_what_they_are() -> None:
    groups = [WordTokens(f" w{n}", n, n + 1) for n in range(3)]
    timing = Timing(WordSource.TOKENS, [(0.0, 1.0), (1.0, 1.5), (2.0, 3.0)], [0.5] * 3)
    timed = words_timed([0, 1, 2], groups, timing, Place(0.0, 5.0))
    assert apart(timed) == tuple(timed)


def test_of_words_at_one_moment_each_has_a_moment_of_its_own() -> None:
    groups = [WordTokens(f" w{n}", n, n + 1) for n in range(3)]
    timed = words_timed([0, 1, 2], groups, Timing(WordSource.TOKENS, [(1, 1), (1, 1), (1, 2)], [0.5] * 3), Place(0, 5))
    assert [(round(t.word.start_s, 3), round(t.word.end_s, 3)) for t in apart(timed)] == [
        (1.0, 1.02), (1.02, 1.04), (1.04, 2.0)
    ]  # fmt: skip
