"""A letter classifier for a model that none comes with."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.align.letter_training import targets
from autorag_whisper.audio.features import log_mel
from autorag_whisper.loading.letter_calibration import (
    COPIES,
    SpokenWindow,
    calibrate_letters,
    encoder_frames,
    lesson,
    packaged_speech,
)
from autorag_whisper.testing import FakeWhisper, Faults

if TYPE_CHECKING:
    from autorag_whisper.engines.base import WhisperModel

RATE_HZ = 16_000
BYTES_AT_MOST = 2_000_000


def test_the_packaged_speech_is_small_and_enough() -> None:
    folder = files("autorag_whisper.loading")
    sizes = [len(folder.joinpath(f"letter_speech.{suffix}").read_bytes()) for suffix in ("opus", "json")]
    assert sum(sizes) < BYTES_AT_MOST
    speech = packaged_speech()
    assert sum(len(window.samples) for window in speech) > 300 * RATE_HZ
    assert {"en", "de", "fr", "es"} <= {window.language for window in speech}


@pytest.mark.slow
def test_the_packaged_words_lie_where_there_is_sound() -> None:
    for window in packaged_speech():
        duration_s = len(window.samples) / RATE_HZ
        assert duration_s <= 28
        assert all(0 <= start < end <= duration_s + 0.01 for _, start, end in window.words)
        assert all(before[2] <= after[1] + 1e-6 for before, after in pairwise(window.words))
        spoken = np.zeros(len(window.samples), bool)
        for _, start, end in window.words:
            spoken[round(start * RATE_HZ) : round(end * RATE_HZ)] = True
        away = np.convolve(spoken, np.ones(2400), "same") == 0  # 75 ms from every word
        inside = float((window.samples[spoken] ** 2).mean())
        assert not away.any() or float((window.samples[away] ** 2).mean()) < inside / 300


def speech_of(languages: tuple[str, ...], count: int) -> list[SpokenWindow]:
    return [window for window in packaged_speech() if window.language in languages][:count]


@pytest.mark.slow
def test_a_model_that_was_never_seen_learns_what_each_frame_is() -> None:
    # The fake's encoder output is the log-mel itself: sounds can be told by it, if not well.
    *known, new = speech_of(("en",), 9)
    shares: list[float] = []
    classifier = calibrate_letters(FakeWhisper(), known, on_progress=shares.append)
    assert shares[-1] == 1.0
    assert shares == sorted(shares)
    frames = encoder_frames(FakeWhisper(), new.samples)
    truth = targets(lesson(frames, new.words), len(classifier.prior), None)
    told = classifier.log_probabilities(frames.astype(np.float32))
    silent = truth[:, 0]
    sure = (silent < 0.01) | (silent > 0.99)
    assert np.mean((told.argmax(axis=1) == 0)[sure] == (silent > 0.5)[sure]) > 0.85
    # Letters share their words' frames evenly in this truth, so that half of it is wrong.
    spoken = silent < 0.01
    assert np.mean(told[spoken].argmax(axis=1) == truth[spoken].argmax(axis=1)) > 0.12


@pytest.mark.slow
def test_the_encoders_frames_are_those_of_the_sound() -> None:
    window = speech_of(("en",), 1)[0]
    frames = encoder_frames(FakeWhisper(), window.samples)
    assert len(frames) == len(window.samples) // 320
    mel = log_mel(window.samples, 80)[:, ::2].T
    assert np.allclose(frames, mel[: len(frames)], atol=1e-2)


class EnglishOnly(FakeWhisper):
    """A model that knows no other language."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults=faults)
        self._spec = replace(self._spec, languages=frozenset({"en"}))


@pytest.mark.slow
def test_an_english_model_hears_english_alone() -> None:
    faults = Faults()
    speech = [*speech_of(("en",), 2), *speech_of(("de", "fr"), 2)]
    calibrate_letters(EnglishOnly(faults), speech)
    assert faults.calls["encode"] == COPIES * 2


def test_a_model_of_other_languages_alone_cannot_be_calibrated() -> None:
    fake: WhisperModel = EnglishOnly(Faults())
    with pytest.raises(ValueError, match="nothing to learn from"):
        calibrate_letters(fake, speech_of(("de",), 1))


def test_what_the_engine_raises_is_passed_on() -> None:
    def fail(stage: str, number: int) -> None:
        if stage == "encode" and number == 2:
            raise RuntimeError("the card is gone")

    with pytest.raises(RuntimeError, match="the card is gone"):
        calibrate_letters(FakeWhisper(faults=Faults(fail=fail)), speech_of(("en",), 3))
