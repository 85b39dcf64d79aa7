"""Which language a text is decoded in, and that the result names that one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.testing import FakeWhisper, speech_samples, write_speech
from run_world import World

if TYPE_CHECKING:
    from pathlib import Path


def test_a_language_that_the_model_does_not_know_cannot_be_allowed(tmp_path: Path) -> None:
    file = write_speech(tmp_path / "a.wav", speech_samples(3))
    with pytest.raises(InvalidOption, match="cy"):
        World().transcriber.transcribe(file, TranscribeOptions(allowed_languages=("en", "cy")), model="fake")


def test_detection_keeps_to_the_allowed_languages(tmp_path: Path) -> None:
    file = write_speech(tmp_path / "a.wav", speech_samples(3))
    options = TranscribeOptions(allowed_languages=("de", "ja"))
    transcript = World(language=("en", 0.8)).transcriber.transcribe(file, options, model="fake")
    assert transcript.language in ("de", "ja")
    assert {segment.language for segment in transcript.segments} == {transcript.language}


@pytest.fixture
def two_languages(tmp_path: Path) -> Path:
    """Three German pieces of four words, then two English ones of six."""
    german, english = speech_samples(4, tail_s=3.0), speech_samples(6, tail_s=3.0)
    return write_speech(tmp_path / "both.wav", np.concatenate([german] * 3 + [english] * 2))


def by_number_of_words(sure: float) -> object:
    def hears(row: np.ndarray) -> tuple[str, float]:
        words = FakeWhisper()._count(row).token_ids
        return ("de", 0.9) if bytes(words).decode().count(" ") == 4 else ("en", sure)

    return hears


def test_where_languages_switch_each_chunk_has_its_own(two_languages: Path) -> None:
    world = World(language=by_number_of_words(0.9))
    transcript = world.transcriber.transcribe(two_languages, TranscribeOptions(code_switching=True), model="fake")
    assert [segment.language for segment in transcript.segments] == ["de"] * 3 + ["en"] * 2
    assert transcript.language == "de"  # what was spoken for longer: 3 x 4 words to 2 x 6, and it came first


def test_a_chunk_that_is_not_sure_of_its_language_has_the_files(two_languages: Path) -> None:
    world = World(language=by_number_of_words(0.4))
    transcript = world.transcriber.transcribe(two_languages, TranscribeOptions(code_switching=True), model="fake")
    assert {segment.language for segment in transcript.segments} == {"de"}
