"""The rules by which text is rejected: each needs witnesses that agree, and faint speech passes them all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.words import TimedWord
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechChunk, SpeechSpan
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.domain.transcript import Attempt, Word
from autorag_whisper.recognition import hallucinations
from autorag_whisper.recognition.hallucinations import (
    Hallucination,
    hallucination_rule,
    is_drawn_out,
    is_known,
    is_loop,
    is_sparse,
    squeezed_from,
    squeezed_repeat,
)

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = TranscribeOptions()
unit = st.floats(0, 1)
texts = st.sampled_from(
    ["Thank you.", "no no no no", "The last chapter.", "Yes", "♪ ♪", "...", "ご視聴ありがとうございました"]
)


def attempt(no_speech: float, logprob: float) -> Attempt:
    return Attempt(0.0, 5, 3000, logprob, 1.0, no_speech)


def chunk(voice: float, speech_s: float = 1.0) -> SpeechChunk:
    stop = round(speech_s * SAMPLE_RATE_HZ)
    return SpeechChunk(0, 0, np.zeros(stop, np.float32), (SpeechSpan(0, stop),), voice)


def verdict(
    text: str, *, voice: float, no_speech: float, logprob: float, speech_s: float = 1.0
) -> Hallucination | None:
    return hallucination_rule(text, attempt(no_speech, logprob), chunk(voice, speech_s), OPTIONS)


@pytest.mark.parametrize(
    ("text", "voice", "no_speech", "logprob", "rule"),
    [
        ("...", 1.0, 0.0, -0.1, Hallucination.NO_WORDS),
        ("you", 0.98, 0.9, -1.3, Hallucination.NO_SPEECH),
        ("I'm a little bit more in love.", 0.9, 0.45, -2.04, Hallucination.HOPELESS),
        ("I'm going home.", 0.6, 0.8, -0.6, Hallucination.FAINT_VOICE),
        ("Thank you. Thanks for watching!", 0.6, 0.4, -0.4, Hallucination.KNOWN),
        ("And we're in. And we're in. And we're in.", 0.6, 0.3, -0.8, Hallucination.FAINT_LOOP),
        ("Ooooh, MMMM ahhhhhhh", 0.65, 0.3, -0.2, Hallucination.DRAWN_OUT),
    ],
)
def test_each_rule_rejects_what_it_is_for(
    text: str, voice: float, no_speech: float, logprob: float, rule: Hallucination
) -> None:
    assert verdict(text, voice=voice, no_speech=no_speech, logprob=logprob) is rule


def test_only_a_text_of_nothing_but_held_letters_is_drawn_out() -> None:
    assert all(is_drawn_out(text) for text in ("ahhhh", "Ooooo... mmmmm!", "ああああ", "Ahhh, ahhh"))
    assert not any(is_drawn_out(text) for text in ("", "1000", "2000 1000", "Ahhh, yes", "Off to bookkeeping", "___"))


def test_a_few_words_over_many_seconds_of_doubtful_sound_are_rejected() -> None:
    assert verdict("Thank you so much.", voice=0.9, no_speech=0.3, logprob=-0.8, speech_s=13) is Hallucination.SPARSE
    assert verdict("Thank you so much.", voice=0.9, no_speech=0.3, logprob=-0.8, speech_s=2) is None


@pytest.mark.parametrize(
    ("text", "voice", "no_speech", "logprob"),
    [
        # Measured on synthetic whispers, far rooms and music 0 dB below the voice (benchmarks/make_faint.py).
        ("Firefox.", 0.49, 0.34, -0.70),
        ("please leave the", 0.63, 0.35, -0.55),
        ("Go somewhere and do something.", 0.62, 0.16, -0.20),
        ("Yes", 0.71, 0.15, -0.70),
        ("6 2 7 1 1 7 6 9", 0.97, 0.87, -0.28),
        ("Three of the windows were open and the car ran on night.", 0.68, 0.12, -0.63),
    ],
)
def test_faint_speech_passes(text: str, voice: float, no_speech: float, logprob: float) -> None:
    assert verdict(text, voice=voice, no_speech=no_speech, logprob=logprob) is None


@given(texts, st.floats(0.95, 1), st.floats(0, 0.8), st.floats(-0.99, 0))
def test_where_voice_activity_is_sure_no_known_sentence_is_rejected_for_its_words(
    text: str, voice: float, no_speech: float, logprob: float
) -> None:
    rule = verdict(text, voice=voice, no_speech=no_speech, logprob=logprob)
    assert rule is (None if re.search(r"\w", text) else Hallucination.NO_WORDS)


@given(texts, unit, st.floats(0, 0.2), st.floats(-0.3, 0))
def test_a_model_that_is_sure_of_speech_is_believed_whatever_voice_activity_says(
    text: str, voice: float, no_speech: float, logprob: float
) -> None:
    assert verdict(text, voice=voice, no_speech=no_speech, logprob=logprob) in (None, Hallucination.NO_WORDS)


@given(texts, unit, unit, st.floats(-3, 0), unit, unit, st.floats(-3, 0))
def test_more_doubt_never_saves_a_text(
    text: str, voice: float, no_speech: float, logprob: float, less_voice: float, more: float, less: float
) -> None:
    if verdict(text, voice=voice, no_speech=no_speech, logprob=logprob) is not None:
        worse = {"voice": min(voice, less_voice), "no_speech": max(no_speech, more), "logprob": min(logprob, less)}
        assert verdict(text, **worse) is not None


def test_the_table_in_the_docstring_names_every_rule_with_its_limits() -> None:
    rows = re.findall(r"^\| `(\w+)` \|(.*)$", hallucinations.__doc__ or "", re.MULTILINE)
    assert [name for name, _ in rows] == [rule.value.partition(":")[0] for rule in Hallucination]
    limits = {name: set(re.findall(r"\d+\.\d+", row)) for name, row in rows}
    assert limits["hopeless"] == {str(hallucinations.HOPELESS_DOUBT)}
    assert limits["faint_voice"] == {str(hallucinations.FAINT_VOICE), str(hallucinations.DOUBT)}
    assert limits["known_phantom"] == {str(hallucinations.FAINT_VOICE), str(hallucinations.KNOWN_DOUBT)}
    assert limits["sparse"] == {str(hallucinations.LOOP_DOUBT), str(hallucinations.SPARSE_LETTERS_PER_S)}
    assert limits["faint_loop"] == {str(hallucinations.FAINT_LOOP_VOICE), str(hallucinations.LOOP_DOUBT)}
    assert limits["drawn_out"] == {str(hallucinations.FAINT_LOOP_VOICE)}
    assert limits["no_speech"] == {str(OPTIONS.no_speech_threshold), str(-OPTIONS.logprob_threshold)}


def test_the_page_on_architecture_has_the_same_table(root: Path) -> None:
    table = re.findall(r"^\|.*$", hallucinations.__doc__ or "", re.MULTILINE)
    assert "\n".join(table) in (root / "ARCHITECTURE.md").read_text(encoding="utf-8")


def said(*spans: tuple[float, float]) -> list[TimedWord]:
    return [TimedWord(Word(f"w{n}", start, end, 0.9), (n,)) for n, (start, end) in enumerate(spans)]


SPEECH = (SpeechSpan(0, 2 * SAMPLE_RATE_HZ),)


def test_words_on_one_spot_behind_the_speech_are_squeezed() -> None:
    # As measured: the words that were said have their times, those that were not have what is left, with sure tokens.
    assert squeezed_from(said((0.1, 0.5), (0.5, 1.9), (2.4, 2.4), (2.4, 2.4), (2.4, 2.4)), SPEECH) == 2


@pytest.mark.parametrize(
    "spans",
    [
        [],
        [(0.1, 0.5), (0.5, 2.0)],
        [(0.1, 0.5), (2.4, 2.4)],  # one word alone: an aligner that lost its last word
        [(0.1, 0.5), (1.9, 1.9), (1.9, 1.9)],  # in the speech: said too fast to be told apart
        [(0.1, 0.5), (2.4, 2.6), (2.6, 2.9)],  # behind it, but with a length of their own
    ],
)
def test_other_words_are_not_squeezed(spans: list[tuple[float, float]]) -> None:
    assert squeezed_from(said(*spans), SPEECH) == len(spans)


def repeated(*words: tuple[str, float, float]) -> list[TimedWord]:
    return [TimedWord(Word(text, start, end, 0.9), (n,)) for n, (text, start, end) in enumerate(words)]


def left(words: list[TimedWord]) -> list[tuple[str, float, float]]:
    del words[squeezed_repeat(words)]
    return [(timed.word.text, timed.word.start_s, timed.word.end_s) for timed in words]


ONCE = [("The", 6.92, 6.99), ("second", 6.99, 7.39), ("comes", 7.39, 8.15), ("after", 8.23, 8.49), ("four.", 8.49, 9.0)]
SPOT = (8.152, 8.172)


def test_of_a_sentence_that_is_there_twice_and_was_said_once_one_is_left_with_the_times_of_the_sound() -> None:
    # As measured on a GSM file: one saying has the beginning of the sound, the other its end.
    spot = [(text, *SPOT) for text in ("after", "four.", "The", "second", "comes")]
    assert left(repeated(("One.", 1, 2), *ONCE[:3], *spot, *ONCE[3:])) == [("One.", 1, 2), *ONCE]
    assert left(repeated(*ONCE, *((text, 9.0, 9.0) for text, _, _ in ONCE))) == ONCE


@pytest.mark.parametrize(
    "words",
    [
        [],
        ONCE,
        [*ONCE, *((text, start + 3, end + 3) for text, start, end in ONCE)],  # said twice
        [*ONCE, *((f"{text}x", *SPOT) for text, _, _ in ONCE)],  # other words, badly timed
        [("No", *SPOT), ("no", *SPOT), ("no", *SPOT)],  # too few
        [("No", *SPOT)] * 4,  # nothing of it would be left
        [(text, *SPOT) for text in ("off", "we", "go") * 2],
        [(text, *SPOT) for text, _, _ in ONCE],  # all of a text, and no loop
    ],
)
def test_what_was_said_again_or_is_not_the_same_stays(words: list[tuple[str, float, float]]) -> None:
    assert left(repeated(*words)) == words


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1)), max_size=24))
def test_a_squeezed_repeat_takes_nothing_but_a_repetition(found: list[tuple[str, float]]) -> None:
    words = repeated(*((text, start, start) for text, start in sorted(found, key=lambda one: one[1])))
    texts = [timed.word.text for timed in words]
    again = squeezed_repeat(words)
    taken = texts[again]
    if taken:
        assert len(taken) >= 4
        # Words without a length of their own follow each other at 0.02 s.
        assert words[again][-1].word.start_s - words[again][0].word.start_s <= 0.05 + 0.02 * (len(taken) - 1)
        period = next(taken[:n] for n in range(1, len(taken) + 1) if taken[:n] * (len(taken) // n) == taken)
        rest = "".join(texts[: again.start] + texts[again.stop :])
        assert any("".join(period[n:] + period[:n]) in rest for n in range(len(period)))


def test_a_sentence_is_known_only_as_a_whole() -> None:
    assert is_known("Thank you!")
    assert is_known("Thanks for watching. Bye, bye.")
    assert not is_known("Thank you for the butter.")
    assert not is_known("")


def test_a_loop_is_one_run_of_words_and_nothing_else() -> None:
    assert is_loop("No, no, no.")
    assert is_loop("We're in the library. We're in the library. We're in the library, we're in")
    assert not is_loop("No, no.")
    assert not is_loop("He said no, no, no and then he left the room for good.")


def test_a_heap_of_words_behind_the_speech_is_squeezed_whole() -> None:
    # Each has its 0.02 s, so eight of them reach over more than one spot.
    words = said(*((5 + 0.02 * n, 5.02 + 0.02 * n) for n in range(8)))
    assert squeezed_from(words, [SpeechSpan(0, 4 * SAMPLE_RATE_HZ)]) == 0


def test_signs_on_one_spot_are_no_squeezed_repeat() -> None:
    signs = [TimedWord(Word("!", 1 + 0.01 * n, 1.01 + 0.01 * n, 0.9), ()) for n in range(8)]
    assert squeezed_repeat(signs) == slice(0, 0)


def test_a_short_word_in_a_short_sound_is_not_sparse() -> None:
    assert not is_sparse("a", 2.9)
    assert is_sparse("a", 3.0)


def test_a_known_sentence_beside_another_is_speech() -> None:
    assert is_known("Thank you. Thanks for watching!")
    assert not is_known("Thank you. Mary rolled the barrel.")
    assert not is_known("...")
