"""The beam of a first attempt is its language's, whatever is in the batch beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechChunk, SpeechSpan
from autorag_whisper.domain.request import Quality, TranscribeOptions
from autorag_whisper.recognition.chunk_result import AskLanguage, ChunkResult, ChunkTask
from autorag_whisper.recognition.recognise import WhisperPass
from autorag_whisper.recognition.recognizer import Caller
from autorag_whisper.recognition.search import TextSearch
from autorag_whisper.testing import FakeWhisper, speech_samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.engines.base import Decoding, Encoded, Hypothesis

LANGUAGES = ("en", "de", "ja")


class Written(FakeWhisper):
    """Writes the beam with which it was asked."""

    def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
        found = super().generate(encoded, prompts, decoding)
        return [replace(one, token_ids=self.tokenizer.encode(f"beam {decoding.beam_size}")) for one in found]


def chunk() -> SpeechChunk:
    return SpeechChunk(0, 0, speech_samples(3), (SpeechSpan(0, 3 * SAMPLE_RATE_HZ),), 0.99)


def task(n: int, language: str, options: TranscribeOptions) -> ChunkTask:
    return ChunkTask(n, chunk(), language, AskLanguage.NOTHING, options=options)


def recognised(languages: Sequence[str], options: TranscribeOptions) -> list[ChunkResult]:
    caller = Caller(on_language=lambda _file, _choice: None, cancelled=lambda: False)
    tasks = [task(n, language, options) for n, language in enumerate(languages)]
    return WhisperPass(Written(), options, caller).recognise(tasks)


@pytest.mark.parametrize(
    ("options", "english", "others"),
    [
        (TranscribeOptions(), 5, 10),
        (TranscribeOptions(quality=Quality.BEST), 5, 10),
        (TranscribeOptions(quality=Quality.FAST), 1, 1),
        (TranscribeOptions(beam_size=3), 3, 3),
        (TranscribeOptions(task="translate"), 5, 5),
        (TranscribeOptions(temperatures=(0.4,)), 5, 5),
    ],
)
def test_a_language_other_than_english_is_searched_with_a_wider_beam_unless_somebody_says_which(
    options: TranscribeOptions, english: int, others: int
) -> None:
    found = recognised(LANGUAGES, options)
    assert [one.text for one in found] == [f"beam {english}", f"beam {others}", f"beam {others}"]
    assert [one.attempts[0].beam_size for one in found] == [english, others, others]


@given(st.lists(st.sampled_from(LANGUAGES), min_size=1, max_size=5))
def test_no_text_depends_on_the_languages_in_its_batch(languages: list[str]) -> None:
    options = TranscribeOptions()
    together = recognised(languages, options)
    assert [one.text for one in together] == [recognised([language], options)[0].text for language in languages]


def test_a_redo_searches_as_wide_as_its_language_is_and_draws_as_many_samples_in_every_language() -> None:
    whole = chunk()
    search = TextSearch(FakeWhisper(), TranscribeOptions())
    asked = TextSearch(FakeWhisper(), TranscribeOptions(beam_size=7))
    greedy = TextSearch(FakeWhisper(), TranscribeOptions(quality=Quality.FAST))
    for language, first in (("en", 5), ("de", 10)):
        assert [way.beam_size for way in search.ways(whole, language)] == [first, 5, 5, 5, 5, 5]
        assert {way.beam_size for way in asked.ways(whole, language)} == {7}
        assert {way.beam_size for way in greedy.ways(whole, language)} == {5}
