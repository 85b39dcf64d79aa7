"""A language that was mistaken is found out by the text that comes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechChunk, SpeechSpan
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.domain.transcript import Attempt
from autorag_whisper.recognition.chunk_result import AskLanguage, ChunkResult, ChunkTask
from autorag_whisper.recognition.language import LanguageChoice, choose
from autorag_whisper.recognition.recognise import WhisperPass
from autorag_whisper.recognition.recognizer import Caller
from autorag_whisper.recognition.rival_languages import Reading, is_doubtful, likeliest
from autorag_whisper.testing import FakeWhisper, speech_samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.engines.base import Decoding, Encoded, Hypothesis

GOOD = Attempt(
    temperature=0.0, beam_size=5, window_frames=1000, avg_logprob=-0.3, compression_ratio=1.0, no_speech_prob=0.03
)
SENTENCE, WELSH = "The last chapter explains why it failed.", "Mae'r Llywodraeth yn gweithio"


def chunk(voice: float = 0.99) -> SpeechChunk:
    span = SpeechSpan(SAMPLE_RATE_HZ // 2, round(2.5 * SAMPLE_RATE_HZ))
    return SpeechChunk(0, 0, speech_samples(3, tail_s=2.0), (span,), voice)


def reading(code: str, probability: float, text: str, avg_logprob: float, tokens: int = 10) -> Reading:
    attempt = replace(GOOD, avg_logprob=avg_logprob)
    return Reading(LanguageChoice(code, probability), text, attempt, tokens, rejected=False)


def test_rivals_are_the_next_languages_that_are_likely_enough() -> None:
    choice = choose([{"cy": 0.6, "en": 0.25, "la": 0.1, "nn": 0.04, "de": 0.01}])
    assert [(rival.code, rival.probability) for rival in choice.rivals] == [("en", 0.25), ("la", 0.1)]
    assert choose([{"en": 0.98, "cy": 0.02}]).rivals == ()
    assert [rival.code for rival in choose([{"cy": 0.9, "en": 0.06, "de": 0.04}], ("en", "de")).rivals] == ["de"]


def test_a_likelier_text_outweighs_a_likelier_language() -> None:
    assert likeliest([reading("cy", 0.9, WELSH, -0.9), reading("en", 0.04, SENTENCE, -0.3)]) == 1
    assert likeliest([reading("cy", 0.9, WELSH, -0.35), reading("en", 0.04, SENTENCE, -0.3)]) == 0
    assert likeliest([reading("de", 0.9, "Ich habe in das Haus", -0.3), reading("en", 0.04, SENTENCE, -0.9)]) == 0


def test_a_short_text_does_not_win_by_being_short() -> None:
    long = reading("de", 0.6, "Ich bin am Morgen in die Stadt gegangen und habe Brot gekauft", -0.6, tokens=30)
    assert likeliest([long, reading("en", 0.3, "Thank you", -0.6, tokens=2)]) == 0


def test_a_text_that_is_not_sound_says_nothing_for_its_language() -> None:
    # Each token of a loop is likely: of Welsh syllables that go round -0.57 where the English sentence has -0.98.
    loop = reading("cy", 0.83, "i'r oes i'r oes i'r oes i'r oes i'r oes", -0.2, tokens=40)
    assert likeliest([loop, reading("en", 0.1, SENTENCE, -0.98)]) == 1
    assert likeliest([reading("nl", 0.6, "Maar ik ben", -0.9), replace(loop, choice=LanguageChoice("nn", 0.1))]) == 0
    rejected = replace(reading("en", 0.3, SENTENCE, -0.1), rejected=True)
    assert likeliest([reading("cy", 0.6, WELSH, -0.9), rejected]) == 0
    assert likeliest([reading("en", 0.6, SENTENCE, -0.5), reading("ja", 0.2, "29340", -0.1)]) == 0


def test_only_a_voice_with_an_unsure_text_leaves_the_language_in_doubt() -> None:
    unsure = replace(GOOD, avg_logprob=-0.6)
    assert is_doubtful(WELSH, unsure, chunk())
    assert is_doubtful(WELSH, replace(GOOD, avg_logprob=-0.1, rejected_for="compression_ratio"), chunk())
    assert not is_doubtful(WELSH, replace(GOOD, avg_logprob=-0.1), chunk())
    assert not is_doubtful(WELSH, unsure, chunk(voice=0.6))
    assert not is_doubtful("2 9 3 4 0", unsure, chunk())


class Speaks(FakeWhisper):
    """Writes `texts[language]`, with its mean log-probability, whatever it hears."""

    texts: dict[str, tuple[str, float]]

    def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
        found = super().generate(encoded, prompts, decoding)
        said = [self.texts[("en", "de", "ja")[prompt[-3] - 0x120000]] for prompt in prompts]
        return [
            replace(hypothesis, token_ids=tuple(map(ord, text)), avg_logprob=probability, cap_hit=False)
            for hypothesis, (text, probability) in zip(found, said, strict=True)
        ]


def recognised(detected: float, texts: dict[str, tuple[str, float]], *, vote: bool) -> tuple[ChunkResult, list[str]]:
    """What comes of a chunk that sounds like `detected` German, and what its file's language was said to be."""
    told: list[str] = []
    engine = Speaks(language=("de", detected))
    engine.texts = texts
    caller = Caller(on_language=lambda _file, choice: told.append(choice.code), cancelled=lambda: False)
    ask = AskLanguage.TOGETHER if vote else AskLanguage.IF_SURE
    task = ChunkTask(0, chunk(), None, ask)
    [result] = WhisperPass(engine, TranscribeOptions(), caller).recognise([task])
    return result, told


@pytest.mark.parametrize("vote", [False, True])
def test_a_file_has_the_language_in_which_its_first_text_is_likely(*, vote: bool) -> None:
    texts = {"en": (SENTENCE, -0.1), "de": ("mae yn i er el", -0.9), "ja": ("sono", -1.5)}
    result, told = recognised(0.6, texts, vote=vote)
    assert (result.language, result.text, told) == ("en", SENTENCE, ["en"])
    assert [attempt.rejected_for for attempt in result.attempts] == ["language", ""]
    assert not result.needs_redo
    assert " ".join(timed.word.text for timed in result.words) == SENTENCE


@pytest.mark.parametrize("vote", [False, True])
def test_a_text_that_is_sure_keeps_its_language_and_costs_nothing(*, vote: bool) -> None:
    texts = {"en": (SENTENCE, -0.1), "de": ("Das ist ein Satz.", -0.25)}  # nobody asks for Japanese
    result, told = recognised(0.6, texts, vote=vote)
    assert (result.language, result.text, told) == ("de", "Das ist ein Satz.", ["de"])
    assert len(result.attempts) == 1


def test_where_no_other_language_is_near_none_is_tried() -> None:
    result, told = recognised(0.96, {"de": ("mae yn i er el", -0.9)}, vote=False)
    assert (result.language, told) == ("de", ["de"])
    assert np.isclose(result.attempts[0].avg_logprob, -0.9)
