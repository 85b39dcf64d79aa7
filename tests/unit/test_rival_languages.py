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
from autorag_whisper.recognition.quality import Fault
from autorag_whisper.recognition.recognise import WhisperPass
from autorag_whisper.recognition.recognizer import Caller
from autorag_whisper.recognition.rival_languages import (
    CLEARLY,
    SURE_TEXT,
    TRIAL_LOSS,
    TRIAL_TOKENS,
    Reading,
    is_doubtful,
    likeliest,
    most_promising,
    trial_cap,
)
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


def doubted(text: str, attempt: Attempt, voice: float = 0.99) -> bool:
    return is_doubtful(text, attempt, chunk(voice), TranscribeOptions())


def test_beside_a_loop_in_a_language_that_is_hardly_known_a_well_known_one_may_be_improbable() -> None:
    # Far speech went round in Welsh syllables, a rule rejected them, and the English text was improbable (-1.09).
    loop = reading("cy", 0.84, "gweithio'r gweithio'r gweithio'r gweithio'r gweithio'r", -0.7, tokens=43)
    unlikely = reading("en", 0.12, SENTENCE, -1.09)
    unlikely = replace(unlikely, attempt=replace(unlikely.attempt, rejected_for=Fault.IMPROBABLE.value))
    latin = replace(unlikely, choice=LanguageChoice("la", 0.14))
    assert likeliest([loop, latin, unlikely]) == 2
    assert likeliest([replace(loop, rejected=True), unlikely]) == 1
    assert most_promising(loop, [latin, unlikely]) == 1
    assert likeliest([loop, latin]) == 0
    assert likeliest([replace(loop, choice=LanguageChoice("de", 0.84)), unlikely]) == 0
    assert likeliest([replace(unlikely, choice=LanguageChoice("cy", 0.84)), unlikely]) == 0
    assert likeliest([loop, replace(unlikely, rejected=True)]) == 0
    cut = replace(unlikely, attempt=replace(unlikely.attempt, rejected_for=Fault.TOKEN_CAP.value))
    assert likeliest([loop, cut]) == 0


def test_only_a_voice_with_an_unsure_text_leaves_the_language_in_doubt() -> None:
    unsure = replace(GOOD, avg_logprob=-0.6)
    assert doubted(WELSH, unsure)
    assert doubted(WELSH, replace(GOOD, avg_logprob=-0.1, rejected_for="compression_ratio", compression_ratio=4.0))
    assert doubted(WELSH, replace(GOOD, avg_logprob=-0.1, rejected_for="token_cap"))
    assert not doubted(WELSH, replace(GOOD, avg_logprob=-0.1))
    assert not doubted(WELSH, unsure, voice=0.6)
    assert not doubted("2 9 3 4 0", unsure)


@pytest.mark.parametrize(("avg_logprob", "is_in_doubt"), [(-0.19, False), (SURE_TEXT - 0.01, True)])
def test_a_sentence_that_is_there_twice_is_in_doubt_only_where_it_is_unsure(
    avg_logprob: float, *, is_in_doubt: bool
) -> None:
    """Its fault had a Nynorsk reading of an English sentence, less likely by token, speak for the whole file."""
    twice = replace(GOOD, avg_logprob=avg_logprob, rejected_for="compression_ratio", compression_ratio=1.8)
    assert doubted(f"{SENTENCE} {SENTENCE}", twice) is is_in_doubt


def test_a_trial_ends_a_little_behind_the_first_text_and_no_later_than_any() -> None:
    assert trial_cap(12, 90) == 12 + TRIAL_TOKENS
    assert trial_cap(88, 90) == 90


def test_a_trial_promises_something_where_a_wider_search_might_put_it_ahead() -> None:
    first = reading("cy", 0.6, WELSH, -0.9)
    enough = -0.9 + CLEARLY - TRIAL_LOSS
    assert most_promising(first, [reading("la", 0.1, SENTENCE, -1.5), reading("en", 0.1, SENTENCE, enough + 0.3)]) == 1
    assert most_promising(first, [reading("en", 0.5, SENTENCE, enough + 0.01, tokens=9)]) == 0
    assert most_promising(first, [reading("en", 0.5, SENTENCE, enough - 0.01, tokens=9)]) is None
    assert most_promising(first, []) is None
    assert most_promising(first, [reading("en", 0.5, "29340", -0.1)]) is None


