"""Letter classifiers from encoder output and words with times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.letter_training import Course, Lesson, letter_path, spelled, targets, train

ALPHABET = ("a", "b", "c", "d")
SYMBOLS = len(ALPHABET) + 2
WIDTH = 12


def frames_of(symbols: list[int], rng: np.random.Generator) -> np.ndarray:
    """What an encoder might give: a direction of its own for each symbol, and noise."""
    own = np.random.default_rng(99).standard_normal((SYMBOLS, WIDTH)) * 3
    return (own[symbols] + rng.standard_normal((len(symbols), WIDTH))).astype(np.float16)


def a_lesson(seed: int) -> tuple[Lesson, list[int]]:
    """Words of letters of uneven lengths with silence between, and what each frame is."""
    rng, truth, words = np.random.default_rng(seed), [0] * 5, []
    for _ in range(20):
        letters = tuple(int(letter) for letter in rng.integers(1, len(ALPHABET) + 1, 3))
        start = len(truth)
        for letter in letters:
            truth += [letter] * int(rng.integers(2, 9))
        words.append((letters, start * 0.02, len(truth) * 0.02))
        truth += [0] * int(rng.integers(0, 6))
    return Lesson(frames_of(truth, rng), tuple(words)), truth


@pytest.mark.slow
def test_letters_are_found_though_only_the_words_times_were_told() -> None:
    lessons = [a_lesson(seed)[0] for seed in range(12)]
    classifier = train(lessons, ALPHABET, Course(hidden=32, epochs=(30, 30, 60)))
    lesson, truth = a_lesson(1000)
    told = classifier.log_probabilities(np.asarray(lesson.encoded, np.float32)).argmax(axis=1)
    assert np.mean(told == truth) > 0.93
    assert classifier.prior[0] == pytest.approx(np.log(np.mean([t == 0 for t in truth])), abs=0.5)


def test_the_same_lessons_give_the_same_weights() -> None:
    lessons = [a_lesson(seed)[0] for seed in range(2)]
    one, other = (train(lessons, ALPHABET, Course(hidden=8, epochs=(1, 1), seed=3)) for _ in range(2))
    assert np.array_equal(one.hidden_weights, other.hidden_weights)


@pytest.mark.slow
def test_with_teachers_less_is_learnt_that_is_chance() -> None:
    """The words of this speech are told late or early by chance; what is heard of other speech is held to its truth."""
    rng = np.random.default_rng(4)
    lessons = []
    for seed in range(2):
        lesson, _ = a_lesson(seed)
        late = rng.normal(0, 0.03, len(lesson.words))
        words = [(said, start + s, end + s) for (said, start, end), s in zip(lesson.words, late, strict=True)]
        lessons.append(Lesson(lesson.encoded, tuple(words)))
    unseen = [a_lesson(seed) for seed in range(1000, 1008)]
    frames = np.concatenate([lesson.encoded for lesson, _ in unseen]).astype(np.float32)
    truth = np.concatenate([symbols for _, symbols in unseen])

    def wrong(teachers: int) -> float:
        courses = [Course(hidden=32, epochs=(100,), seed=seed, teachers=teachers) for seed in (1, 2, 3)]
        told = [train(lessons, ALPHABET, course).log_probabilities(frames).argmax(axis=1) for course in courses]
        return float(np.mean([one != truth for one in told]))

    assert wrong(4) < 0.95 * wrong(0)


def test_what_a_lesson_does_not_teach_leaves_no_trace() -> None:
    # The second half of the speech is other people's, of whom nothing is known.
    lesson, _ = a_lesson(1)
    half = len(lesson.encoded) // 2
    taught = np.where(np.arange(len(lesson.encoded)) < half, 1.0, 0.0).astype(np.float32)
    words = tuple(word for word in lesson.words if word[2] < 0.02 * half)
    full = Lesson(lesson.encoded, words, taught=taught)
    rng = np.random.default_rng(5)
    encoded = lesson.encoded.copy()
    encoded[half + 1 :] = rng.permutation(encoded[half + 1 :])  # mean and spread stay
    other = Lesson(encoded, words, taught=taught)
    one, two = (train([each], ALPHABET, Course(hidden=8, epochs=(1,))) for each in (full, other))
    assert np.allclose(one.hidden_weights, two.hidden_weights, atol=1e-5)


def test_there_must_be_something_to_learn_from() -> None:
    with pytest.raises(ValueError, match="no lesson has a word"):
        train([Lesson(np.zeros((5, 4), np.float32), ())], ALPHABET, Course())


@given(
    edges=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=8, unique=True).map(sorted),
    letters=st.lists(st.integers(1, SYMBOLS - 1), min_size=1, max_size=6),
    filler=st.booleans(),
)
def test_of_a_frame_the_words_have_what_lies_in_them_and_silence_the_rest(
    edges: list[float], letters: list[int], filler: bool
) -> None:
    words = tuple((tuple(letters), a, b) for a, b in zip(edges[::2], edges[1::2], strict=False) if b - a >= 0.02)
    lesson = Lesson(np.zeros((50, 2), np.float32), words, frozenset({0} if filler else ()))
    told = targets(lesson, SYMBOLS, None)
    assert np.allclose(told.sum(axis=1), 1.0, atol=1e-5)
    assert np.all(told >= 0)
    spoken_s = sum(b - a for _, a, b in words)
    assert (1 - told[:, 0]).sum() * 0.02 == pytest.approx(spoken_s, abs=1e-3)
    if filler and words and SYMBOLS - 1 not in letters:
        assert told[:, SYMBOLS - 1].sum() * 0.02 == pytest.approx((words[0][2] - words[0][1]) / 2, abs=1e-3)


@given(frames=st.integers(1, 12), letters=st.integers(1, 9), seed=st.integers(0, 99))
def test_letters_come_in_order_and_at_most_two_in_a_row_are_left_out(frames: int, letters: int, seed: int) -> None:
    if letters > 3 * frames + 2:
        return
    path = letter_path(np.random.default_rng(seed).standard_normal((frames, letters)).astype(np.float32))
    assert path[0] <= 2
    assert path[-1] >= letters - 3
    assert set(np.diff(path)) <= {0, 1, 2, 3}


def test_the_best_order_of_letters_is_found() -> None:
    heard = np.full((6, 3), -9.0, np.float32)
    for frame, letter in enumerate((0, 0, 1, 1, 1, 2)):
        heard[frame, letter] = 0.0
    assert letter_path(heard).tolist() == [0, 0, 1, 1, 1, 2]


def test_a_word_is_spelled_without_its_accents_and_marks() -> None:
    alphabet = tuple("abcdefghijklmnopqrstuvwxyz")
    assert spelled("Café,", alphabet) == (3, 1, 6, 5)
    assert spelled("don't", alphabet) == (4, 15, 14, 20)
    assert spelled("語", alphabet) == (27,)
    assert spelled("...", alphabet) == ()
