"""What `engines.base.VoiceActivity` promises, held against every implementation; Silero against its reference."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from autorag_whisper.domain.errors import EngineError
from autorag_whisper.engines.silero import SileroStream, SileroVoiceActivity
from autorag_whisper.testing import FakeVoiceActivity, speech_samples

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.engines.base import VoiceActivity


@pytest.fixture(params=[FakeVoiceActivity, SileroVoiceActivity])
def voice(request: pytest.FixtureRequest) -> VoiceActivity:
    return request.param()


@pytest.fixture(scope="module")
def speech(demo_sample: Path) -> np.ndarray:
    with av.open(str(demo_sample)) as container:
        resampler = av.AudioResampler("fltp", "mono", 16_000)
        pieces = [p.to_ndarray()[0] for f in container.decode(audio=0) for p in resampler.resample(f)]
    return np.concatenate(pieces).astype(np.float32)


def probabilities(voice: VoiceActivity, samples: np.ndarray, cuts: list[int]) -> np.ndarray:
    stream = voice.stream()
    return np.concatenate([*map(stream.push, np.split(samples, cuts)), stream.finish()])


def test_the_cut_into_calls_changes_nothing(voice: VoiceActivity, speech: np.ndarray) -> None:
    signal = np.concatenate((speech[:40_000], np.zeros(50_000, np.float32), speech[40_000:90_000]))
    whole = probabilities(voice, signal, [])
    rng = np.random.default_rng(7)
    for count in (1, 3, 40):
        cuts = sorted(rng.integers(0, len(signal), count).tolist())
        assert np.array_equal(probabilities(voice, signal, cuts), whole)  # bit for bit


def test_every_window_has_a_probability_the_last_one_too(voice: VoiceActivity, speech: np.ndarray) -> None:
    for length in (0, 1, 511, 512, 513, 10_000):
        found = probabilities(voice, speech[:length], [])
        assert len(found) == -(-length // 512)
        assert ((found >= 0) & (found <= 1)).all()


def test_speech_is_heard_and_digital_silence_is_not(voice: VoiceActivity, speech: np.ndarray) -> None:
    loud = speech if isinstance(voice, SileroVoiceActivity) else speech_samples(8)
    assert probabilities(voice, loud, []).max() > 0.9
    assert probabilities(voice, np.zeros(160_000, np.float32), [])[40:].max() == 0


def test_values_that_are_no_numbers_do_not_spoil_what_follows(voice: VoiceActivity, speech: np.ndarray) -> None:
    broken = np.concatenate((np.full(4096, np.nan, np.float32), np.zeros(512, np.float32), speech))
    found = probabilities(voice, broken, [])
    assert np.isfinite(found).all()
    if isinstance(voice, SileroVoiceActivity):
        assert found.max() > 0.9


def test_silero_gives_what_its_reference_gives(speech: np.ndarray) -> None:
    from faster_whisper.vad import get_vad_model

    # Up to the pause: in digital silence that lasts ours is not asked, and comes out of it a little differently.
    whole = speech[: 230 * 512]
    expected = np.asarray(get_vad_model()(whole)).reshape(-1)
    assert np.allclose(probabilities(SileroVoiceActivity(), whole, []), expected, atol=1e-4)


class SoftLimitError(Exception):
    """What a host's signal handler raises, such as Celery's soft time limit."""


class Session:
    """A runtime whose call ends with an exception."""

    def __init__(self, raised: type[Exception]) -> None:
        self.raised = raised

    def run(self, _outputs: object, _inputs: object) -> None:
        raise self.raised("mine")


def test_an_exception_of_a_signal_handler_is_the_callers_and_the_runtimes_is_the_engines() -> None:
    """A handler may run in the middle of any call: what it raises is no failure of the engine."""
    window = np.ones(512, np.float32)
    for foreign in (SoftLimitError, TimeoutError):
        with pytest.raises(foreign, match="mine"):
            SileroStream(Session(foreign)).push(window)
    its = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    for own in (its.RuntimeException, its.Fail, its.InvalidArgument, RuntimeError, ValueError):
        with pytest.raises(EngineError, match="voice activity"):
            SileroStream(Session(own)).push(window)
