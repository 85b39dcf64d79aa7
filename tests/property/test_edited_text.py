"""An edited text: unchanged words keep their times, all words are the text's, in order, in their room."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autorag_whisper.align.edited import Unit, placed, runs_of, text_of, units_of, windows_of, words_of
from autorag_whisper.domain.transcript import Word, WordSource, join_words

SAID = (
    "Mary",
    "had",
    "a",
    "little",
    "lamb,",
    "its",
    "fleece",
    "was",
    "white.",
    "555-",
    "東",
    "京都",
    "に",
    "हिन्दी",
    "don't",
)
TEXTS = st.lists(st.sampled_from((*SAID, "—", "(the", "big", "42", "Éa", "!?")), max_size=14)
WORDS = st.lists(st.tuples(st.sampled_from(SAID), st.integers(0, 3), st.booleans()), max_size=14)
LANGUAGES = st.sampled_from(["en", "zh", "th", "de"])
START_S, END_S = 10.0, 30.0


def spoken(texts: list[tuple[str, int, bool]]) -> list[Word]:
    """Words one behind the other, some with a pause, some written together."""
    words, at = list[Word](), START_S
    for text, pause, space in texts:
        at += pause / 4
        words.append(Word(text, at, at + 0.25, 0.75, WordSource.CHARACTERS, 0.5, space))
        at += 0.25
    return words


def letters(text: str) -> str:
    return "".join(text.split())


@given(old=WORDS, text=TEXTS, language=LANGUAGES, share=st.integers(0, 4))
@example(old=[], text=["—"], language="zh", share=0)  # marks alone, in a language that writes no spaces
@example(old=[("東", 0, False)], text=["—", "!?"], language="zh", share=0)
def test_words_are_the_texts_and_unchanged_ones_are_as_they_were(
    old: list[tuple[str, int, bool]], text: list[str], language: str, share: int
) -> None:
    words, written = spoken(old), " ".join(text)
    units = units_of(words, written, language)
    assert letters(text_of(units)) == letters(written)
    kept = [unit.kept for unit in units if unit.kept is not None]
    assert [word for word in words if word in kept] == sorted(kept, key=lambda word: word.start_s)
    runs = runs_of(units, (START_S, END_S))
    found: list[Word | None] = [None] * len(units)
    for window in windows_of(units, runs, 28.0):
        assert window.end_s - window.start_s <= 28.0
        inside = units[window.first : window.stop]
        length = (window.end_s - window.start_s) / len(inside)
        heard = [
            Word(u.text, window.start_s + n * length, window.start_s + (n + share / 4) * length, 0.9)
            for n, u in enumerate(inside)
        ]
        found[window.first : window.stop] = placed(inside, heard)
        assert None not in found[window.first : window.stop]
    made = words_of(units, runs, found)
    assert letters(join_words(made)) == letters(written)
    for unit, word in zip(units, made, strict=True):
        assert START_S <= word.start_s <= word.end_s <= END_S
        if unit.kept is not None:
            assert word == replace(unit.kept, text=unit.text)
    assert all(left.end_s <= right.start_s + 1e-9 for left, right in itertools.pairwise(made))


@given(old=WORDS, language=LANGUAGES)
def test_a_text_that_is_not_edited_changes_nothing(old: list[tuple[str, int, bool]], language: str) -> None:
    words = spoken([(text, pause, space or not n) for n, (text, pause, space) in enumerate(old)])
    units = units_of(words, join_words(words), language)
    assert [unit.kept for unit in units] == words
    assert runs_of(units, (START_S, END_S)) == []
    assert words_of(units, [], [None] * len(units)) == words


def edited(old: str, new: str, language: str = "en") -> list[str]:
    """The units of `new`; those that are new in brackets."""
    units = units_of(spoken([(text, 0, True) for text in old.split()]), new, language)
    return [unit.text if unit.kept is not None else f"[{unit.text}]" for unit in units]


@pytest.mark.parametrize(
    ("old", "new", "units"),
    [
        ("a little lamb", "a big lamb", "a [big] lamb"),
        ("a little lamb", "A little lamb.", "A little lamb."),
        ("a a a b", "a a b", "a a b"),
        ("a b", "x a b y", "[x] a b [y]"),
        ("real time", "realtime", "[realtime]"),
        ("a b", "a — b", "a — b"),
    ],
)
def test_what_is_compared_are_the_words(old: str, new: str, units: str) -> None:
    assert " ".join(edited(old, new)) == units


def test_words_that_are_written_together_are_kept_one_by_one() -> None:
    words = spoken([("Call", 0, True), ("555-", 0, True), ("0199", 0, False)])
    assert [unit.kept for unit in units_of(words, "call 555-0199", "en")] == words
    assert [unit.kept for unit in units_of(words, "Call 555-0198", "en")] == [words[0], None]


def test_without_spaces_characters_are_compared() -> None:
    words = spoken([("東京", 0, False), ("は", 0, False), ("大きい。", 0, False)])
    units = units_of(words, "東京も大きい。", "ja")
    assert [(unit.text, unit.kept) for unit in units] == [("東京", words[0]), ("も", None), ("大きい。", words[2])]


def test_a_word_without_room_is_marked_as_an_estimate_and_moves_nothing() -> None:
    words = spoken([("a", 0, True), ("b", 0, True)])
    units = units_of(words, "a x b", "en")
    runs = runs_of(units, (START_S, END_S))
    assert windows_of(units, runs, 28.0) == []
    made = words_of(units, runs, [None] * 3)
    assert (made[0], made[2]) == (words[0], words[1])
    assert (made[1].start_s, made[1].end_s, made[1].source) == (10.25, 10.25, WordSource.INTERPOLATED)


def test_a_run_that_is_longer_than_a_window_is_estimated_and_a_long_context_is_left_out() -> None:
    units = [Unit("x", space_before=True)]
    assert windows_of(units, runs_of(units, (0.0, 28.1)), 28.0) == []
    [window] = windows_of(units, runs_of(units, (0.0, 27.9)), 28.0)
    assert (window.start_s, window.end_s) == (0.0, 27.9)
