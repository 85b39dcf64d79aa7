"""The edges of words next to silences, on paths that were drawn by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autorag_whisper.align.characters import Marks
from autorag_whisper.align.edges import steadied, word_spans


def hand_drawn(*words: tuple[float, ...]) -> Marks:
    """Marks of words: when their letters are seen, two and more, and what follows."""
    first, second, end = np.asarray([(word[0], word[1], word[-1]) for word in words]).T
    return Marks(first, second, end, tuple(np.asarray(word[:-1]) for word in words))


def clear_of(spans: np.ndarray, silence: tuple[float, float]) -> list[list[float]]:
    """The spans that do not reach into a silence."""
    return [[start, end] for start, end in spans.tolist() if end <= silence[0] or start >= silence[1]]


def test_a_first_letter_seen_in_the_pause_starts_where_speech_does() -> None:
    spans = word_spans(hand_drawn((0.0, 0.1, 0.6), (0.6, 1.7, 2.0)), [(0.5, 1.6)], 9.0)
    assert spans.tolist() == [[0.0, 0.5], [1.6, 2.0]]


def test_words_seen_in_a_pause_follow_it_in_their_order_where_the_sentence_ends_before_it() -> None:
    marks = hand_drawn((0.0, 0.2, 0.4, 0.49, 0.5), (0.6, 0.7, 0.9), (1.0, 1.2, 1.9), (2.0, 2.1, 2.3))
    spans = word_spans(replace(marks, marked=frozenset({0})), [(0.5, 1.5)], 9.0)
    assert spans[0].tolist() == [0.0, 0.5]
    assert spans[1].tolist() == pytest.approx([1.5, 1.56], abs=0.006)
    assert spans[2].tolist() == pytest.approx([1.56, 2.0], abs=0.006)


def test_words_seen_in_a_pause_come_before_it_where_there_is_sound_left_for_them_and_none_behind() -> None:
    """ "... like to try. As far as": "to try" in the pause, "like" done half a second before it."""
    marks = hand_drawn((0.0, 0.1, 1.2), (1.2, 1.3, 1.4), (1.5, 1.6, 1.7), (2.5, 2.52, 2.6), (2.6, 2.7, 2.8))
    spans = word_spans(marks, [(0.6, 2.5)], 9.0)
    assert spans[0][1] <= spans[1][0] < spans[1][1] <= spans[2][0] < spans[2][1] == 0.6
    assert spans[3].tolist() == pytest.approx([2.5, 2.6])


def test_where_either_side_has_room_the_mark_in_the_text_tells_where_the_pause_is() -> None:
    marks = hand_drawn((0.0, 0.1, 0.4), (1.2, 1.3, 1.4), (2.7, 2.8, 3.0))
    said = [(0.5, 2.5)]
    for marked, side in ((0, 2.5), (1, 0.44)):
        found = word_spans(replace(marks, marked=frozenset({marked})), said, 9.0)
        assert found[1][0] == pytest.approx(side, abs=0.006)


@pytest.mark.parametrize(("last_letter", "side"), [(0.49, 1.5), (0.25, 0.43)])
def test_a_word_seen_in_a_pause_takes_no_sound_of_the_last_letter_before_it(last_letter: float, side: float) -> None:
    """No mark tells on which side of the pause it is: "try" was put into the "ing" of the word before."""
    marks = hand_drawn((0.0, 0.1, last_letter, last_letter + 0.01), (0.6, 0.7, 0.8, 0.9), (2.0, 2.1, 2.3))
    assert word_spans(marks, [(0.5, 1.5)], 9.0)[1, 0] == pytest.approx(side, abs=0.011)


def test_words_crowded_before_a_pause_all_have_their_room_there() -> None:
    """Two that are seen late outweigh the last one, which was left with half of its sound."""
    crowd = [(at, *(at + 0.002 * n for n in range(1, 12)), at + 0.05) for at in (1.6, 1.65, 1.7)]
    marks = replace(hand_drawn(*crowd, (3.0, 3.1, 3.4)), marked=frozenset({2}))
    spans = word_spans(marks, [(2.0, 3.0)], 9.0)
    assert spans[2, 1] == 2.0
    assert (spans[:3, 1] - spans[:3, 0] >= 0.2).all()


def test_words_at_the_end_that_have_no_sound_stay_where_the_path_has_them() -> None:
    """ "Thank you." in the silence behind the last word: a rule of `recognition.hallucinations` asks where they are."""
    marks = hand_drawn((0.0, 0.2, 0.45, 0.5), (2.8, 2.81, 2.82), (2.83, 2.84, 2.85))
    spans = word_spans(marks, [(0.5, 3.0)], 3.0)
    assert spans[0].tolist() == [0.0, 0.5]
    assert spans[1:, 0].tolist() == pytest.approx([2.8, 2.83])


def test_many_words_on_one_spot_take_no_room_from_others() -> None:
    """A sentence that is written once more with no sound for it: `squeezed_repeat` asks how close its words are."""
    others = [(0.0, 0.2, 0.5), *[(0.5, 0.5, 0.5)] * 5, (0.5, 0.7, 1.0)]
    spans = word_spans(hand_drawn(*others), [], 2.0)
    assert spans[5, 0] - spans[1, 0] <= 5 * 0.02
    assert spans[6, 0] == pytest.approx(0.5, abs=0.11)


def test_a_single_word_in_the_silence_at_the_end_lies_in_the_sound_before_it() -> None:
    marks = hand_drawn((0.0, 0.1, 0.4), (1.9, 1.95, 2.0))
    spans = word_spans(marks, [(0.6, 2.5)], 2.5)
    assert 0.1 <= spans[1][0] < spans[1][1] == 0.6


def test_the_stop_of_a_consonant_inside_a_word_leaves_it_whole() -> None:
    spans = word_spans(hand_drawn((0.0, 0.1, 0.6), (0.6, 0.7, 1.2)), [(0.8, 0.92)], 9.0)
    assert spans.tolist() == [[0.0, 0.6], [0.6, pytest.approx(1.2)]]


def test_a_pause_between_what_a_number_is_said_as_leaves_it_whole() -> None:
    """ "2-6" with its digits a second apart, of which the path is sure: as one spoken word it would be trimmed."""
    letters = (np.asarray([0.1, 0.2, 0.3, 1.6, 1.7]),)
    one = Marks(np.asarray([0.1]), np.asarray([0.2]), np.asarray([1.9]), letters)
    several = Marks(one.first, one.second, one.end, letters, frozenset({0}))
    assert len(clear_of(word_spans(one, [(0.5, 1.5)], 9.0), (0.5, 1.5))) == 1
    assert word_spans(several, [(0.5, 1.5)], 9.0).tolist() == [[0.1, pytest.approx(1.9)]]


def test_a_first_letter_that_lingers_starts_late() -> None:
    [[start, _]] = word_spans(hand_drawn((0.0, 0.8, 1.2)), [], 9.0).tolist()
    assert start == pytest.approx(0.71)


def test_a_run_of_words_far_from_their_tokens_takes_the_tokens_times_and_a_pair_does_not() -> None:
    path = hand_drawn(*((n, n + 0.1, n + 0.5) for n in range(6)))
    tokens = np.asarray([(0.0, 0.5), (1.4, 1.5), (2.4, 2.5), (3.0, 3.5), (4.0, 4.5), (5.0, 5.5)])
    assert steadied(path, tokens, [], 9.0).first.tolist() == path.first.tolist()
    tokens[3] = (3.4, 3.8)
    found = steadied(path, tokens, [], 9.0)
    assert found.first.tolist() == [0.0, 1.4, 2.4, 3.4, 4.0, 5.0]
    assert found.end.tolist() == [0.5, 1.5, 2.5, 3.8, 4.5, 5.5]


def test_tokens_seen_elsewhere_in_a_pause_say_nothing_against_the_path() -> None:
    """With tiny.en a good path was replaced by tokens that the decoder had seen seconds early, in the pause before."""
    path = hand_drawn((3.0, 3.1, 3.2), (3.2, 3.3, 3.4), (3.4, 3.5, 3.6))
    tokens = np.asarray([(1.0, 1.5), (1.5, 2.0), (2.0, 3.5)])
    assert steadied(path, tokens, [], 9.0).first.tolist() == [1.0, 1.5, 2.0]
    assert steadied(path, tokens, [(0.5, 3.2)], 9.0).first.tolist() == path.first.tolist()
