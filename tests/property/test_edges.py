"""Laws of the words next to pauses: none lies in one, none overlaps, and each is where there is sound for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.characters import END_EARLY_S, Marks
from autorag_whisper.align.edges import word_spans

MOMENTS = st.floats(0.0, 10.0)


@st.composite
def any_marks(draw: st.DrawFn) -> Marks:
    """Whatever a path may say, as long as it is in order; words of one letter and more."""
    counts = draw(st.lists(st.integers(1, 6), min_size=1, max_size=12))
    moments = np.sort(draw(st.lists(MOMENTS, min_size=sum(counts) + len(counts), max_size=sum(counts) + len(counts))))
    words = np.split(moments, np.cumsum([count + 1 for count in counts])[:-1])
    several = draw(st.sets(st.integers(0, len(words) - 1)))
    marked = draw(st.sets(st.integers(0, len(words) - 1)))
    return Marks(
        np.asarray([word[0] for word in words]),
        np.asarray([word[1] for word in words]),
        np.asarray([word[-1] for word in words]),
        tuple(word[:-1] for word in words),
        frozenset(several),
        frozenset(marked),
    )


@st.composite
def silences(draw: st.DrawFn) -> list[tuple[float, float]]:
    edges = sorted(draw(st.lists(st.integers(0, 200), max_size=8, unique=True)))
    return [(a / 20, b / 20) for a, b in zip(edges[::2], edges[1::2], strict=False)]


@given(any_marks(), silences())
def test_words_are_in_order_apart_and_in_the_audio(marks: Marks, quiet: list[tuple[float, float]]) -> None:
    spans = word_spans(marks, quiet, 10.0)
    assert np.isfinite(spans).all()
    assert (spans >= 0).all()
    assert (spans <= 10.0 + 1e-9).all()
    assert (spans[:, 0] <= spans[:, 1]).all()
    assert (spans[:-1, 1] <= spans[1:, 0] + 1e-9).all()


@given(any_marks(), silences())
def test_no_word_begins_or_ends_in_a_silence_but_at_the_end_of_the_audio(
    marks: Marks, quiet: list[tuple[float, float]]
) -> None:
    if sum(stop - start for start, stop in quiet) > 9.0:
        return  # hardly any sound for so many words
    inner = [(start, stop) for start, stop in quiet if stop < 9.5]
    for moment in word_spans(marks, inner, 10.0).ravel():
        assert not any(start + 1e-6 < moment < stop - 1e-6 for start, stop in inner)


@dataclass(frozen=True)
class Talk:
    """Words with their true spans, the pauses between phrases, and a path that is astray next to the pauses."""

    words: list[tuple[float, float]]
    pauses: list[tuple[float, float]]
    marks: Marks
    duration_s: float


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    """Phrases with pauses of 0.6 to 4 s between them, a mark in the text before each.

    The first word behind a pause has its letters, all or some, seen in it, or in the last of the sound before. What the
    path has right is off by 30 ms at most.
    """
    phrases = draw(st.lists(st.lists(st.integers(1, 5), min_size=2, max_size=6), min_size=2, max_size=5))
    now, words, pauses, letters, ends, marked = 0.4, [], [(0.0, 0.4)], [], [], set()
    for phrase in phrases:
        for place, count in enumerate(phrase):
            pace = draw(st.floats(0.06, 0.11))
            true = now + pace * np.arange(count + 1)
            seen = true + draw(st.floats(-0.03, 0.03))
            pause = pauses[-1]
            if place == 0 and words:
                astray = draw(st.integers(1, count + 1))  # so many moments of the word
                seen[:astray] = np.sort([draw(st.floats(pause[0] - 0.05, pause[1])) for _ in range(astray)])
                seen[astray - 1 :] = np.maximum.accumulate(seen[astray - 1 :])
            words.append((float(true[0]), float(true[-1])))
            letters.append(seen[:-1])
            ends.append(float(seen[-1]) + END_EARLY_S)
            now = float(true[-1])
        marked.add(len(words) - 1)
        pauses.append((now, now + draw(st.floats(0.6, 4.0))))
        now = pauses[-1][1]
    order = np.maximum.accumulate(np.concatenate(letters))
    letters = np.split(order, np.cumsum([len(one) for one in letters])[:-1])
    ends = np.maximum(ends, [one[-1] for one in letters])
    first, second = (np.asarray([[*one, end][n] for one, end in zip(letters, ends, strict=True)]) for n in (0, 1))
    return Talk(words, pauses, Marks(first, second, ends, tuple(letters), frozenset(), frozenset(marked)), now)


@given(talks())
def test_the_first_and_the_last_word_at_a_pause_are_on_their_side_of_it(talk: Talk) -> None:
    """ "I", seen in a pause of 4 s right behind the sentence before it, was put there: 4 s early."""
    spans = word_spans(talk.marks, talk.pauses, talk.duration_s)
    for (start, end), (true_start, true_end) in zip(spans.tolist(), talk.words, strict=True):
        assert abs(start - true_start) <= 0.5
        assert abs(end - true_end) <= 0.5
