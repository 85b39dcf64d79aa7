"""Cyrillic as the Latin letters that sound like it."""

from __future__ import annotations

import unicodedata

import pytest

from autorag_whisper.align.letter_text import GAP, letter_text
from autorag_whisper.align.letter_training import spelled
from autorag_whisper.align.romanization import LATIN_OF, romanized

LATIN = tuple("abcdefghijklmnopqrstuvwxyz")


def test_each_letter_is_a_cyrillic_one_of_its_own_and_gives_latin_ones() -> None:
    for letter, latin in LATIN_OF.items():
        assert unicodedata.name(letter).startswith("CYRILLIC SMALL LETTER"), letter
        assert unicodedata.normalize("NFKD", letter) == letter
        assert set(latin) <= set(LATIN), letter


def test_every_letter_of_the_alphabets_is_known() -> None:
    alphabets = "абвгдеёжзийклмнопрстуфхцчшщъыьэюяґєіїўђјљњћџѓѕќ"
    for letter in unicodedata.normalize("NFKD", alphabets):
        assert unicodedata.combining(letter) or letter in LATIN_OF, letter


@pytest.mark.parametrize(
    ("word", "latin"), [("Щука", "shuka"), ("ещё", "eshe"), ("объявление", "obyavlenie"), ("їжак", "izhak")]
)
def test_a_word_is_written_as_it_sounds(word: str, latin: str) -> None:
    letters = tuple(1 + LATIN.index(letter) for letter in latin)
    assert spelled(word, LATIN) == letters
    text = letter_text([[(word,)]], LATIN)
    assert text is not None
    assert tuple(text.symbols[text.owners == 0]) == letters


def test_a_classifier_that_knows_the_letters_themselves_is_asked_for_those() -> None:
    alphabet = (*LATIN, "ж")
    assert spelled("ж", alphabet) == (27,)
    text = letter_text([[("ж",)]], alphabet)
    assert text is not None
    assert [symbol for symbol in text.symbols if symbol > GAP and symbol > 0] == [27]


def test_other_letters_stay() -> None:
    assert romanized("a") == "a"
    assert romanized("語") == "語"
    assert letter_text([[("日本語",)]], LATIN) is None
