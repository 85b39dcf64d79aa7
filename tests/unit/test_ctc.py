"""The best path of a text through emissions: against every path there is, against planted paths, on hostile input."""

from __future__ import annotations

import itertools
import math
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.ctc import WILDCARD, WordFrames, align_words, word_edges
from autorag_whisper.domain.alignment_errors import EmissionsUnusable, NothingToAlign, TooFewFrames, VocabularyUnusable

if TYPE_CHECKING:
    from collections.abc import Sequence

BLANK, GAP, A, B = 0, 1, 2, 3
COLUMNS = 4

Words = list[list[int]]

words_of = st.lists(st.lists(st.sampled_from([A, B]), max_size=3), min_size=1, max_size=3).filter(any)


def log_softmax(values: np.ndarray) -> np.ndarray:
    return (values - np.log(np.exp(values).sum(axis=1, keepdims=True))).astype(np.float32)


def noise(frames: int, seed: int, columns: int = COLUMNS) -> np.ndarray:
    return log_softmax(np.random.default_rng(seed).normal(0, 2, (frames, columns)))


def planted(path: Sequence[int], columns: int = COLUMNS, sureness: float = 8.0) -> np.ndarray:
    """Emissions in which every frame is sure of its column."""
    values = np.zeros((len(path), columns))
    values[np.arange(len(path)), list(path)] = sureness
    return log_softmax(values)


def align(log_probs: np.ndarray, words: Words, separator: int | None = GAP) -> list[WordFrames]:
    return align_words(log_probs, words, blank=BLANK, separator=separator)


def every_path(log_probs: np.ndarray, words: Words) -> dict[float, list[list[int]]]:
    """Score -> word of each frame (-1: none) for all ways to write the text by CTC's own rule, with no lattice.

    A frame says a label or nothing; equal neighbours are one; what is left must be the text. "Nothing" costs blank, or
    blank or separator where a word is over or not begun.
    """
    text = [label for word in words for label in word]
    owner = [n for n, word in enumerate(words) for _ in word]
    begins = {n for n in range(len(text)) if n == 0 or owner[n] != owner[n - 1]} | {len(text)}
    found: dict[float, list[list[int]]] = {}
    for said in itertools.product([None, A, B], repeat=len(log_probs)):
        score, spoken, owners = 0.0, [], []
        before: int | None = None
        for frame, label in zip(log_probs.astype(np.float64), said, strict=True):
            if label is None:
                score += np.logaddexp(frame[BLANK], frame[GAP]) if len(spoken) in begins else frame[BLANK]
                owners.append(-1)
            else:
                if label != before:
                    spoken.append(label)
                score += frame[label]
                owners.append(owner[len(spoken) - 1] if len(spoken) <= len(text) else -1)
            before = label
        if spoken == text:
            found.setdefault(round(score, 4), []).append(owners)
    return found


@given(words=words_of, frames=st.integers(1, 7), seed=st.integers(0, 10_000))
def test_the_path_is_the_best_of_all_there_are(words: Words, frames: int, seed: int) -> None:
    log_probs = noise(frames, seed)
    paths = every_path(log_probs, words)
    if not paths:
        with pytest.raises(TooFewFrames):
            align(log_probs, words)
        return
    best = paths[max(paths)]
    expected = [
        [(owners.index(n), frames - owners[::-1].index(n)) for n, word in enumerate(words) if word] for owners in best
    ]
    found = [(word.first, word.stop) for word, labels in zip(align(log_probs, words), words, strict=True) if labels]
    assert found in expected


