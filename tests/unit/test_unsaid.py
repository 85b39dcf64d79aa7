"""Repetitions judged by the times of their words: what was said stays, what nobody can have said is listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.words import TimedWord
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechSpan
from autorag_whisper.domain.transcript import Word
from autorag_whisper.recognition.hallucinations import SQUEEZED
from autorag_whisper.recognition.unsaid import UNSAID_LOOP, UNSAID_REPEAT, UNSAID_WORD, without_unsaid

if TYPE_CHECKING:
    from random import Random

TIMES = json.loads((Path(__file__).parents[1] / "data" / "repetition_times.json").read_text(encoding="utf-8"))
"""Texts with the times that base's attention gives them. `is_said`: espeak-ng says so, in 14 languages. Else twelve
or twenty times "a la viola" over 25 s of a Spanish reader in noise (-3.5 dB) who says nothing twice."""


def timed(words: list[tuple[str, float, float]]) -> list[TimedWord]:
    return [TimedWord(Word(text, start_s, max(start_s, end_s), 0.5), ()) for text, start_s, end_s in words]


def judged(words: list[TimedWord]) -> tuple[list[str], list[str]]:
    """The texts that stay, and the rules of those that do not."""
    speech = [SpeechSpan(0, round(SAMPLE_RATE_HZ * max([1.0, *(one.word.end_s for one in words)])))]
    kept, rejected = without_unsaid(words, speech)
    return [one.word.text for one in kept], [one.rule for one in rejected]


@pytest.mark.parametrize("one", [one for one in TIMES if one["is_said"]], ids=lambda one: one["language"])
def test_what_is_truly_said_again_and_again_stays(one: dict[str, Any]) -> None:
    kept, rules = judged(timed(one["words"]))
    assert rules == []
    assert kept == [word[0] for word in one["words"]]


@pytest.mark.parametrize("one", [one for one in TIMES if not one["is_said"]], ids=lambda one: len(one["words"]))
def test_a_loop_at_a_speakers_pace_shows_in_its_times(one: dict[str, Any]) -> None:
    kept, rules = judged(timed(one["words"]))
    assert rules == [UNSAID_LOOP]
    assert " ".join(kept).count("la viola") <= 2, "the reader's own, and the first"


@pytest.mark.parametrize("pace_per_s", [3.0, 6.0, 10.0])
@pytest.mark.parametrize("text", ["no", "hare", "oh yeah", "row your boat", "twenty one"])
def test_an_even_repetition_is_speech_however_long_it_goes_on(text: str, pace_per_s: float) -> None:
    words, at = [], 0.0
    for word in text.split() * 30:
        words.append((word, at, at + 2 / pace_per_s))
        at += 2 / pace_per_s
    assert judged(timed(words)) == ([word[0] for word in words], [])


@given(
    st.lists(st.floats(0.05, 3.0), min_size=4, max_size=12),
    st.lists(st.floats(0.0, 0.02), min_size=4, max_size=12),
    st.randoms(use_true_random=False),
)
def test_a_loop_of_which_a_third_has_no_time_is_found_wherever_that_is(
    long_s: list[float], none_s: list[float], random: Random
) -> None:
    lengths = [*long_s[: 2 * len(none_s)], *none_s]
    random.shuffle(lengths)
    words, at = [("Buenas", 0.0, 0.5)], 0.5
    for length_s in lengths:
        for word in ("de", "la", "ciudad"):
            words.append((word, at, at + length_s / 3))
            at += length_s / 3
    kept, rules = judged(timed([*words, ("Adiós.", at + 0.5, at + 1.0)]))
    assert kept[:4] == ["Buenas", "de", "la", "ciudad"]
    assert kept[-1] == "Adiós.", "what comes behind it was heard"
    assert len(kept) == 5
    assert rules == [UNSAID_LOOP]


SENTENCE = ["he", "began", "a", "confused", "complaint", "against", "the", "wizard", "who", "had", "vanished"]


def test_a_sentence_again_in_half_a_second_is_there_once() -> None:
    first = [(word, 0.35 * n, 0.35 * n + 0.35) for n, word in enumerate(SENTENCE)]
    again = [(word, 3.9 + 0.03 * n, 3.93 + 0.03 * n) for n, word in enumerate(SENTENCE)]
    kept, rules = judged(timed([*first, *again]))
    assert kept == SENTENCE
    assert set(rules) <= {UNSAID_REPEAT, SQUEEZED}
    assert rules


def test_of_a_sentence_that_is_written_again_behind_the_speech_no_beginning_stays() -> None:
    # "The chill wind caused them to shiver violently. The chill wind caused": seven of 170 joins.
    first = [(word, 0.3 * n, 0.3 * n + 0.3) for n, word in enumerate(SENTENCE)]
    end_s = first[-1][2]
    again = [(word, end_s + 0.08 * min(n, 5), end_s + 0.08 * min(n, 5)) for n, word in enumerate(SENTENCE)]
    speech = [SpeechSpan(0, round(SAMPLE_RATE_HZ * (end_s + 0.05)))]
    kept, rejected = without_unsaid(timed([*first, *again]), speech)
    assert [one.word.text for one in kept] == SENTENCE
    assert [(one.text, one.rule) for one in rejected] == [(" ".join(SENTENCE), SQUEEZED)]


def test_where_the_aligner_slipped_by_one_saying_nothing_is_lost() -> None:
    # "Row, row, row your boat" six times: the first had the time of two, the last had none.
    words = [(word, 2.0 * n / 5, 2.0 * (n + 1) / 5) for n, word in enumerate(["row", "row", "row", "your", "boat"])]
    words += [(word, 2 + 0.2 * n, 2.2 + 0.2 * n) for n, word in enumerate(["row", "row", "row", "your", "boat"] * 4)]
    words += [(word, 6 + 0.01 * n, 6.01 + 0.01 * n) for n, word in enumerate(["row", "row", "row", "your", "boat"])]
    assert judged(timed(words)) == ([word[0] for word in words], [])


def spoken(*words: tuple[str, float]) -> list[TimedWord]:
    """Words behind one another, each with its seconds."""
    found, at = [], 0.0
    for text, length_s in words:
        found.append((text, at, at + length_s))
        at += length_s
    return timed(found)


def stays(words: list[TimedWord]) -> bool:
    return judged(words) == ([one.word.text for one in words], [])


def test_a_short_word_is_judged_with_its_neighbours() -> None:
    # Of single words an aligner gives one nothing and the next one all.
    assert stays(spoken(*[("no", 0.05), ("no", 0.5)] * 8))


@pytest.mark.parametrize(("fast", "stay"), [(1, True), (2, True), (3, True), (4, False)])
def test_up_to_three_sayings_in_twelve_without_time_are_the_aligners(fast: int, *, stay: bool) -> None:
    slow, none = [("de", 0.3), ("la", 0.3), ("ciudad", 0.5)], [("de", 0.0), ("la", 0.0), ("ciudad", 0.1)]
    sayings = [none if n % 3 == 1 and n < 3 * fast else slow for n in range(12)]
    assert stays(spoken(*(word for saying in sayings for word in saying))) == stay


def test_four_short_words_at_once_are_one_saying_and_no_loop() -> None:
    assert stays(spoken(("Oh", 0.5), *[("no", 0.05)] * 4, ("said", 0.5), ("he", 0.5)))


def test_a_repetition_for_which_the_other_saying_leaves_time_stays() -> None:
    words = spoken(*((word, 0.6) for word in SENTENCE), *((word, 0.045) for word in SENTENCE), ("now", 0.5))
    assert stays(words)


def test_words_that_begin_on_one_spot_and_have_time_to_the_end_stay() -> None:
    assert stays(spoken(*[("la", 0.3)] * 4, *[("la", 0.02)] * 3, ("la", 1.0), ("there", 0.5)))


def test_other_signs_between_the_same_words_are_no_loop() -> None:
    assert stays(spoken(*((text, 0.01) for sign in "€$£¥₹₩" for text in ("one", sign)), ("left", 0.5)))


def test_capitals_make_no_difference() -> None:
    said = [("De", 0.5), ("la", 0.5), ("ciudad", 0.6)]
    loop = [(text.upper() if n % 2 else text, 0.01) for n in range(5) for text, _ in said]
    kept, rules = judged(spoken(*said, *loop, ("Adiós", 0.5)))
    assert (kept, rules) == (["De", "la", "ciudad", "Adiós"], [UNSAID_LOOP])


def test_of_a_sentence_that_was_said_again_only_its_squeezed_end_goes() -> None:
    again = [*((word, 0.3) for word in SENTENCE[:-2]), *((word, 0.02) for word in SENTENCE[-2:])]
    words = spoken(*((word, 0.3) for word in SENTENCE), *again)
    speech = [SpeechSpan(0, round((words[-3].word.end_s - 0.35) * SAMPLE_RATE_HZ))]
    kept, rejected = without_unsaid(words, speech)
    assert [one.word.text for one in kept] == [*SENTENCE, *SENTENCE[:-2]]
    assert [one.rule for one in rejected] == [SQUEEZED]


def test_of_a_short_saying_only_what_is_squeezed_goes() -> None:
    words = spoken(("row", 0.3), ("the", 0.2), ("boat", 0.4), ("row", 0.15), ("the", 0.02), ("boat", 0.02))
    speech = [SpeechSpan(0, round(0.7 * SAMPLE_RATE_HZ))]
    kept, rejected = without_unsaid(words, speech)
    assert [one.word.text for one in kept] == ["row", "the", "boat", "row"]
    assert [one.rule for one in rejected] == [SQUEEZED]


@pytest.mark.parametrize(
    ("text", "length_s", "stays"),
    [
        ("hahahahaha", 2.0, True),
        ("ha" * 40, 2.0, False),
        ("ha" * 40, 9.0, True),  # who laughs for nine seconds
        ("哈" * 60, 2.0, False),
        ("哈" * 12, 3.0, True),
        ("あ" * 90, 3.0, False),
        ("a" * 200, 3.0, False),  # one vowel to whoever counts syllables
        ("sàma" + "'i" * 40, 0.4, False),
        ("да" * 50, 2.0, False),
        ("लाला" * 30, 2.0, False),
        ("Donaudampfschifffahrt", 0.3, True),  # a word in too little time is the aligner's, no loop
        ("1000000000000", 1.0, True),
        ("0" * 150, 2.0, False),
        ("Mississippi", 0.2, True),
        ("hahahahaverlichtungsstelle", 0.1, True),  # a loop in a word is not all of it
    ],
)
def test_a_loop_within_one_word_is_none_that_anyone_says(text: str, length_s: float, *, stays: bool) -> None:
    kept, rules = judged(timed([("Then", 0.0, 0.5), (text, 0.5, 0.5 + length_s), ("he", 10.0, 10.2)]))
    assert (text in kept) == stays
    assert rules == ([] if stays else [UNSAID_WORD])
    assert (kept[0], kept[-1]) == ("Then", "he")


@given(
    st.lists(st.tuples(st.sampled_from(["la", "lo", "viola", "no", "哈", "12", "!"]), st.floats(0, 0.6)), max_size=40)
)
def test_what_is_rejected_is_of_the_text_and_the_rest_is_in_order(said: list[tuple[str, float]]) -> None:
    words, at = [], 0.0
    for text, length_s in said:
        words.append((text, at, at + length_s))
        at += length_s
    whole = timed(words)
    kept, rejected = without_unsaid(whole, [SpeechSpan(0, round(SAMPLE_RATE_HZ * max(1.0, at)))])
    left = iter(whole)
    assert all(any(one is other for other in left) for one in kept), "a part of it, in order"
    assert sum(len(one.text.split()) for one in rejected) >= len(whole) - len(kept) - words.count("哈")
    assert len(kept) >= min(1, len(whole))
