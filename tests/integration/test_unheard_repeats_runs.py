"""What a text says again and nobody said: the likelier of two texts, given the letters that are heard.

"He was not an ill-disposed young man." came out twice in one join of human clips in twenty: a decoder that does not
notice the end of the sound writes its last sentence once more, and where its times look like speech no rule of pace
finds that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autorag_whisper.engines.base import Hypothesis
from autorag_whisper.recognition.unsaid import UNHEARD_REPEAT
from autorag_whisper.testing import FakeWhisper, speech_samples, write_speech
from letter_hearing import planted, reading_classifier
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from autorag_whisper.engines.base import Decoding, Encoded


class SaysNoOnce(FakeWhisper):
    """Hears one "no" in its first second and writes two."""

    def __init__(self, **fake: Any) -> None:
        super().__init__(**fake)
        self.hearing(reading_classifier(width=80))

    def as_arrays(self, encoded: Encoded) -> list[np.ndarray]:
        one = planted("nnnnoooo".rjust(30, ".").ljust(encoded.value.shape[2] // 2, "."), reading_classifier(width=80))
        return [one] * encoded.rows

    def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
        return [Hypothesis(self.tokenizer.encode(" No. No."), -0.2, 0.01, cap_hit=False)] * encoded.rows


def test_what_was_not_heard_again_is_listed_with_its_rule(tmp_path: Path) -> None:
    audio = write_speech(tmp_path / "a.wav", speech_samples(1))
    transcript = World(engine=SaysNoOnce).transcriber.transcribe(audio, model="fake")
    assert transcript.text == "No."
    assert [(one.text, one.reason) for one in transcript.rejected] == [("No.", UNHEARD_REPEAT)]
