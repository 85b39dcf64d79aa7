"""Which text of a chunk is kept where a redo loses its way in a loop over faint sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autorag_whisper.engines.base import Hypothesis
from autorag_whisper.testing import FakeVoiceActivity, FakeWhisper, speech_samples, write_speech
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.domain.transcript import Transcript

LOOP = Hypothesis(FakeWhisper().tokenizer.encode(" Go on." * 6), -0.4, 0.35, cap_hit=False)


def said(text: str, avg_logprob: float, no_speech_prob: float = 0.3) -> Hypothesis:
    return Hypothesis(FakeWhisper().tokenizer.encode(text), avg_logprob, no_speech_prob, cap_hit=False)


class FaintVoiceActivity(FakeVoiceActivity):
    """Sure enough of speech, and less than of a clear voice."""

    def stream(self) -> FaintVoiceStream:  # type: ignore[override]  # it has the same methods
        return FaintVoiceStream()


class FaintVoiceStream:
    def __init__(self) -> None:
        self._clear = FakeVoiceActivity().stream()

    def push(self, samples: Samples) -> NDArray[np.float32]:
        return 0.9 * self._clear.push(samples)

    def finish(self) -> NDArray[np.float32]:
        return 0.9 * self._clear.finish()


def recognised(folder: Path, texts: Sequence[Hypothesis]) -> Transcript:
    """Of a short recording, whose decodings give these texts one after the other, the last one again and again."""
    asked: list[object] = []

    def script(features: object) -> Hypothesis:
        asked.append(features)
        return texts[min(len(asked), len(texts)) - 1]

    world = World(voice=FaintVoiceActivity(), script=script)
    return world.transcriber.transcribe(write_speech(folder / "a.wav", speech_samples(3)), model="fake")


@pytest.mark.parametrize(
    ("texts", "kept", "attempt"),
    [
        ([said(" By a similar process", -1.04), LOOP], "By a similar process", 0),
        ([said(" By a similar", -1.2), said(" By the same process", -1.1), LOOP], "By the same process", 1),
        ([said(" By a similar process", -1.1), said(" By the same", -1.2), LOOP], "By a similar process", 0),
    ],
    ids=["first text", "redo's own is likelier", "first text is likelier"],
)
def test_an_improbable_text_is_kept_where_the_redo_ends_in_a_loop_that_a_rule_rejects(
    tmp_path: Path, texts: list[Hypothesis], kept: str, attempt: int
) -> None:
    transcript = recognised(tmp_path, texts)
    assert transcript.text == kept
    assert transcript.rejected == ()
    [segment] = transcript.segments
    assert segment.avg_logprob == pytest.approx(texts[attempt].avg_logprob)
    assert len(segment.attempts) == len(texts)


@pytest.mark.parametrize(
    ("texts", "rule"),
    [
        ([said(" Thank you", -1.04, 0.45), said(" Thank you", -2.1, 0.45)], "hopeless"),  # what it hears is doubted
        ([said(" Thank you", -2.1, 0.45), LOOP], "faint_loop"),  # the first text is rejected as well
        ([said(" Leave the key now" * 2, -0.5), LOOP], "faint_loop"),  # the first text has another fault
        ([said(" Ahem", -1.18, 0.48), LOOP], "faint_loop"),  # laughter: it is doubted too much
    ],
    ids=["no loop", "rejected twice", "said twice", "in doubt"],
)
def test_a_text_that_more_speaks_against_does_not_come_back(tmp_path: Path, texts: list[Hypothesis], rule: str) -> None:
    transcript = recognised(tmp_path, texts)
    assert transcript.words == ()
    assert [rejected.reason.partition(":")[0] for rejected in transcript.rejected] == [rule]
