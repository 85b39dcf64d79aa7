"""A voice on two channels is heard as well as on the better one alone, whatever turned, delayed or drowned it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.downmix import Downmix
from examples import examples
from pcm_files import RATE, integers, voice, wav

STEREO = ("FL", "FR")


def mix(channels: np.ndarray, labels: tuple[str, ...] = STEREO, cut: int = 4096, rate: int = RATE) -> np.ndarray:
    """float[channels, n] in pieces of `cut` -> float[n]."""
    downmix = Downmix(labels, rate)
    pieces = [downmix.push(channels[:, at : at + cut].astype(np.float32)) for at in range(0, channels.shape[1], cut)]
    mixed = np.concatenate([*pieces, downmix.finish()])
    assert len(mixed) == channels.shape[1]
    return mixed.astype(np.float64)


def dot(one: np.ndarray, other: np.ndarray) -> float:
    """By this thread alone: `@` has OpenBLAS's threads do it, which wait for each other on a busy machine."""
    return float(np.einsum("n,n->", one, other))


def clearness(heard: np.ndarray, clean: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio, dB: the voice against all that is not the voice."""
    voiced = dot(heard, clean) / dot(clean, clean) * clean
    return float(10 * np.log10(dot(voiced, voiced) / (((heard - voiced) ** 2).sum() + 1e-12)))


def level(heard: np.ndarray, clean: np.ndarray) -> float:
    """How loud the voice is, 1 as it was."""
    return abs(dot(heard, clean) / dot(clean, clean))


def noise(clean: np.ndarray, snr_db: float, seed: int, colour: float = 0.0) -> np.ndarray:
    """float64[2, n] of independent noise, each so many dB below the voice; power falls with frequency to `colour`."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal((2, len(clean))))
    shaped = np.fft.irfft(spectrum / (np.arange(spectrum.shape[1]) + 50) ** (colour / 2), len(clean))
    wanted = np.sqrt((clean**2).mean() / 10 ** (snr_db / 10))
    return np.asarray(shaped / shaped.std(axis=1, keepdims=True) * wanted)


def spoken(seed: int, seconds: float = 6.0) -> np.ndarray:
    return voice(seconds, seed=seed)[:, 0].copy()


@examples(60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    snr_db=st.floats(-5, 40),
    sign=st.sampled_from([1, -1]),
    colour=st.sampled_from([0.0, 1.0]),
    seconds=st.sampled_from([0.8, 2.5, 6.0]),
)
def test_a_voice_that_is_turned_on_one_channel_is_as_clear_as_on_the_better_channel(
    seed: int, snr_db: float, sign: int, colour: float, seconds: float
) -> None:
    assume(seconds > 1 or snr_db >= 3)  # a second of noise tells little
    clean = spoken(seed, seconds)
    channels = np.stack((clean, sign * clean)) + noise(clean, snr_db, seed, colour)
    mixed = mix(channels)
    better = max(clearness(channel, clean) for channel in channels)
    assert clearness(mixed, clean) >= better - 0.5
    assert level(mixed, clean) > 0.9


@pytest.mark.parametrize("snr_db", [30, 12, 5, 1, -5])
@pytest.mark.parametrize("seed", range(4))
def test_every_part_of_it_is_heard_the_first_and_the_last_too(seed: int, snr_db: float) -> None:
    """The sign was decided for each block by itself: in a noisy one the voice took itself away."""
    clean = spoken(seed, 8.0)
    mixed = mix(np.stack((clean, -clean)) + noise(clean, snr_db, seed))
    for at in range(0, len(clean), RATE // 2):
        part = slice(at, at + RATE // 2)
        if (clean[part] ** 2).mean() > 0.1 * (clean**2).mean():
            assert level(mixed[part], clean[part]) > 0.8, at / RATE


@pytest.mark.parametrize("snr_db", [40, 12, 5])
def test_a_channel_that_is_turned_only_for_a_while_costs_no_words(snr_db: float) -> None:
    for seed in range(4):
        clean = spoken(seed, 12.0)
        sign = np.ones(len(clean))
        sign[4 * RATE : 8 * RATE] = -1
        mixed = mix(np.stack((clean, sign * clean)) + noise(clean, snr_db, seed))
        lost = sum(
            level(mixed[at : at + RATE // 4], clean[at : at + RATE // 4]) < 0.5
            for at in range(0, len(clean), RATE // 4)
            if (clean[at : at + RATE // 4] ** 2).mean() > 0.1 * (clean**2).mean()
        )
        assert lost <= 2  # where it turns


@pytest.mark.parametrize("delay", [1, 4, 8, 16, 48])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("snr_db", [40, 10])
def test_a_late_copy_thins_nothing_out(delay: int, sign: int, snr_db: float) -> None:
    for seed in range(3):
        clean = spoken(seed)
        channels = np.stack((clean, sign * np.roll(clean, delay))) + noise(clean, snr_db, seed)
        mixed = mix(channels)
        plain = clearness(channels.mean(axis=0), clean)
        better = max(clearness(channel, clean) for channel in channels)
        assert level(mixed, clean) > 0.8
        assert clearness(mixed, clean) > (plain - 1 if delay == 1 and sign > 0 else min(better - 2.5, 12))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("snrs_db", [(20, 0), (0, 20), (15, 5), (5, -5), (12, 9), (25, 12)])
def test_of_channels_with_very_different_noise_the_clearer_one_is_heard(sign: int, snrs_db: tuple[int, int]) -> None:
    for seed in range(3):
        clean = spoken(seed, 8.0)
        left, right = noise(clean, snrs_db[0], seed)[0], noise(clean, snrs_db[1], seed)[1]
        channels = np.stack((clean + left, sign * clean + right))
        mixed = mix(channels)
        better = max(clearness(channel, clean) for channel in channels)
        assert clearness(mixed, clean) > better - (0.5 if better < 21 else 5)


@pytest.mark.parametrize("noises_db", [(35, 35), (30, 10), (20, 0)])
@pytest.mark.parametrize("bleed", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("together", [True, False])
def test_two_people_with_a_channel_each_are_both_heard(
    bleed: float, together: bool, noises_db: tuple[int, int]
) -> None:
    for seed in range(4):
        first, second = spoken(seed, 8.0), spoken(seed + 100, 8.0)
        if not together:
            half = len(first) // 2
            first[half:], second[:half] = 0, 0
        heard = np.stack((first + bleed * np.roll(second, 30), second + bleed * np.roll(first, 30)))
        heard += np.stack([noise(first, snr_db, seed)[channel] for channel, snr_db in enumerate(noises_db)])
        mixed = mix(heard)
        for at in range(0, len(first), RATE // 4):
            part = slice(at, at + RATE // 4)
            each = np.stack((first, second, np.roll(first, 30), np.roll(second, 30)), axis=1)[part]
            heard_of = np.abs(np.linalg.lstsq(each, mixed[part], rcond=None)[0])
            for person, sound in enumerate((first, second)):
                if (sound[part] ** 2).mean() > 0.1 * (sound**2).mean():
                    assert heard_of[person] > 0.15, (at / RATE, person)


def test_stereo_with_the_voice_in_the_middle_is_the_plain_mean() -> None:
    for seed in range(4):
        clean = spoken(seed)
        wide = noise(clean, 6, seed, colour=1.0)
        channels = np.stack((clean + wide[0] + 0.5 * wide[1], clean + wide[1] + 0.5 * wide[0]))
        assert np.allclose(mix(channels), channels.astype(np.float32).mean(axis=0), atol=1e-5)


def test_a_voice_in_phase_is_not_lost_to_noise_that_both_channels_share_turned() -> None:
    for seed in range(4):
        clean = spoken(seed)
        shared = noise(clean, 10, seed)[0]
        assert level(mix(np.stack((clean + shared, clean - shared))), clean) > 0.8


def test_the_same_samples_give_the_same_mix_however_they_are_cut() -> None:
    clean = spoken(1)
    channels = np.stack((clean, -clean)) + noise(clean, 3, 1)
    whole = mix(channels, cut=1 << 20)
    for cut in (160, 1024, 4096, 16_000):
        assert np.array_equal(mix(channels, cut=cut), whole)


@pytest.mark.parametrize("rate", [8_000, 44_100, 192_000])
def test_any_rate_serves(rate: int) -> None:
    n = np.arange(3 * rate)
    clean = 0.3 * sum(np.sin(2 * np.pi * 130 * k * n / rate) / k for k in range(1, 12)) * (np.sin(n / rate * 9) > 0)
    channels = np.stack((clean, -clean)) + noise(np.asarray(clean), 5, 0)
    assert clearness(mix(channels, rate=rate), np.asarray(clean)) > clearness(channels[0], np.asarray(clean))


def test_a_turned_microphone_of_many_is_turned_back() -> None:
    clean = spoken(3)
    channels = np.stack([clean, -clean, clean, np.zeros(len(clean)), -clean, clean])
    channels[:2] += noise(clean, 5, 0)
    assert level(mix(channels, labels=("?",) * 6), clean) > 0.95


def test_equal_channels_come_out_to_the_bit_and_one_channel_too() -> None:
    clean = spoken(2).astype(np.float32)
    assert np.array_equal(mix(np.stack((clean, clean))), clean.astype(np.float64))
    assert np.array_equal(mix(clean[None], labels=("FC",)), clean.astype(np.float64))


def test_silence_between_packets_and_the_end_of_a_file_lose_no_sample() -> None:
    clean = spoken(5, 3.0)
    channels = np.stack((clean, -clean), axis=1) * 0.9
    with MediaDecoder(io.BytesIO(wav(integers(channels, 2))), "turned") as decoder:
        samples = np.concatenate(list(decoder))
    assert len(samples) == len(clean)
    assert np.abs(samples - 0.9 * clean).max() < 1e-3
