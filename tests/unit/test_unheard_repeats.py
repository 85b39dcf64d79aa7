"""What a text says again and nobody said: the likelier of two texts, given the letters that are heard.

"He was not an ill-disposed young man." came out twice in one join of human clips in twenty: a decoder that does not
notice the end of the sound writes its last sentence once more, and where its times look like speech no rule of pace
finds that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autorag_whisper.align.text_normalization import readings
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechChunk, SpeechSpan
from autorag_whisper.recognition.letter_alignment import heard_words
from letter_hearing import planted, reading_classifier

if TYPE_CHECKING:
    from autorag_whisper.recognition.letter_alignment import Heard

FRAME = SAMPLE_RATE_HZ // 50


def hear(heard: str, words: list[str]) -> Heard:
    """`words` in a chunk in which these letters sound, one in a frame; "." is silence."""
    classifier = reading_classifier()
    noise = np.random.default_rng(1).standard_normal(len(heard) * FRAME).astype(np.float32)
    loud = np.repeat([0.0001 if letter == "." else 0.1 for letter in heard], FRAME).astype(np.float32)
    chunk = SpeechChunk(0, 0, noise * loud, (SpeechSpan(0, len(noise)),))
    found = heard_words(classifier, planted(heard, classifier), chunk, words, "en")
    assert found is not None
    return found


def kept(heard: str, text: str) -> str:
    words = text.split()
    return " ".join(words[n] for n in hear(heard, words).kept)


ONCE = "..mmaarryy.rroolleedd.tthhee.bbaarrrreell...."
TWICE = ONCE + ONCE


@pytest.mark.parametrize("text", ["Mary rolled the barrel.", "Mary rolled the barrel. Mary rolled the barrel."])
def test_what_was_said_once_is_there_once_however_often_it_is_written(text: str) -> None:
    assert kept(ONCE, text) == "Mary rolled the barrel."


def test_what_was_said_twice_stays_twice() -> None:
    text = "Mary rolled the barrel. Mary rolled the barrel."
    assert kept(TWICE, text) == text
    assert kept(TWICE.replace("....", "."), text) == text
    assert kept(ONCE, f"{text} {text}") == "Mary rolled the barrel."


def test_one_word_again_is_heard_or_not() -> None:
    # "No. No." of one "no": no rule of times can tell it from two that are said at once.
    assert kept("..iitt..nnnnoooo...", "It no. No.") == "It no."
    assert kept("..iitt..nnoonnoo...", "It no. No.") == "It no. No."


def test_a_repetition_in_the_midst_of_a_text_takes_no_time_of_the_words_around_it() -> None:
    words = ["no", "mary", "rolled", "the", "barrel", "mary", "rolled", "the", "barrel", "two"]
    heard = "..nnoo....mmaarryy.rroolleedd.tthhee.bbaarrrreell....ttwwoo.."
    found = hear(heard, words)
    assert [words[n] for n in found.kept] == ["no", "mary", "rolled", "the", "barrel", "two"]
    starts = [heard.index(letters) * 0.02 for letters in ("nnoo", "mma", "rroo", "tth", "bba", "ttw")]
    assert [time.start_s for time in found.times] == pytest.approx(starts, abs=0.011)
    assert found.unspoken == ()


def test_a_sentence_that_is_said_fast_the_second_time_stays() -> None:
    assert kept(ONCE + "mary.roled.the.barel..", "Mary rolled the barrel. Mary rolled the barrel.").count("Mary") == 2


def test_two_signs_that_are_said_differently_are_no_repetition() -> None:
    assert kept("..mmaarryy..aanndd....ttoomm..", "Mary & @ Tom") == "Mary & @ Tom"
    assert kept("..mmaarryy..aanndd....ttoomm..", "Mary & & Tom") == "Mary & Tom"


def test_what_has_no_letters_is_never_taken_out() -> None:
    assert kept("..oonnee..", "one 🎉 🎉 🎉") == "one 🎉 🎉 🎉"


def test_of_a_hundred_sayings_that_nobody_said_none_stays() -> None:
    assert kept(ONCE, "Mary rolled the barrel. " * 100) == "Mary rolled the barrel."


def is_said_as_written(word: str) -> bool:
    """Whether it is no abbreviation, such as "gb" (gigabytes) and "eg" (for example)."""
    return readings([word], "en") == [[(word,)]]


SOUNDS = (
    st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=6, unique=True).map("".join).filter(is_said_as_written)
)
WORDS = st.lists(SOUNDS, min_size=1, max_size=4)


@example(["abfc", "abfc"], 3, 2, 1, False)  # noqa: FBT003 - six sayings, written ten times: five were left
@example(["bac", "bac", "abc", "abc"], 4, 2, 1, False)  # noqa: FBT003 - repetitions in what is repeated
@given(WORDS, st.integers(1, 4), st.integers(0, 3), st.integers(1, 12), st.booleans())
def test_as_often_as_it_was_said_and_no_word_less(
    words: list[str], said: int, more: int, pause: int, has_others: bool
) -> None:
    """A run of words `said` times, written so often or oftener, with another text around it."""
    one = ("." * pause).join("".join(letter * 3 for letter in word) for word in words) + "." * pause
    around = ("..xxyyxx..", "..zzyyzz..") if has_others else ("..", "..")
    text = [*(["xyx"] if has_others else []), *(words * (said + more)), *(["zyz"] if has_others else [])]
    found = hear(around[0] + one * said + around[1], text)
    assert [text[n] for n in found.kept] == [
        *(["xyx"] if has_others else []), *(words * said), *(["zyz"] if has_others else []),
    ]  # fmt: skip
