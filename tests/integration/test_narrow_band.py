"""A telephone's band for voice activity: what it lacks is made anew, what lacks nothing is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.highpass import HighPass
from autorag_whisper.audio.narrow_band import BandExtension
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.engines.silero import SileroVoiceActivity

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.domain.audio import Samples

HZ = SAMPLE_RATE_HZ


@pytest.fixture(scope="module")
def speech(demo_sample: Path) -> Samples:
    with demo_sample.open("rb") as file, MediaDecoder(file, "demo") as decoder:
        samples = np.concatenate(list(decoder))
    return np.asarray(samples * 0.05 / np.sqrt(np.mean(samples**2)), np.float32)


def telephone(samples: Samples) -> Samples:
    spectrum, hz = np.fft.rfft(samples), np.fft.rfftfreq(len(samples), 1 / HZ)
    return np.fft.irfft(np.where((hz > 300) & (hz < 3400), spectrum, 0), len(samples)).astype(np.float32)


def power(samples: Samples, low: float, high: float) -> float:
    spectrum, hz = np.fft.rfft(samples), np.fft.rfftfreq(len(samples), 1 / HZ)
    return float(np.sum(np.abs(spectrum[(hz > low) & (hz < high)]) ** 2))


def test_speech_of_full_band_passes_as_it_is(speech: Samples) -> None:
    assert np.array_equal(BandExtension().push(speech), speech)


def test_both_bands_that_a_telephone_lacks_are_made_anew_and_its_own_is_kept(speech: Samples) -> None:
    narrow = telephone(speech)
    heard = BandExtension().push(narrow)
    for low, high in ((80, 250), (3800, 7000)):
        assert power(heard, low, high) > 100 * power(narrow, low, high)
    assert power(heard, 500, 3000) == pytest.approx(power(narrow, 500, 3000), rel=0.3)


@pytest.mark.parametrize("hz", [60, 440, 1000, 5000])
def test_what_is_no_voice_in_a_narrow_band_makes_no_voice(hz: int) -> None:
    tone = (0.1 * np.sin(2 * np.pi * hz * np.arange(4 * HZ) / HZ)).astype(np.float32)
    assert probabilities([tone]).max() < 0.25


def test_a_voice_in_a_telephones_band_is_found_behind_one_of_full_band(speech: Samples) -> None:
    # Voice activity remembers the voice before: of six telephone clips in joins it found nothing at all.
    floor = np.random.default_rng(1).standard_normal(len(speech)).astype(np.float32) * np.float32(1e-4)
    clear = probabilities([speech + floor, floor[:HZ], speech + floor])
    narrow = probabilities([speech + floor, floor[:HZ], telephone(speech) + floor])
    second = np.arange(len(clear)) > (len(speech) + HZ) // 512
    found = (narrow[second] >= 0.5) & (clear[second] >= 0.5)
    assert found.sum() > 0.8 * (clear[second] >= 0.5).sum()


@given(st.lists(st.integers(1, 3000), max_size=12), st.booleans(), st.integers(0, 3))
def test_the_cut_into_blocks_changes_nothing(lengths: list[int], is_narrow: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = np.repeat(rng.standard_normal(8) * 0.2, 5000)[: sum(lengths) or 1] * rng.standard_normal(
        sum(lengths) or 1
    )
    samples = telephone(samples.astype(np.float32)) if is_narrow else samples.astype(np.float32)
    whole, cut = BandExtension(), BandExtension()
    pieces = [cut.push(piece) for piece in np.split(samples, np.cumsum(lengths))]
    assert np.allclose(np.concatenate(pieces), whole.push(samples), atol=1e-6)


def probabilities(pieces: list[Samples]) -> Samples:
    stream, extension, high_pass = SileroVoiceActivity().stream(), BandExtension(), HighPass()
    return np.concatenate([stream.push(high_pass.push(extension.push(piece))) for piece in pieces])
