"""Runs that come again and again, and what of them nobody can have said."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.engines.tokenizer import WhisperTokenizer, read_tokenizer
from autorag_whisper.recognition.loops import Loop, find_loop, is_said_twice, runaway, without


@cache
def tokenizer_of(folder: Path) -> WhisperTokenizer:
    return WhisperTokenizer(folder, read_tokenizer(folder), multilingual=True)


def tokens_of(folder: Path, text: str) -> tuple[int, ...]:
    return tokenizer_of(folder).encode(f" {text}")


def brute_force(items: list[int]) -> int:
    """The length of the longest stretch that is a run said at least twice, in part perhaps a third time."""
    longest = 0
    for start in range(len(items)):
        for stop in range(start + 2, len(items) + 1):
            for period in range(1, (stop - start) // 2 + 1):
                if all(items[at] == items[at - period] for at in range(start + period, stop)):
                    longest = max(longest, stop - start)
    return longest


@given(st.lists(st.integers(0, 2), max_size=14))
def test_the_longest_loop_is_found(items: list[int]) -> None:
    loop = find_loop(items)
    assert (loop.stop - loop.start if loop else 0) == brute_force(items)


@given(
    st.lists(st.integers(10, 99), unique=True, max_size=5),
    st.lists(st.integers(0, 9), unique=True, min_size=1, max_size=6),
    st.integers(3, 8),
)
def test_a_planted_loop_is_found_where_it_was_planted(before: list[int], run: list[int], times: int) -> None:
    assert find_loop([*before, *run * times, 100]) == Loop(len(before), len(before) + len(run) * times, len(run))


@given(st.lists(st.integers(0, 3), max_size=30), st.floats(0.1, 30))
def test_what_is_kept_is_a_beginning_and_has_no_runaway_left_at_its_end(tokens: list[int], duration_s: float) -> None:
    loop = runaway(tokens, " ".join("abcd"[token] for token in tokens), duration_s)
    if loop is not None:
        kept = without(tokens, loop)
        assert kept == tuple(tokens[: len(kept)])
        assert 0 < len(kept) < len(tokens)


def test_a_text_is_said_twice_only_as_a_whole() -> None:
    assert is_said_twice([1, 2, 3, 4, 5] * 2)
    assert not is_said_twice([1, 2] * 2)
    assert not is_said_twice([*range(20), 1, 2, 3, 4, 1, 2, 3, 4])
    assert not is_said_twice([])


@pytest.mark.parametrize(
    ("tokens", "speech_s", "caught"),
    [
        ([1, 2, 3] * 20, 3.0, True),  # sixty syllables in three seconds: nobody speaks so
        ([1, 2, 3] * 20, 12.0, False),  # a chant at a speaker's pace is speech
        ([1, 2, 3] * 2, 0.2, False),  # twice is emphasis
        ([*range(9)] * 2, 1.5, True),  # but nobody says a whole sentence twice in a second and a half
        ([*range(9)] * 2, 4.0, False),
        ([*range(9), 50, 51, 52, 53, *range(9)], 1.0, False),
        (list(range(60)), 3.0, False),  # fast, but no loop
        ([], 1.0, False),
    ],
)
def test_only_a_loop_faster_than_anyone_speaks_is_a_runaway(
    tokens: list[int], speech_s: float, *, caught: bool
) -> None:
    assert (runaway(tokens, "la " * len(tokens), speech_s) is not None) == caught


REPETITIONS = [
    (one["language"], one["duration_s"], one["text"])
    for one in json.loads((Path(__file__).parents[1] / "data" / "repetitions.json").read_text(encoding="utf-8"))
]
"""What is truly said again and again, with the seconds that espeak-ng takes for it at its default pace."""


@pytest.mark.parametrize(("language", "duration_s", "text"), REPETITIONS, ids=lambda value: str(value)[:6])
def test_what_is_truly_said_again_and_again_is_no_runaway_in_any_script_also_half_as_fast_again(
    base_folder: Path, language: str, duration_s: float, text: str
) -> None:
    assert language
    tokens = tokens_of(base_folder, text)
    assert runaway(tokens, text, duration_s) is None
    assert runaway(tokens, text, duration_s / 1.5) is None


@pytest.mark.parametrize(("language", "duration_s", "text"), REPETITIONS, ids=lambda value: str(value)[:6])
def test_a_decoder_that_does_not_stop_is_caught_in_every_script(
    base_folder: Path, language: str, duration_s: float, text: str
) -> None:
    run = f"{text.split(maxsplit=1)[0]} {language} "
    endless = run * round(60 * duration_s / len(run))  # sixty characters a second
    assert runaway(tokens_of(base_folder, endless), endless, duration_s) is not None


def test_counting_fast_is_no_loop(base_folder: Path) -> None:
    counted = " ".join(str(number) for number in range(1, 74))
    assert runaway(tokens_of(base_folder, counted), counted, 12.0) is None


def test_three_sayings_are_a_loop_where_nobody_speaks_so_fast_and_two_of_a_part_are_none() -> None:
    three, text = (1, 2, 3, 4) * 3, "seven hundred and seventy seven " * 3
    assert runaway(three, text, speech_s=1.5) == Loop(0, 12, 4)
    assert runaway(three, text, speech_s=9.0) is None
    assert runaway((9, 8, 7, 6, 5, *three), text, speech_s=1.5) == Loop(5, 17, 4)
    assert runaway((9, 8, 7, 6, 5, *three[4:]), text, speech_s=1.5) is None
