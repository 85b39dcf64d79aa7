"""The law of leaving repetitions out: of all texts without some of them, the likeliest one, as if each had its path."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from autorag_whisper.align.letter_path import letter_path
from autorag_whisper.align.letter_repeats import likeliest_without
from autorag_whisper.align.letter_text import letter_text
from letter_hearing import reading_classifier

SMALL = reading_classifier(("a", "b", "c"))
WORDS = st.lists(st.sampled_from(["a", "b", "ab", "cab", "!"]), min_size=1, max_size=5).map(lambda some: ["ba", *some])
RUNS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), max_size=5, unique=True)


@given(WORDS, RUNS, st.integers(0, 999), st.integers(1, 12), st.floats(0.5, 8))
@example(["ba", "b", "b"], [(1, 1)], 4, 6, 3.0)  # as likely with as without: the scores differ by rounding alone
@example(["ba", "a", "a", "!", "a"], [(1, 3), (3, 2)], 0, 1, 1.0)  # left out both: they share a word without letters
def test_no_other_set_of_runs_is_better_left_out(
    words: list[str], drawn: list[tuple[int, int]], seed: int, frames: int, spread: float
) -> None:
    """Runs may overlap, lie in one another, and be of words without letters ("!"): there left out ones may meet."""
    runs = [(first, first + length) for first, length in drawn if first + length <= len(words)]
    scores = np.random.default_rng(seed).normal(0, spread, (frames, 5)).astype(np.float32)
    heard = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    quiet = np.random.default_rng(seed).uniform(0, 1, frames).astype(np.float32)

    def likelihood(left_out: tuple[tuple[int, int], ...]) -> float:
        kept = [word for n, word in enumerate(words) if not any(first <= n < stop for first, stop in left_out)]
        text = letter_text([[(word,)] for word in kept], SMALL.alphabet)
        return -np.inf if text is None else letter_path(heard, SMALL, text, quiet).likelihood

    apart = [
        some
        for size in range(len(runs) + 1)
        for some in itertools.combinations(sorted(runs), size)
        if all(word == "!" or sum(first <= n < stop for first, stop in some) <= 1 for n, word in enumerate(words))
    ]
    found = likeliest_without(heard, SMALL, [[(word,)] for word in words], quiet, runs)
    assert set(found) <= set(runs)
    np.testing.assert_allclose(likelihood(tuple(found)), max(map(likelihood, apart)), rtol=1e-4, atol=1e-3)
    if found:
        assert likelihood(tuple(found)) > likelihood(())