@st.composite
def texts_with_paths(draw: st.DrawFn) -> tuple[Words, list[int], list[tuple[int, int]]]:
    """(words, column of each frame, frames of each word): a text and one way to say it."""
    words = draw(st.lists(st.lists(st.integers(2, 9), min_size=1, max_size=6), min_size=1, max_size=6))
    path: list[int] = [draw(st.sampled_from([BLANK, GAP]))] * draw(st.integers(0, 4))
    spans = []
    for word in words:
        # Between words a real model says a separator, a blank, or, if the letters differ, nothing at all.
        touching = bool(path) and path[-1] == word[0]
        path += [draw(st.sampled_from([BLANK, GAP]))] * draw(st.integers(1 if touching else 0, 3))
        first = len(path)
        for before, label in zip([None, *word], word, strict=False):
            path += [BLANK] * draw(st.integers(1 if before == label else 0, 2) if before is not None else st.just(0))
            path += [label] * draw(st.integers(1, 4))
        spans.append((first, len(path)))
    path += [BLANK] * draw(st.integers(0, 3))
    return words, path, spans


@given(texts_with_paths())
def test_a_planted_path_is_found(case: tuple[Words, list[int], list[tuple[int, int]]]) -> None:
    words, path, spans = case
    found = align(planted(path, 10), words)
    assert [(word.first, word.stop) for word in found] == spans
    assert all(word.score > 0.99 for word in found)


@given(
    words=st.lists(st.lists(st.integers(WILDCARD, 9).filter(bool), max_size=5), min_size=1, max_size=8).filter(any),
    frames=st.integers(1, 60),
    seed=st.integers(0, 10_000),
)
def test_words_come_in_order_inside_the_audio_whatever_the_emissions(words: Words, frames: int, seed: int) -> None:
    try:
        found = align(noise(frames, seed, 10), words)
    except TooFewFrames as error:
        assert error.frames == frames < error.needed <= 2 * sum(map(len, words))  # noqa: PT017 - hypothesis tries both
        return
    assert len(found) == len(words)
    edges = [edge for word in found for edge in (word.first, word.stop)]
    assert all(0 <= edge <= frames for edge in edges)
    for labels, word in zip(words, found, strict=True):
        assert word.stop - word.first >= len(labels)
        assert 0 <= word.score <= 1
        assert (word.first < word.stop) == bool(labels)
    assert edges == sorted(edges) or not all(words)
    spread = word_edges(found)
    assert (spread[:, 0] <= spread[:, 1]).all()
    assert (np.diff(spread[:, 0]) >= 0).all()


def test_frames_that_just_suffice_are_enough_and_one_less_is_an_error() -> None:
    words = [[A, A], [A, B]]  # 4 labels, and a gap before each repeated one
    found = align(noise(6, 1), words)
    assert [(word.first, word.stop) for word in found] == [(0, 3), (4, 6)]
    with pytest.raises(TooFewFrames) as caught:
        align(noise(5, 1), words)
    assert (caught.value.frames, caught.value.needed) == (5, 6)


def test_a_repeated_letter_needs_a_blank_between() -> None:
    [word] = align(planted([A, A, A, BLANK, A, B]), [[A, A, B]])
    assert (word.first, word.stop) == (0, 6)
    [word] = align(planted([GAP, A, A, A, A, GAP, GAP]), [[A, A]])
    assert (word.first, word.stop) == (1, 5)  # no blank is heard: one of the frames has to serve
    assert word.score > 0.9  # labels alone are scored


def test_blank_in_a_pause_is_as_good_as_the_separator() -> None:
    words = [[A, B], [B, A]]
    for pause in (BLANK, GAP):
        first, second = align(planted([A, B, *[pause] * 5, B, A]), words)
        assert (first.stop, second.first) == (2, 7)


def test_a_separator_inside_a_word_is_no_gap_of_it() -> None:
    """It would let a word lie across a pause: its letters are rather squeezed to one side."""
    path = [A, *[GAP] * 6, B, B]
    [word] = align(planted(path), [[A, B]])
    assert (word.first, word.stop) == (7, 9)
    [word] = align(planted([BLANK if column == GAP else column for column in path]), [[A, B]])
    assert (word.first, word.stop) == (0, 9)


def test_a_wildcard_takes_what_no_letter_of_its_neighbours_explains() -> None:
    path = [A, A, B, B, GAP, *[4, 5, 4, 6], GAP, A, B, B]
    first, unknown, last = align(planted(path, 10), [[A, B], [WILDCARD], [A, B]])
    assert [(w.first, w.stop) for w in (first, unknown, last)] == [(0, 4), (5, 9), (10, 13)]
    assert unknown.score < first.score


