"""Words as labels of a vocabulary: its case, its accents, what it lacks, and vocabularies that are none."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.ctc import WILDCARD
from autorag_whisper.align.spelling import CtcVocabulary, spell
from autorag_whisper.domain.alignment_errors import VocabularyUnusable


def vocabulary(characters: str) -> CtcVocabulary:
    tokens = {"<pad>": 0, "|": 1} | {character: n + 2 for n, character in enumerate(characters)}
    return CtcVocabulary.read(tokens, 0, len(tokens))


def spelled(word: str, characters: str) -> str:
    """The labels as the characters that they are; `*` is a wildcard."""
    return "".join("*" if label == WILDCARD else characters[label - 2] for label in vocabulary(characters).spell(word))


LATIN = "abcdefghijklmnopqrstuvwxyz'"


def test_case_follows_the_vocabulary() -> None:
    assert spelled("Hello", LATIN) == "hello"
    assert spelled("Hello", LATIN.upper()) == "HELLO"
    assert spelled("ÉTÉ", "ét") == "été"


def test_an_accent_stays_where_the_vocabulary_has_it_and_goes_where_not() -> None:
    assert spelled("café", LATIN + "é") == "café"
    assert spelled("café", LATIN) == "cafe"
    assert spelled("cafe\u0301", LATIN + "é") == "café"
    assert spelled("Straße", LATIN) == "strasse"
    assert spelled("Straße", LATIN + "ß") == "straße"
    assert spelled("Ærø", LATIN) == "aero"
    assert spelled("STRASSE", LATIN.upper()) == "STRASSE"


def test_marks_are_left_out_and_apostrophes_are_one() -> None:
    assert spelled("don\u2019t!", LATIN) == "don't"
    assert spelled("(rock-n-roll)", LATIN) == "rocknroll"
    assert spelled("don't", LATIN[:-1]) == "dont"


def test_a_run_of_what_is_lacking_is_one_wildcard() -> None:
    assert spelled("日本x語", LATIN) == "*x*"
    assert spelled("350", LATIN) == "*"
    assert spelled("🙂", LATIN) == "*"
    assert spelled("…", LATIN) == ""


def test_a_written_word_owns_all_its_spoken_words() -> None:
    found = spell(["It's", "$25,", "—", "日本"], "en", vocabulary(LATIN))
    assert found.owners == (0, 1, 1, 1, 2, 3)
    assert [len(labels) for labels in found.labels] == [4, 6, 4, 7, 0, 1]


@given(st.text(max_size=20))
def test_labels_are_columns_or_wildcards_that_never_stand_twice(word: str) -> None:
    labels = vocabulary(LATIN).spell(word)
    assert all(label == WILDCARD or 2 <= label < 29 for label in labels)
    assert all(pair != (WILDCARD, WILDCARD) for pair in itertools.pairwise(labels))


def test_a_vocabulary_is_read_with_its_own_blank_and_separator() -> None:
    tokens = {"a": 0, "b": 1, "<s>": 2, "</s>": 3, "[UNK]": 4, "[PAD]": 5, " ": 6}
    for blank in (5, None):
        found = CtcVocabulary.read(tokens, blank, 8)
        assert (found.blank, found.separator, dict(found.columns)) == (5, 6, {"a": 0, "b": 1})
    assert CtcVocabulary.read(tokens, 7, 8).blank == 7  # the config says so: another blank than the table's
    assert CtcVocabulary.read({"a": 0, "_": 1, "<pad>": 2}, None, 3).separator is None


@pytest.mark.parametrize(
    ("tokens", "blank", "size"),
    [
        (None, 0, 3),
        ({}, 0, 3),
        (["a", "b"], 0, 3),
        ({"eng": {"a": 0}}, 0, 3),  # one table for each language: which one is not said
        ({"<pad>": 0, "a": 9}, 0, 3),
        ({"<pad>": 0, "a": 1, "b": 1}, 0, 3),
        ({"<pad>": 0, "a": -1}, 0, 3),
        ({"a": 0, "b": 1}, None, 2),
        ({"<pad>": 0, "a": 1}, 5, 3),
        ({"<pad>": 0, "<unk>": 1}, 0, 2),
    ],
)
def test_what_is_no_vocabulary_is_a_typed_error(tokens: object, blank: int | None, size: int) -> None:
    with pytest.raises(VocabularyUnusable):
        CtcVocabulary.read(tokens, blank, size)
