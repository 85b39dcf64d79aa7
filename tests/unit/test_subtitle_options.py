from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.transcript import Segment, Transcript, Word
from autorag_whisper.format import render
from autorag_whisper.format.options import Highlight, SubtitleOptions
from autorag_whisper.format.presets import ALPHABET, JAPANESE, preset_for
from autorag_whisper.format.punctuation import Stop, stop_after
from cli_world import transcript_of

WORDS = (Word("Hello", 0.5, 0.9, 0.9), Word("world.", 1.0, 1.5, 0.9))


def saying(*words: Word) -> Transcript:
    segment = Segment(0, words[0].start_s, words[-1].end_s, "", words, "en")
    return replace(transcript_of("a.wav", ""), segments=(segment,), duration_s=8.0)


def one_word(text: str) -> Transcript:
    return saying(Word(text, 0.0, 1.0, 0.9))


TRANSCRIPT = saying(*WORDS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"style": "fancy"}, {"line_length": 3}, {"line_length": 42.5}, {"line_length": True}, {"lines": 0},
        {"lines": 11}, {"max_words": 0}, {"reading_speed": 0}, {"reading_speed": math.nan}, {"reading_speed": "17"},
        {"min_duration_s": -1}, {"max_duration_s": 0}, {"min_duration_s": 8.0}, {"max_duration_s": 0.5},
        {"min_gap_s": math.inf}, {"highlight": "blink"},
    ],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        SubtitleOptions(**wrong)


def test_what_is_not_asked_for_is_that_of_the_script() -> None:
    assert SubtitleOptions().limits("en") == ALPHABET
    assert SubtitleOptions().limits("ja") == JAPANESE
    asked = SubtitleOptions(line_length=20, lines=1, max_words=3, reading_speed=9.5, min_gap_s=0.7).limits("ja")
    assert (asked.line_columns, asked.max_lines, asked.max_words, asked.chars_per_s) == (40, 1, 3, 9.5)
    assert (asked.gap_ms, asked.chain_ms, asked.min_ms) == (700, 700, 1000)


def test_a_style_changes_alphabets_and_the_gap_but_no_other_scripts_lines() -> None:
    assert (preset_for("en", "bbc").line_chars, preset_for("ja", "bbc").line_chars) == (37, 16)
    assert (preset_for("de", "netflix").gap_ms, preset_for("ja", "netflix").gap_ms) == (83, 83)
    assert preset_for("ar", "ted").right_to_left


def test_options_reach_the_file() -> None:
    one = render(TRANSCRIPT, "srt", SubtitleOptions(max_words=1))
    assert one == "1\n00:00:00,500 --> 00:00:01,000\nHello\n\n2\n00:00:01,000 --> 00:00:02,000\nworld.\n\n"
    narrow = render(TRANSCRIPT, "vtt", SubtitleOptions(line_length=6))
    assert "\nHello\nworld.\n" in narrow
    assert render(TRANSCRIPT, "json", SubtitleOptions(max_words=1)) == render(TRANSCRIPT, "json")


def test_a_gap_is_kept_between_two_cues_that_follow_on_each_other() -> None:
    words = (replace(WORDS[0], text="Hello."), replace(WORDS[1], start_s=0.95))
    text = render(saying(*words), "srt", SubtitleOptions(max_words=1, min_gap_s=0.1))
    assert "00:00:00,500 --> 00:00:00,850\nHello." in text
    assert "00:00:00,950 --> 00:00:01,950\nworld." in text


def test_four_lines_are_filled_evenly() -> None:
    words = tuple(Word(f"word{n}", n * 0.5, n * 0.5 + 0.5, 0.9) for n in range(8))
    text = render(saying(*words), "srt", SubtitleOptions(line_length=12, lines=4))
    assert text.split("\n")[2:6] == ["word0 word1", "word2 word3", "word4 word5", "word6 word7"]


def test_the_spoken_word_is_underlined_in_a_cue_of_its_own() -> None:
    assert render(TRANSCRIPT, "srt", SubtitleOptions(highlight=Highlight.UNDERLINE)) == (
        "1\n00:00:00,500 --> 00:00:01,000\n<u>Hello</u> world.\n\n"
        "2\n00:00:01,000 --> 00:00:01,500\nHello <u>world.</u>\n\n"
    )


def test_karaoke_is_each_formats_own() -> None:
    karaoke = SubtitleOptions(highlight=Highlight.KARAOKE)
    assert r"{\k50}Hello {\k50}world." in render(TRANSCRIPT, "ass", karaoke)
    assert "\n<c>Hello</c> <00:00:01.000><c>world.</c>\n" in render(TRANSCRIPT, "vtt", karaoke)
    assert "<u>Hello</u> world." in render(TRANSCRIPT, "srt", karaoke)


def test_words_that_are_grammar_stay_escaped_when_they_are_highlighted() -> None:
    underline = SubtitleOptions(highlight=Highlight.UNDERLINE)
    assert "<u>&lt;b&gt;&amp;</u>" in render(one_word("<b>&"), "vtt", underline)
    assert "{\\u1}\\{{}\u2060x}{\\u0}" in render(one_word("{x}"), "ass", underline)
    assert "<u>00:\u206001.500</u>" in render(one_word("00:01.500"), "srt", underline)


@pytest.mark.parametrize(
    ("word", "following", "language", "stop"),
    [
        ("Dr.", "Smith", "en", Stop.NONE), ("J.", "Smith", "en", Stop.NONE), ("done.", "And", "en", Stop.SENTENCE),
        ("done.”", "And", "en", Stop.SENTENCE), ("No.", "5", "en", Stop.NONE), ("no.", "Then", "en", Stop.SENTENCE),
        ("i.e.", "the", "en", Stop.NONE), ("etc.", "and", "en", Stop.NONE), ("etc.", "Then", "en", Stop.SENTENCE),
        ("3.", "März", "de", Stop.NONE), ("3.", "Then", "en", Stop.SENTENCE), ("so.", "and", "en", Stop.SENTENCE),
        ("well,", "so", "en", Stop.CLAUSE), ("猫。", "名", "ja", Stop.SENTENCE), ("so", "on", "en", Stop.NONE),
    ],
)  # fmt: skip
def test_a_dot_ends_a_sentence_or_an_abbreviation(word: str, following: str, language: str, stop: Stop) -> None:
    assert stop_after(word, following, language) is stop
