"""What `engines.aligners.WordAligner` promises, held against every implementation.

whisperX's takes part in the environment that `scripts/whisperx_env.sh` makes.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.domain.device import CPU, CUDA
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.engines import whisperx_alignment
from autorag_whisper.engines.aligners import WordAligner
from autorag_whisper.testing import FakeEmitter, FakeWordAligner, speech_samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

needs_whisperx = pytest.mark.skipif(find_spec("whisperx") is None, reason="needs whisperX: scripts/whisperx_env.sh")
CLIP = speech_samples(3)
WORDS = ["one", "two,", "three."]


@pytest.fixture(params=["fake", pytest.param("whisperx", marks=needs_whisperx)])
def make(request: pytest.FixtureRequest) -> Callable[[], WordAligner]:
    if request.param == "fake":
        return FakeWordAligner
    folder: Path = request.getfixturevalue("ctc_tiny_en_folder")
    return lambda: whisperx_alignment.load("en", folder, "ctc-tiny-en", CPU)


@pytest.fixture
def aligner(make: Callable[[], WordAligner]) -> WordAligner:
    return make()


def test_only_what_places_words_itself_counts_as_one(aligner: WordAligner) -> None:
    assert isinstance(aligner, WordAligner)
    assert not isinstance(FakeEmitter(), WordAligner)


def test_there_is_an_answer_for_every_word_inside_the_clip_and_in_order(aligner: WordAligner) -> None:
    found = aligner.align_words(CLIP, WORDS)
    assert len(found) == len(WORDS)
    spans = [span for span in found if span is not None]
    assert len(spans) == len(WORDS)
    assert all(0 <= span.start_s <= span.end_s <= len(CLIP) / 16_000 + 0.05 for span in spans)
    assert all(0 <= span.score <= 1 for span in spans)
    starts = [span.start_s for span in spans]
    assert starts == sorted(starts)


@pytest.mark.parametrize(
    "words", [["2,"], ["12", "$5", "Ж"], ["one", "2", "three"], ["--"], [], ["…", "♪"], ["a" * 300]]
)
def test_whatever_the_words_are_each_has_an_answer(aligner: WordAligner, words: list[str]) -> None:
    assert len(aligner.align_words(CLIP, words)) == len(words)


@pytest.mark.parametrize("length", [0, 1, 399, 400, 720])
def test_a_clip_that_is_too_short_for_its_words_ends_no_process(aligner: WordAligner, length: int) -> None:
    assert len(aligner.align_words(CLIP[8000 : 8000 + length], WORDS)) == len(WORDS)


def test_silence_and_values_that_are_no_numbers_end_no_process(aligner: WordAligner) -> None:
    for clip in (np.zeros(16_000, np.float32), np.full(16_000, np.nan, np.float32)):
        assert len(aligner.align_words(clip, WORDS)) == len(WORDS)


def test_arguments_are_neither_changed_nor_kept(aligner: WordAligner) -> None:
    given = CLIP.copy()
    before = aligner.align_words(given, WORDS)
    assert np.array_equal(given, CLIP)
    given[:] = 0
    assert aligner.align_words(CLIP, WORDS) == before


def test_on_the_cpu_nothing_moves_and_the_model_goes_on(aligner: WordAligner) -> None:
    before = aligner.align_words(CLIP, WORDS)
    assert not aligner.offload()
    assert aligner.is_on_device
    assert not aligner.restore()
    assert aligner.align_words(CLIP, WORDS) == before


def test_after_close_every_call_is_refused_and_close_again_is_fine(aligner: WordAligner) -> None:
    aligner.close()
    aligner.close()
    assert not aligner.is_on_device
    for call in (lambda: aligner.align_words(CLIP, WORDS), aligner.offload, aligner.restore):
        with pytest.raises(EngineError, match="closed"):
            call()


def test_away_from_its_card_it_aligns_nothing_and_back_it_does() -> None:
    aligner = FakeWordAligner(device=CUDA)
    assert aligner.offload()
    with pytest.raises(EngineError, match="offloaded"):
        aligner.align_words(CLIP, WORDS)
    assert aligner.restore()
    assert all(aligner.align_words(CLIP, WORDS))
