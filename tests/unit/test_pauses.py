"""Where nobody speaks, on sounds whose silences are known because they were put there."""

from __future__ import annotations

import numpy as np
import pytest

from autorag_whisper.align.pauses import SoundLevel


def hum(seconds: float, hertz: float, amplitude: float) -> np.ndarray:
    """float32[n]: a voiced sound with all of its energy in the lowest band, as "m" and "n" have."""
    moments = np.arange(round(seconds * 16_000)) / 16_000
    return (amplitude * np.sin(2 * np.pi * hertz * moments)).astype(np.float32)


def tone(*parts: tuple[float, float]) -> np.ndarray:
    """float32[n]: (seconds, amplitude) after one another, of noise."""
    rng = np.random.default_rng(1)
    return np.concatenate([a * rng.normal(size=round(s * 16_000)) for s, a in parts]).astype(np.float32)


def test_a_planted_silence_is_found_to_ten_milliseconds() -> None:
    [(start, end)] = SoundLevel.of(tone((0.6, 0.2), (0.4, 1e-4), (0.7, 0.2))).silences([])
    assert start == pytest.approx(0.6, abs=0.011)
    assert end == pytest.approx(1.0, abs=0.011)


def test_a_pause_filled_with_noise_far_below_the_speech_is_a_silence() -> None:
    [(start, end)] = SoundLevel.of(tone((1.0, 0.5), (0.6, 0.5 / 10 ** (30 / 20)), (1.0, 0.5))).silences([])
    assert (start, end) == (pytest.approx(1.0, abs=0.01), pytest.approx(1.6, abs=0.01))


def test_a_click_in_a_silence_does_not_part_it() -> None:
    assert len(SoundLevel.of(tone((0.6, 0.2), (0.2, 1e-4), (0.004, 0.2), (0.2, 1e-4), (0.7, 0.2))).silences([])) == 1


def test_speech_that_voice_activity_hears_is_no_silence_though_it_is_soft() -> None:
    soft = tone((0.6, 0.2), (0.8, 2e-4), (0.7, 0.2))
    assert len(SoundLevel.of(soft).silences([])) == 1
    assert SoundLevel.of(soft).silences([(0.0, 2.1)]) == []


def test_where_energy_tells_nothing_voice_activity_does() -> None:
    noise = tone((3.0, 0.2))
    assert SoundLevel.of(noise).silences([]) == []
    assert SoundLevel.of(noise).silences([(0.2, 1.0), (2.0, 2.9)]) == [(pytest.approx(1.1), pytest.approx(1.9))]


def test_a_murmur_is_no_silence_though_only_the_lowest_band_has_it() -> None:
    """By one level for all of the sound "m", "n", "w" and "l" were silence."""
    loud, pause = tone((0.6, 0.2)), tone((0.5, 1e-4))
    heard = np.concatenate([loud, hum(0.2, 250.0, 0.02), pause, hum(0.2, 250.0, 0.02), loud])
    [(start, end)] = SoundLevel.of(heard).silences([])
    assert start == pytest.approx(0.8, abs=0.011)
    assert end == pytest.approx(1.3, abs=0.011)


def test_a_hiss_is_no_silence_though_only_the_highest_band_has_it() -> None:
    """ "s" and "f" under the noise of a room, which is low."""
    room = hum(2.1, 120.0, 0.003)
    heard = np.concatenate([tone((0.6, 0.2)), hum(0.2, 5_000.0, 0.01), tone((0.5, 1e-4), (0.8, 0.2))]) + room
    [(start, end)] = SoundLevel.of(heard).silences([])
    assert start == pytest.approx(0.8, abs=0.011)
    assert end == pytest.approx(1.3, abs=0.011)


def test_a_hum_that_never_ends_hides_no_pause() -> None:
    heard = tone((0.6, 0.2), (0.5, 1e-4), (0.7, 0.2)) + hum(1.8, 300.0, 0.5)
    [(start, end)] = SoundLevel.of(heard).silences([])
    assert start == pytest.approx(0.6, abs=0.011)
    assert end == pytest.approx(1.1, abs=0.011)


def test_a_hum_that_swells_hides_no_pause_and_no_speech() -> None:
    """A band in which speech does not stand out is not asked, however its own level wavers."""
    swell = 1 + 0.5 * np.sin(2 * np.pi * 1.5 * np.arange(round(1.8 * 16_000)) / 16_000)
    heard = tone((0.6, 0.02), (0.5, 1e-4), (0.7, 0.02)) + (swell * hum(1.8, 300.0, 0.5)).astype(np.float32)
    [(start, end)] = SoundLevel.of(heard).silences([])
    assert start == pytest.approx(0.6, abs=0.02)
    assert end == pytest.approx(1.1, abs=0.02)


def test_frames_in_a_pause_are_quiet_and_frames_of_speech_are_not() -> None:
    quiet = SoundLevel.of(tone((0.6, 0.2), (0.4, 1e-4), (0.6, 0.2))).quiet_frames(90)
    assert quiet.shape == (90,)
    assert quiet.dtype == np.float32
    assert quiet[:29].max() < 0.01
    assert quiet[31:49].min() > 0.99
    assert quiet[51:79].max() < 0.01
    assert quiet[80:].tolist() == [0.0] * 10  # behind the end nothing is known


def test_where_energy_tells_nothing_no_frame_is_quiet() -> None:
    for sound in (tone((1.0, 0.2)), np.zeros(16_000, np.float32), np.zeros(0, np.float32)):
        assert not SoundLevel.of(sound).quiet_frames(50).any()
