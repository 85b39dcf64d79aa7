"""The letter classifiers of the package are what their script makes, and hear letters in speech they never heard."""

from __future__ import annotations

import ctypes.util
import os
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.align.letter_path import words_by_letters
from autorag_whisper.align.letter_training import Course, targets, train
from autorag_whisper.align.pauses import SoundLevel
from autorag_whisper.align.text_normalization import readings
from autorag_whisper.calibration import calibrate_model, opened_model
from autorag_whisper.engines import letter_classifiers
from autorag_whisper.engines.letter_classifiers import encoder_digest, packaged, read
from autorag_whisper.loading.letter_calibration import LATIN, encoder_frames, lesson, packaged_speech
from autorag_whisper.models.store import ModelStore
from autorag_whisper.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autorag_whisper.align.letters import LetterClassifier
    from autorag_whisper.engines.base import WhisperModel
    from autorag_whisper.loading.letter_calibration import SpokenWindow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
UNSEEN = 4242
"""A seed that no classifier was trained with."""


@pytest.fixture(params=["tiny.en", "base"])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def recognizer(model: str) -> Iterator[WhisperModel]:
    with opened_model(Settings(), os.environ, model, "cpu") as opened:
        yield opened


@pytest.fixture
def shipped(model: str) -> LetterClassifier:
    found = packaged(encoder_digest(ModelStore(environ=dict(os.environ)).resolve(model, download=False).folder))
    assert found is not None
    return found


@pytest.fixture
def unseen(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[SpokenWindow]:
    """A minute and a half of flite's speech, as the script makes it."""
    if ctypes.util.find_library("flite") is None:
        pytest.skip("needs flite")
    monkeypatch.syspath_prepend(str(root / "scripts"))
    from exact_speech import word_list
    from letter_speech import english

    folder = ModelStore(environ=dict(os.environ)).resolve("base", download=False).folder
    return list(english(word_list(folder / "tokenizer.json"), 90, UNSEEN))


def edges_off_s(recognizer: WhisperModel, classifier: LetterClassifier, windows: list[SpokenWindow]) -> np.ndarray:
    """float64[n]: how far starts and ends of the words lie from the truth."""
    off: list[np.ndarray] = []
    for window in windows:
        frames = encoder_frames(recognizer, window.samples).astype(np.float32)
        texts = [text for text, _, _ in window.words]
        quiet = SoundLevel.of(window.samples).quiet_frames(len(frames))
        path = words_by_letters(classifier.log_probabilities(frames), classifier, readings(texts, "en"), quiet)
        assert path is not None
        off.append(np.abs(path.spans * 0.02 - [(start, end) for _, start, end in window.words]).ravel())
    return np.concatenate(off)


def test_the_shipped_classifier_finds_words_in_speech_that_it_never_heard(
    recognizer: WhisperModel, shipped: LetterClassifier, unseen: list[SpokenWindow]
) -> None:
    off_s = edges_off_s(recognizer, shipped, unseen)
    assert np.median(off_s) <= 0.012
    assert np.mean(off_s <= 0.1) >= 0.98


def test_the_shipped_classifier_and_one_that_is_made_anew_hear_the_same(
    recognizer: WhisperModel, shipped: LetterClassifier, unseen: list[SpokenWindow]
) -> None:
    known = islice((window for window in packaged_speech() if window.language == "en"), 14)
    lessons = [lesson(encoder_frames(recognizer, window.samples), window.words) for window in known]
    anew = train(lessons, LATIN, Course(hidden=96, epochs=(2, 3, 6)))
    heard = [encoder_frames(recognizer, window.samples).astype(np.float32) for window in unseen]
    told, told_anew = (
        np.concatenate([each.log_probabilities(frames) for frames in heard]).argmax(axis=1) for each in (shipped, anew)
    )
    truth = np.concatenate(
        [targets(lesson(frames, window.words), 28, shipped) for frames, window in zip(heard, unseen, strict=True)]
    ).argmax(axis=1)
    assert np.mean(told == told_anew) > 0.7
    assert np.mean(told == truth) > max(0.8, float(np.mean(told_anew == truth)))


def test_a_model_that_none_comes_with_is_calibrated_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recognizer: WhisperModel, unseen: list[SpokenWindow], model: str
) -> None:
    if model != "tiny.en":
        pytest.skip("one model is enough")
    monkeypatch.setattr(letter_classifiers, "packaged", lambda _encoder: None)
    settings, environ = Settings(cache_dir=tmp_path), dict(os.environ)
    kept = calibrate_model(settings, environ, model, device="cpu")
    assert kept is not None
    off_s = edges_off_s(recognizer, read(kept), unseen)
    assert np.median(off_s) <= 0.015
    assert np.mean(off_s <= 0.1) >= 0.96
    made_ns = kept.stat().st_mtime_ns
    assert calibrate_model(settings, environ, model) == kept
    assert kept.stat().st_mtime_ns == made_ns
    folder = ModelStore(environ=environ).resolve(model, download=False).folder
    assert letter_classifiers.classifier_for(folder, tmp_path) is not None
    kept.write_bytes(kept.read_bytes()[:1000])
    assert letter_classifiers.classifier_for(folder, tmp_path) is None