def test_beside_a_loop_a_trial_is_worth_a_wider_search_however_improbable() -> None:
    """Judged as a first text, an English trial of -1.2 left a file in Welsh, one word of it over and over."""
    loop = reading("cy", 0.84, "gweithio'r gweithio'r gweithio'r gweithio'r gweithio'r", -0.7, tokens=43)
    unlikely = reading("en", 0.12, SENTENCE, -1.2)
    trial = replace(unlikely, attempt=replace(unlikely.attempt, rejected_for=Fault.IMPROBABLE.value))
    assert not trial.is_sound
    assert most_promising(loop, [trial]) == 0
    known = replace(loop, choice=LanguageChoice("de", 0.84))
    assert most_promising(known, [trial]) == 0  # whatever language the loop is in
    assert most_promising(reading("cy", 0.84, WELSH, -0.9), [trial]) is None
    sound = reading("la", 0.1, SENTENCE, -0.9, tokens=90)
    assert most_promising(loop, [trial, sound]) == 1
    repeated = replace(loop, choice=LanguageChoice("nn", 0.04))
    rejected = replace(trial, rejected=True)
    assert most_promising(loop, [repeated, rejected]) is None


class Speaks(FakeWhisper):
    """Writes `texts[language]`, with its mean log-probability, whatever it hears."""

    texts: dict[str, tuple[str, float]]
    calls: list[tuple[list[str], int, int]]
    """The languages, the beam and the cap of each call."""

    def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
        found = super().generate(encoded, prompts, decoding)
        languages = [("en", "de", "ja")[prompt[-3] - 0x120000] for prompt in prompts]
        self.calls.append((languages, decoding.beam_size, decoding.max_new_tokens))
        cap = decoding.max_new_tokens
        return [
            replace(
                hypothesis,
                token_ids=tuple(map(ord, self.texts[language][0]))[:cap],
                avg_logprob=self.texts[language][1],
                cap_hit=len(self.texts[language][0]) >= cap,
            )
            for hypothesis, language in zip(found, languages, strict=True)
        ]


def recognised(detected: float, texts: dict[str, tuple[str, float]], *, vote: bool) -> tuple[ChunkResult, list[str]]:
    """What comes of a chunk that sounds like `detected` German, and what its file's language was said to be."""
    return recognised_by(speaking(detected, texts), vote=vote)


def speaking(detected: float, texts: dict[str, tuple[str, float]]) -> Speaks:
    engine = Speaks(language=("de", detected))
    engine.texts, engine.calls = texts, []
    return engine


def recognised_by(engine: Speaks, *, vote: bool) -> tuple[ChunkResult, list[str]]:
    told: list[str] = []
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


def test_rivals_are_tried_in_one_short_call_and_only_the_one_ahead_is_decoded_as_the_first_was() -> None:
    """Each was decoded in full, alone: on clips of a few seconds a tenth of all time."""
    long = "es ist eine sehr lange Geschichte, die niemand je zu Ende erzählt hat, weil sie nicht aufhört."
    texts = {"de": ("mae yn i er el", -0.9), "en": (SENTENCE, -0.1), "ja": (long, -1.5)}
    engine = speaking(0.6, texts)
    result, _ = recognised_by(engine, vote=False)
    first, trials, again = engine.calls[:3]
    assert first[:2] == (["de"], TranscribeOptions().beam_size_in("de"))
    assert trials == (["ja", "en"], 1, len("mae yn i er el") + TRIAL_TOKENS)
    assert again == (["en"], *first[1:])
    assert len(engine.calls) == 3
    assert result.text == SENTENCE  # all of it, though the trial was cut


def test_where_no_trial_is_ahead_nothing_more_is_decoded() -> None:
    engine = speaking(0.6, {"de": ("mae yn i er el", -0.9), "en": (SENTENCE, -1.2), "ja": ("sono", -1.5)})
    result, told = recognised_by(engine, vote=False)
    assert (result.language, told) == ("de", ["de"])
    assert len(engine.calls) == 2


def test_a_rival_that_turns_out_no_likelier_than_it_began_leaves_the_language() -> None:
    class Begins(Speaks):
        """Goes on worse than it began."""

        def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
            found = super().generate(encoded, prompts, decoding)
            is_trial = decoding.beam_size == 1
            return [replace(one, avg_logprob=one.avg_logprob + (0.7 if is_trial else 0.0)) for one in found]

    engine = Begins(language=("de", 0.6))
    engine.texts = {"de": ("mae yn i er el", -0.9), "en": (SENTENCE, -1.2), "ja": ("sono", -2.5)}
    engine.calls = []
    result, told = recognised_by(engine, vote=False)
    assert (result.language, result.text, told) == ("de", "mae yn i er el", ["de"])
    assert len(result.attempts) == 1
