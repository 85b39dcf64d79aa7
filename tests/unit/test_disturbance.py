"""What happens to speech on its way to a recording leaves what was said where it was said."""

from __future__ import annotations

import numpy as np
import pytest

from autorag_whisper.audio.disturbance import band, by_telephone, disturbed, in_a_room, noise, with_breaths

RATE_HZ = 16_000


def beeps() -> np.ndarray:
    """Two tones with silence before, between and behind them."""
    time_s, sound = np.arange(3 * RATE_HZ) / RATE_HZ, np.zeros(3 * RATE_HZ, np.float32)
    for start, stop, hertz in ((0.5, 1.0, 500), (1.8, 2.4, 1200)):
        inside = (time_s >= start) & (time_s < stop)
        sound[inside] = 0.3 * np.sin(2 * np.pi * hertz * time_s[inside])
    return sound


@pytest.mark.parametrize("seed", range(12))
def test_what_is_disturbed_is_sound_of_the_same_length_and_at_the_same_place(seed: int) -> None:
    sound = beeps()
    heard = disturbed(sound, np.random.default_rng(seed), beeps())
    assert heard.dtype == np.float32
    assert heard.shape == sound.shape
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() <= 1.0
    place = np.fft.irfft(np.fft.rfft(heard, 2 * len(sound)) * np.conj(np.fft.rfft(sound, 2 * len(sound))))
    assert min(place.argmax(), 2 * len(sound) - place.argmax()) <= 3  # samples


def test_the_same_seed_disturbs_in_the_same_way() -> None:
    one, other = (disturbed(beeps(), np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one, other)


def test_noise_has_the_level_one() -> None:
    for seed in range(5):
        made = noise(8000, np.random.default_rng(seed), None)
        assert np.sqrt((made**2).mean()) == pytest.approx(1.0)


def test_a_telephone_takes_away_what_is_low_and_what_is_high() -> None:
    rng = np.random.default_rng(1)
    sound = rng.standard_normal(RATE_HZ)
    power = np.abs(np.fft.rfft(by_telephone(sound, rng))) ** 2
    before = np.abs(np.fft.rfft(sound)) ** 2
    kept = [power[a:b].sum() / before[a:b].sum() for a, b in ((20, 100), (800, 2500), (5500, 7900))]
    assert kept[1] > 0.5
    assert max(kept[0], kept[2]) < 0.1 * kept[1]


def test_a_band_is_a_band() -> None:
    tones = {hertz: np.sin(2 * np.pi * hertz * np.arange(RATE_HZ) / RATE_HZ) for hertz in (50, 1000, 7000)}
    left = {hertz: float(np.std(band(tone, 300, 3400))) for hertz, tone in tones.items()}
    assert left[1000] > 0.6
    assert max(left[50], left[7000]) < 0.05


def test_a_room_keeps_the_direct_sound_and_rings_on() -> None:
    click = np.zeros(RATE_HZ)
    click[1000] = 1.0
    heard = in_a_room(click, np.random.default_rng(2))
    assert heard[1000] == pytest.approx(1.0, abs=0.2)
    assert np.abs(heard[:1000]).max() < 1e-9
    assert np.abs(heard[1100:]).max() > 1e-3


def test_breaths_are_put_into_pauses_alone() -> None:
    sound = beeps().astype(np.float64)
    changed = [with_breaths(sound, 0.2, np.random.default_rng(seed)) != sound for seed in range(8)]
    assert any(mask.any() for mask in changed)
    assert not any(mask[np.abs(sound) > 0.01].any() for mask in changed)
