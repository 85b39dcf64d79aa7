"""The character aligner on small cases that were drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from autorag_whisper.align.characters import MAX_TOKENS, Marks, marks, spell, steadied
from autorag_whisper.align.edges import word_spans
from autorag_whisper.align.text_normalization import spoken_words


def code_points(text: str) -> list[int]:
    return [ord(character) for character in text]


def pieces(text: str, language: str = "en") -> list[list[str]]:
    """For each word the texts of its tokens, one token a call of the encoder."""
    table: list[str] = []

    def encode(piece: str) -> list[int]:
        table.append(piece)
        return [len(table) - 1]

    words = text.split()
    spelled = spell(words, spoken_words(words, language), encode)
    assert spelled is not None
    by_token = [table[n] for n in spelled.token_ids]
    return [by_token[first:stop] for first, stop in zip(spelled.firsts, spelled.stops, strict=True)]


def test_both_ends_of_a_long_word_are_single_letters_and_marks_are_left_out() -> None:
    assert pieces('"Knowledge, he') == [["K", "n", "owledg", "e"], ["h", "e"]]


def test_a_number_is_spelled_as_it_is_said_and_stays_one_word() -> None:
    [money, each] = pieces("$25 each")
    assert "".join(money) == "twenty five dollars"
    assert "".join(each) == "each"


def test_what_has_no_letter_is_spelled_as_it_stands() -> None:
    assert pieces("😀 —") == [["😀"], ["—"]]


@pytest.mark.parametrize("word", ["नमस्ते", "שלום", "مرحبا", "é", "e\u0301"])
def test_marks_stay_with_their_letter_and_no_letter_is_lost(word: str) -> None:
    import unicodedata

    [found] = pieces(word, "xx")
    assert "".join(found) == unicodedata.normalize("NFC", word)
    assert not any(unicodedata.category(piece[0]).startswith("M") for piece in found)


def test_a_text_too_long_is_shortened_and_one_that_cannot_be_is_refused() -> None:
    words = ["abcdefghi"] * 120

    def encode(text: str) -> list[int]:
        return [len(text)]

    spelled = spell(words, [(word,) for word in words], encode)
    assert spelled is not None
    assert len(spelled.token_ids) <= MAX_TOKENS
    assert spell(words * 3, [(word,) for word in words * 3], encode) is None
    assert spell([], [], encode) is None


def test_a_piece_whose_token_the_small_decoder_lacks_is_spelled_letter_by_letter() -> None:
    """The first token that it lacks has the number of those that it has."""

    def encode(text: str) -> list[int]:
        return [500] if text == "cdef" else [ord(letter) for letter in text]

    def tokens(below: int | None) -> list[int]:
        spelled = spell(["abcdefg"], [()], encode, below)
        assert spelled is not None
        return list(spelled.token_ids[1:])

    assert tokens(None) == tokens(501) == [ord("a"), ord("b"), 500, ord("g")]
    assert tokens(500) == code_points("abcdefg")


def hand_drawn(*words: tuple[float, float, float]) -> Marks:
    """Marks of words: (first letter, second letter, what follows), two letters each."""
    first, second, end = np.asarray(words).T
    return Marks(first, second, end, tuple(np.asarray(pair) for pair in zip(first, second, strict=True)))


def test_a_first_letter_seen_in_the_pause_starts_where_speech_does() -> None:
    spans = word_spans(hand_drawn((0.0, 0.1, 0.6), (0.6, 1.7, 2.0)), [(0.5, 1.6)], 9.0)
    assert spans.tolist() == [[0.0, 0.5], [1.6, 2.0]]


def test_words_seen_in_a_pause_follow_it_in_their_order() -> None:
    marks = hand_drawn((0.0, 0.1, 0.5), (0.6, 0.7, 0.9), (1.0, 1.2, 1.9), (2.0, 2.1, 2.3))
    spans = word_spans(marks, [(0.5, 1.5)], 9.0)
    assert spans[0].tolist() == [0.0, 0.5]
    assert spans[1].tolist() == [1.5, 1.75]
    assert spans[2].tolist() == [1.75, 2.0]


def test_no_word_is_thrown_to_the_end_of_the_audio_by_the_silence_there() -> None:
    spans = word_spans(hand_drawn((0.0, 0.1, 0.5), (0.5, 0.9, 1.4)), [(0.5, 3.0)], 3.0)
    assert spans.tolist() == [[0.0, 0.5], [0.81, 1.4]]


def test_the_stop_of_a_consonant_inside_a_word_leaves_it_whole() -> None:
    spans = word_spans(hand_drawn((0.0, 0.1, 0.6), (0.6, 0.7, 1.2)), [(0.8, 0.92)], 9.0)
    assert spans.tolist() == [[0.0, 0.6], [0.6, 1.2]]


def test_a_pause_between_what_a_number_is_said_as_leaves_it_whole() -> None:
    """ "2-6" with its digits a second apart, of which the path is sure: as one spoken word it would be trimmed."""
    letters = (np.asarray([0.1, 0.2, 0.3, 1.6, 1.7]),)
    one = Marks(np.asarray([0.1]), np.asarray([0.2]), np.asarray([1.9]), letters)
    several = Marks(one.first, one.second, one.end, letters, frozenset({0}))
    assert word_spans(one, [(0.5, 1.5)], 9.0).tolist() == [[0.1, 0.5]]
    assert word_spans(several, [(0.5, 1.5)], 9.0).tolist() == [[0.1, 1.9]]


def test_a_first_letter_that_lingers_starts_late() -> None:
    [[start, _]] = word_spans(hand_drawn((0.0, 0.8, 1.2)), [], 9.0).tolist()
    assert start == pytest.approx(0.71)


def test_the_path_is_moved_by_what_the_head_is_late() -> None:
    spelled = spell(["ab"], [("ab",)], code_points)
    assert spelled is not None
    found = marks(spelled, np.asarray([0.0, 0.5, 0.6, 0.8]), 0.02)
    assert found.first.tolist() == [0.48]
    assert found.second.tolist() == [pytest.approx(0.58)]
    assert found.end.tolist() == [pytest.approx(0.84)]


def test_a_run_of_words_far_from_their_tokens_takes_the_tokens_times_and_a_pair_does_not() -> None:
    path = hand_drawn(*((n, n + 0.1, n + 0.5) for n in range(6)))
    tokens = np.asarray([(0.0, 0.5), (1.4, 1.5), (2.4, 2.5), (3.0, 3.5), (4.0, 4.5), (5.0, 5.5)])
    assert steadied(path, tokens).first.tolist() == path.first.tolist()
    tokens[3] = (3.4, 3.8)
    found = steadied(path, tokens)
    assert found.first.tolist() == [0.0, 1.4, 2.4, 3.4, 4.0, 5.0]
    assert found.end.tolist() == [0.5, 1.5, 2.5, 3.8, 4.5, 5.5]
