"""Laws of the way through a text's letters: it is the best one, in order, and finds what was planted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align import letter_path, letter_search
from autorag_whisper.align.letter_edges import sharpened
from autorag_whisper.align.letter_path import words_by_letters
from autorag_whisper.align.letter_text import FOREIGN, letter_text
from examples import examples
from letter_hearing import planted, reading_classifier

SMALL = reading_classifier(("a", "b", "c"))
LETTERS = reading_classifier()
QUIETS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.3)), max_size=5)


def heard_at_random(seed: int, frames: int) -> np.ndarray:
    """float32[frames, 5] logarithms."""
    scores = np.random.default_rng(seed).normal(0, 4, (frames, 5)).astype(np.float32)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


@given(st.lists(st.text("abc", min_size=1, max_size=2), min_size=1, max_size=2), st.integers(0, 999), st.integers(1, 4))
def test_no_other_path_through_the_states_is_better(words: list[str], seed: int, frames: int) -> None:
    """Against all of them, one by one."""
    text = letter_text([[(word,)] for word in words], SMALL.alphabet)
    assert text is not None
    heard = heard_at_random(seed, frames)
    quiet = np.random.default_rng(seed).uniform(0, 1, frames).astype(np.float32)
    found = letter_path.letter_path(heard, SMALL, text, quiet)
    emitted = letter_search.trellis_of(letter_search.sounds_of(heard, SMALL, quiet), text).emitted
    left_out = np.where(text.owners >= 0, letter_search.LEFT_OUT, 0.0)
    entered = np.where(text.symbols == FOREIGN, letter_search._ENTRY, 0.0)

    def likelihood(way: tuple[int, ...]) -> float:
        total = sum(float(emitted[frame, state]) for frame, state in enumerate(way))
        for before, after in itertools.pairwise((-1, *way, len(left_out))):
            if after != before:
                total -= left_out[before + 1 : after].sum() + (entered[after] if after < len(entered) else 0)
        return total

    ways = itertools.combinations_with_replacement(range(len(text.symbols)), frames)
    np.testing.assert_allclose(found.likelihood, max(map(likelihood, ways)), rtol=1e-4, atol=1e-3)


@given(
    st.lists(st.text("abcx1 ß-", max_size=5), min_size=1, max_size=12), st.integers(0, 999), st.integers(1, 60), QUIETS
)
def test_words_are_in_order_and_apart_whatever_is_heard(
    words: list[str], seed: int, frames: int, quiet: list[tuple[float, float]]
) -> None:
    hush = np.random.default_rng(seed).uniform(0, 1, frames).astype(np.float32)
    found = words_by_letters(heard_at_random(seed, frames), SMALL, [[(word,)] for word in words], hush)
    if found is None:
        return
    silences = [(at, at + length) for at, length in sorted(quiet)]
    spans = sharpened(found.spans * 0.02, silences, [(a * 0.02, b * 0.02) for a, b in found.foreign])
    for edges in (found.spans.ravel(), spans.ravel()):
        assert len(edges) == 2 * len(words)
        assert (np.diff(edges) >= 0).all()
        assert np.isfinite(edges).all()
    assert (found.spans >= 0).all()
    assert (found.spans <= frames).all()
    assert all(0 <= score <= 1 for score in found.scores)
    assert all(0 <= first < stop <= frames for first, stop in found.foreign)


@st.composite
def sentences(draw: st.DrawFn) -> tuple[list[str], str, list[tuple[int, int]]]:
    """Words of a text, what is heard (with pauses and fillers of other letters between), and where each word is."""
    words = draw(st.lists(st.text("abcdefgh", min_size=1, max_size=7), min_size=1, max_size=8))
    heard, spans = "", []
    for word in words:
        heard += "." * draw(st.integers(1, 9))
        if draw(st.booleans()):
            heard += draw(st.sampled_from(("xxxxxyyyyy", "zzzzzzzz"))) + "." * draw(st.integers(1, 9))
        start = len(heard)
        heard += "".join(letter * draw(st.integers(1, 4)) for letter in word)
        spans.append((start, len(heard)))
    return words, heard + "." * draw(st.integers(0, 9)), spans


@given(sentences())
def test_words_are_where_they_were_said_whatever_is_said_between_them(
    case: tuple[list[str], str, list[tuple[int, int]]],
) -> None:
    words, heard, spans = case
    told = LETTERS.log_probabilities(planted(heard, LETTERS))
    found = words_by_letters(told, LETTERS, [[(word,)] for word in words], np.zeros(len(heard), np.float32))
    assert found is not None
    assert found.spans.tolist() == [list(span) for span in spans]
    fillers = [heard[first:stop] for first, stop in found.foreign]
    assert "".join(fillers) == "".join(letter for letter in heard if letter in "xyz")


@st.composite
def sentences_with_long_fillers(draw: st.DrawFn) -> tuple[list[str], str, list[tuple[int, int]]]:
    """As `sentences`, but a filler is one letter of a word beside it, held for up to a second.

    No word has a letter of another one or the same letter twice: of "ab ab" the filler "a" may be said for either.
    """
    letters = draw(st.permutations("abcdefghijklmnopqr"))
    words = ["".join(letters[3 * n : 3 * n + draw(st.integers(2, 3))]) for n in range(draw(st.integers(1, 6)))]
    heard, spans = "", []
    for n, word in enumerate(words):
        heard += "." * draw(st.integers(5, 20))
        if draw(st.booleans()):
            letter = draw(st.sampled_from(word + "".join(words[max(0, n - 1) : n])))
            heard += letter * draw(st.integers(12, 50)) + "." * draw(st.integers(5, 20))
        start = len(heard)
        heard += "".join(letter * draw(st.integers(2, 5)) for letter in word)
        spans.append((start, len(heard)))
    return words, heard + "." * draw(st.integers(0, 9)), spans


@given(sentences_with_long_fillers())
@examples(50, deadline=None)
def test_a_long_filler_that_sounds_like_one_letter_takes_no_word_away_from_its_other_letters(
    case: tuple[list[str], str, list[tuple[int, int]]],
) -> None:
    """ "Um" is heard as "o"; "two", "of" and "from" were timed on it, a second before they were said."""
    words, heard, spans = case
    told = LETTERS.log_probabilities(planted(heard, LETTERS))
    found = words_by_letters(told, LETTERS, [[(word,)] for word in words], np.zeros(len(heard), np.float32))
    assert found is not None
    assert found.spans.tolist() == [list(span) for span in spans]


@pytest.mark.parametrize(
    ("words", "heard", "spans"),
    [
        (
            ["ab", "def", "gh"],
            ".....aaaaaaaaaaaa.....aabb.....ddeeff.....dddddddddddd.....gghh",
            [22, 26, 31, 37, 59, 63],
        ),
        (["ab", "de", "gh"], ".....aabb.....dddddddddddd.....ddee.....dddddddddddd.....gghh", [5, 9, 31, 35, 57, 61]),
        (["ab", "cab"], ".....ab.....cccccccccccc.....cabbbb", [5, 7, 29, 35]),
        (
            ["ab", "def", "gh"],
            f".....{'a' * 12}.....aabb.....{'d' * 27}.............ddeeeefffff.....{'d' * 12}.....gghh",
            [22, 26, 71, 82, 104, 108],
        ),
        (
            ["ch", "kp", "afj", "go"],
            f"{'.' * 20}{'c' * 37}.....ccccchh.....kkpp.....{'j' * 12}.....aaafffjjjjj.....{'a' * 33}.....ggooo",
            [62, 69, 74, 78, 100, 111, 154, 159],
        ),
    ],
    ids=["each beside its own", "two beside one word", "held over the pause too", "no place yet", "a place taken yet"],
)
def test_a_word_beside_fillers_is_where_its_letters_are_heard(words: list[str], heard: str, spans: list[int]) -> None:
    told = LETTERS.log_probabilities(planted(heard, LETTERS))
    found = words_by_letters(told, LETTERS, [[(word,)] for word in words], np.zeros(len(heard), np.float32))
    assert found is not None
    assert found.spans.ravel().tolist() == spans


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=5), min_size=1, max_size=5), st.integers(0, 99), st.data())
@examples(50, deadline=None)
def test_a_letter_that_is_drawn_out_stays_in_its_word(words: list[str], at: int, data: st.DataObject) -> None:
    heard, spans = "", []
    for n, word in enumerate(words):
        heard += "." * data.draw(st.integers(1, 9))
        long = data.draw(st.integers(0, len(word) - 1)) if n == at % len(words) else -1
        start = len(heard)
        heard += "".join(letter * (40 if k == long else 3) for k, letter in enumerate(word))
        spans.append((start, len(heard)))
    told = LETTERS.log_probabilities(planted(heard + "...", LETTERS))
    found = words_by_letters(told, LETTERS, [[(word,)] for word in words], np.zeros(len(heard) + 3, np.float32))
    assert found is not None
    assert found.spans.tolist() == [list(span) for span in spans]
