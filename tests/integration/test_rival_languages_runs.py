"""A language that was mistaken is found out by the text that comes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.testing import FakeWhisper, FakeWhisperPipeline, speech_samples, write_speech
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from autorag_whisper.engines.base import Decoding, Encoded, Hypothesis
SENTENCE, WELSH = "The last chapter explains why it failed.", "Mae'r Llywodraeth yn gweithio"


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


class Unsure(FakeWhisperPipeline):
    """As the others, and another language is likely too."""

    def detect_languages(self, encoded: Encoded) -> list[dict[str, float]]:
        return [{"de": 0.9, "en": 0.08}] * encoded.rows


@pytest.mark.timeout(60)
def test_an_engine_that_decodes_by_its_own_rules_has_the_detected_language(tmp_path: Path) -> None:
    """It was never told, where there were rivals: all other chunks of the file waited for it for ever."""
    talk = write_speech(tmp_path / "talk.wav", speech_samples(60, tail_s=1.0))
    transcript = World(engine=Unsure).transcriber.transcribe(talk, model="fake")
    assert (transcript.language, transcript.language_probability) == ("de", 0.9)
    assert len(transcript.words) == 60


class Contradicts(Speaks):
    """Hears German in all pieces, and writes English that is far likelier."""

    def __init__(self, **given: object) -> None:
        super().__init__(**given)  # type: ignore[arg-type]  # whatever the other takes
        self.texts = {"en": (SENTENCE, -0.1), "de": ("mae yn i er el", -0.9), "ja": ("sono", -1.5)}

    def detect_languages(self, encoded: Encoded) -> list[dict[str, float]]:
        return [{"de": 0.93, "en": 0.04}] * encoded.rows


def test_what_the_first_text_has_settled_is_not_undone_by_the_sound_that_was_mistaken(tmp_path: Path) -> None:
    talk = write_speech(tmp_path / "talk.wav", speech_samples(30, tail_s=1.0))
    options = TranscribeOptions(vad_min_silence_s=0.5)
    transcript = World(engine=Contradicts).transcriber.transcribe(talk, options, model="fake")
    assert transcript.language == "en"
    assert {segment.language for segment in transcript.segments} == {"en"}
