"""What the qualities mean, and how speech is packed for a model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.audio.chunking import Chunker, ChunkingRules
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.request import Quality, TranscribeOptions
from autorag_whisper.testing import FakeWhisper
from autorag_whisper.transcriber.reading import FIRST_CHUNK_S, chunking_rules

if TYPE_CHECKING:
    from autorag_whisper.domain.audio import SpeechChunk

WINDOW = 512


def test_a_beam_that_was_asked_for_wins_over_the_qualitys() -> None:
    effort = TranscribeOptions(quality=Quality.BEST, beam_size=2).effort
    assert (effort.beam_size, effort.full_window) == (2, True)


def test_a_quality_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(InvalidOption, match="fast, balanced, best"):
        TranscribeOptions(quality="superb")  # type: ignore[arg-type]  # the spelling is wrong on purpose


def test_a_model_that_pays_for_the_full_window_anyway_has_no_short_first_chunk() -> None:
    spec = FakeWhisper().spec
    assert chunking_rules(spec, TranscribeOptions()).first_chunk_s == FIRST_CHUNK_S
    assert chunking_rules(replace(spec, strict_window=True), TranscribeOptions()).first_chunk_s is None
    assert chunking_rules(spec, TranscribeOptions(quality=Quality.BEST)).first_chunk_s is None


def test_the_first_chunk_of_a_long_file_is_short_and_the_others_are_not() -> None:
    rules = ChunkingRules(first_chunk_s=FIRST_CHUNK_S)
    first, second, *_ = speech(rules, 100.0)
    assert first.duration_s <= FIRST_CHUNK_S < second.duration_s <= rules.max_chunk_s
    assert second.start == first.stop  # speech that never pauses is cut, and none of it lost


def speech(rules: ChunkingRules, duration_s: float) -> list[SpeechChunk]:
    """Chunks of speech that never pauses."""
    chunker = Chunker(rules)
    samples = int(duration_s * SAMPLE_RATE_HZ) // WINDOW * WINDOW
    heard = np.full(samples // WINDOW, 0.99, np.float32)
    return [*chunker.push(np.zeros(samples, np.float32), heard), *chunker.finish()]
