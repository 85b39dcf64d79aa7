"""The character aligner on small cases that were drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from autorag_whisper.align.characters import MAX_TOKENS, marks, spell
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


def test_the_path_is_moved_by_what_the_head_is_late() -> None:
    spelled = spell(["ab"], [("ab",)], code_points)
    assert spelled is not None
    found = marks(spelled, np.asarray([0.0, 0.5, 0.6, 0.8]), 0.02)
    assert found.first.tolist() == [0.48]
    assert found.second.tolist() == [pytest.approx(0.58)]
    assert found.end.tolist() == [pytest.approx(0.84)]