def test_a_wildcard_takes_no_frame_from_its_neighbours() -> None:
    """A free wildcard broke all word times of a well-known aligner for half a year: it fits everywhere best."""
    path = [A] * 5 + [B] * 5 + [GAP] + [7] * 3 + [GAP] + [B] * 5 + [A] * 5
    for sureness in (3.0, 8.0):
        before, unknown, after = align(planted(path, 10, sureness), [[A, B], [WILDCARD], [B, A]])
        assert (before.first, before.stop) == (0, 10)
        assert (unknown.first, unknown.stop) == (11, 14)
        assert (after.first, after.stop) == (15, 25)


def test_two_wildcards_in_a_row_need_no_gap() -> None:
    found = align(planted([A, 5, 6, B], 10), [[A], [WILDCARD], [WILDCARD], [B]])
    assert [(word.first, word.stop) for word in found] == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_words_without_a_label_lie_where_the_word_before_ends() -> None:
    found = align(planted([GAP, GAP, A, A, GAP, B, GAP]), [[], [A], [], [B], []])
    assert [(word.first, word.stop) for word in found] == [(2, 2), (2, 4), (4, 4), (5, 6), (6, 6)]
    assert [word.score > 0 for word in found] == [False, True, False, True, False]


def test_a_gap_of_a_frame_or_two_is_shared_and_a_pause_is_not() -> None:
    found = [WordFrames(0, 4, 1.0), WordFrames(5, 8, 1.0), WordFrames(10, 12, 1.0), WordFrames(15, 20, 1.0)]
    assert word_edges(found).tolist() == [[0, 4.5], [4.5, 9], [9, 12], [15, 20]]
    assert word_edges([]).shape == (0, 2)


def test_a_score_is_the_geometric_mean_of_the_labels_probabilities() -> None:
    log_probs = planted([A, BLANK, B], sureness=2.0)
    [word] = align(log_probs, [[A, B]])
    assert word.score == pytest.approx(math.exp((log_probs[0, A] + log_probs[2, B]) / 2), rel=1e-5)


def test_hostile_emissions_and_vocabularies_are_typed_errors() -> None:
    good, words = noise(8, 3), [[A, B]]
    for empty in ([], [[]], [[], []]):
        with pytest.raises(NothingToAlign):
            align(good, empty)
    for value in (np.nan, np.inf, 3.0):
        broken = good.copy()
        broken[5, B] = value
        with pytest.raises(EmissionsUnusable):
            align(broken, words)
    with pytest.raises(EmissionsUnusable):
        align(good[0], words)
    with pytest.raises(EmissionsUnusable, match="path"):
        align(np.full((8, COLUMNS), -np.inf, np.float32), words)
    for frames in (0, 1):
        with pytest.raises(TooFewFrames):
            align(good[:frames], words)
    for columns in ({"blank": 9}, {"blank": -1}, {"blank": BLANK, "separator": 4}, {"blank": A}):
        with pytest.raises(VocabularyUnusable):
            align_words(good, words, **columns)
    for label in (COLUMNS, -2):
        with pytest.raises(VocabularyUnusable):
            align(good, [[A, label]])


def test_a_text_that_does_not_fit_the_audio_gets_a_low_score() -> None:
    fits, other = [[A, B]], [[4, 5]]
    heard = planted([GAP, A, A, B, B, GAP], 8)
    assert align(heard, fits)[0].score > 0.99
    assert align(heard, other)[0].score < 0.01


def test_the_work_in_python_grows_with_frames_and_with_words_and_not_with_both() -> None:
    """Calls of functions, as the interpreter's profiler counts them: a frame is one step over all labels at once."""
    rng = np.random.default_rng(5)
    words = [rng.integers(2, 32, 6).tolist() for _ in range(100)]
    log_probs = noise(1500, 6, 32)
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        align(log_probs, words)
    finally:
        sys.setprofile(None)
    assert calls < 10 * 1500 + 100 * 100
