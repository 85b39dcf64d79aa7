"""Words that the alignment found no place for, through the whole recognition of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechChunk, SpeechSpan
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.engines.base import Hypothesis, TokenTimes
from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask
from autorag_whisper.recognition.hallucinations import SQUEEZED, SQUEEZED_REPEAT
from autorag_whisper.recognition.recognise import WhisperPass
from autorag_whisper.recognition.recognizer import Caller
from autorag_whisper.testing import FakeWhisper, speech_samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.engines.base import Encoded


class Squeezing(FakeWhisper):
    """Gives the first word the speech, and heaps the others up at `part` of the sound: where it ends."""

    part = 1.0

    def align(
        self,
        encoded: Encoded,
        start_sequence: Sequence[int],
        token_ids: Sequence[Sequence[int]],
        frames: Sequence[int],
        *,
        spelled: bool = False,
    ) -> list[TokenTimes]:
        rows = super().align(encoded, start_sequence, token_ids, frames, spelled=spelled)
        return [
            TokenTimes(
                np.where(np.arange(len(row.starts)) < len(" one"), 20, round(self.part * n / 2)), row.probabilities
            )
            for row, n in zip(rows, frames, strict=True)
        ]


def recognised(text: str = "one two three", part: float = 1.0, **options: object) -> ChunkResult:
    samples = speech_samples(3, tail_s=2.0)
    speech = SpeechSpan(SAMPLE_RATE_HZ // 2, round(2.5 * SAMPLE_RATE_HZ))
    asked = TranscribeOptions(**options)  # type: ignore[arg-type]  # whatever a test gives
    task = ChunkTask(0, SpeechChunk(0, 0, samples, (speech,)), "en", options=asked)
    engine = Squeezing(script=lambda _features: Hypothesis(tuple(map(ord, f" {text}")), -0.2, 0.01, cap_hit=False))
    engine.part = part
    caller = Caller(on_language=lambda _file, _choice: None, cancelled=lambda: False)
    [result] = WhisperPass(engine, asked, caller).recognise([task])
    return result


def test_words_heaped_up_behind_the_speech_are_listed_not_returned() -> None:
    result = recognised()
    assert [timed.word.text for timed in result.words] == ["one"]
    assert [(rejection.text, rejection.rule) for rejection in result.rejected] == [("two three", SQUEEZED)]


def test_a_sentence_that_is_written_twice_with_no_sound_for_one_is_there_once() -> None:
    result = recognised("one said before two three four five two three four five", part=0.4)
    assert " ".join(timed.word.text for timed in result.words) == "one said before two three four five"
    assert [(one.text, one.rule) for one in result.rejected] == [("two three four five", SQUEEZED_REPEAT)]


def test_a_translation_has_its_words_in_another_order_and_keeps_them() -> None:
    result = recognised(task="translate")
    assert [timed.word.text for timed in result.words] == ["one", "two", "three"]
    assert not result.rejected


@pytest.mark.parametrize("signs", ["☀ ☁ ☂ ☃ ★", "€ $ £ ¥ ₩", "😂 😂 😂 😂 😂", "- - - - - -"])
def test_signs_that_have_no_sound_are_no_repetition(signs: str) -> None:
    # Each was compared by its letters, of which it has none: all were the same word, and four were taken out.
    result = recognised(f"one {signs} two", part=0.4)
    assert result.rejected == ()
    assert result.text.split() == ["one", *signs.split(), "two"]
    assert "".join(timed.word.text for timed in result.words) == result.text.replace(" ", "")
