"""Laws of words that are moved to where they were said."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.reverberation import as_said

STEPS = st.lists(st.integers(0, 60), min_size=2, max_size=30)
"""Lengths of words and of what is between them, in 5 ms."""


@st.composite
def words_and_silences(draw: st.DrawFn) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Words in order, and silences between some of them, also such as a word reaches into."""
    edges = np.cumsum(draw(STEPS)) * 0.005
    spans = edges[: len(edges) // 2 * 2].reshape(-1, 2)
    moments = sorted(draw(st.sets(st.sampled_from(list(edges)))))
    return spans, list(zip(moments[::2], moments[1::2], strict=False))


@given(words_and_silences(), st.floats(0.0, 0.02))
def test_words_stay_in_order_and_none_is_later_or_lost(
    given_words: tuple[np.ndarray, list[tuple[float, float]]], late_s: float
) -> None:
    spans, silences = given_words
    moved = as_said(spans, silences, late_s)
    starts, ends = moved.T
    assert (starts <= ends).all()
    assert (ends[:-1] <= starts[1:]).all()
    assert (moved >= 0).all()
    assert (moved <= spans).all()
    assert (spans[:, 0] - starts <= late_s + 1e-12).all()
    assert (spans[:, 1] - ends <= 2 * late_s + 1e-12).all()
    assert (ends > starts)[spans[:, 1] - spans[:, 0] > 1e-9].all()


@given(words_and_silences())
def test_without_echoes_nothing_moves(given_words: tuple[np.ndarray, list[tuple[float, float]]]) -> None:
    spans, silences = given_words
    assert (as_said(spans, silences, 0.0) == spans).all()
