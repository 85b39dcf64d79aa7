"""Syllables of a text, whatever it is written in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.recognition.pace import FAST_PER_S, syllables


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("The quick brown fox jumps over the lazy dog.", 11),
        ("Donaudampfschifffahrt", 6),
        ("Σήμερα το πρωί πήγα", 8),
        ("Сегодня хорошая погода", 10),
        ("არა, მე დღეს ბაზარში", 7),
        ("नहीं, मैं आज बाज़ार", 6),
        ("இல்லை, நான் இன்று", 5),
        ("కాదు, నేను ఈరోజు", 7),
        ("ሰላም", 3),
        ("السلام عليكم", 6),
        ("שלום עליכם", 5),
        ("今天天气很好", 6),
        ("안녕하세요", 5),
        ("สวัสดีครับ", 4),
        ("nineteen eighty-five", 5),
        ("1985", 5),
    ],
)
def test_the_syllables_of_a_text_are_known_to_two_fifths(text: str, true: int) -> None:
    assert syllables(text) == pytest.approx(true, rel=0.4)


def test_nothing_that_is_said_has_no_syllables() -> None:
    assert syllables("") == syllables("... — !?") == 0.0


@given(st.text(max_size=30), st.text(max_size=30))
def test_words_behind_one_another_have_the_syllables_of_both(first: str, second: str) -> None:
    assert syllables(f"{first} {second}") == pytest.approx(syllables(first) + syllables(second))


def test_read_speech_is_slower_than_what_counts_as_fast_in_every_script() -> None:
    data = json.loads((Path(__file__).parents[1] / "data" / "repetitions.json").read_text(encoding="utf-8"))
    rates = {one["text"]: syllables(one["text"]) / one["duration_s"] for one in data}
    assert {text: rate for text, rate in rates.items() if not 2.0 < rate < FAST_PER_S - 1.0} == {}


@pytest.mark.parametrize(
    ("text", "count"), [("Mr", 1), ("grrr shh", 2), ("été", 2), ("naïve", 2), ("きゃ", 0.75), ("がっこう", 2.25)]
)
def test_abbreviations_accents_and_small_kana(text: str, count: float) -> None:
    assert syllables(text) == count
