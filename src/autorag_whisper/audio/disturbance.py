"""What happens to speech on its way to a recording: rooms, lines, noise, levels. For training and for tests.

Times stay: what is said at a sample is said there afterwards too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ as RATE_HZ

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autorag_whisper.domain.audio import Samples

    Sound = NDArray[np.float64]


def disturbed(samples: Samples, rng: np.random.Generator, babble: Samples | None = None) -> Samples:
    """float32 of the same length: a room, a line, noise, clipping, a level; of each none, often.

    `babble`: speech of others, of which some of the noise is made.
    """
    sound = samples.astype(np.float64)
    level = np.sqrt((sound[np.abs(sound) > 0.01] ** 2).mean()) if (np.abs(sound) > 0.01).any() else 0.05
    if rng.random() < 0.25:
        sound = in_a_room(sound, rng)
    if rng.random() < 0.4:
        sound = with_breaths(sound, level, rng)
    noise_db = rng.uniform(0, 30) if rng.random() < 0.6 else rng.uniform(35, 60)
    sound = sound + noise(len(sound), rng, babble) * level * 10 ** (-noise_db / 20)
    if rng.random() < 0.25:
        sound = by_telephone(sound, rng)
    elif rng.random() < 0.2:
        sound = band(sound, float(rng.uniform(20, 200)), float(rng.uniform(3500, 7900)))
    if rng.random() < 0.06:
        sound = np.clip(sound * 10 ** (rng.uniform(6, 20) / 20), -0.9, 0.9)
    peak = max(1e-6, float(np.abs(sound).max()))
    level_db = rng.choice((rng.uniform(0, 12), rng.uniform(12, 40)))
    return np.asarray(sound / peak * 10 ** (-level_db / 20), np.float32)


def noise(count: int, rng: np.random.Generator, babble: Samples | None) -> Sound:
    """float64[count] of level 1: from white to brown, hum, or people who talk."""
    if babble is not None and rng.random() < 0.15:
        voices = [np.roll(babble, int(rng.integers(len(babble)))) for _ in range(int(rng.integers(4, 8)))]
        made = np.resize(np.sum(voices, axis=0), count).astype(np.float64)
    else:
        hertz = np.maximum(np.fft.rfftfreq(count, 1 / RATE_HZ), 30.0)
        made = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) / hertz ** rng.uniform(0, 1.1), count)
        if rng.random() < 0.2:
            made = made / made.std() + np.sin(np.arange(count) * 2 * np.pi * rng.choice((50, 60, 100)) / RATE_HZ)
    return np.asarray(made / max(1e-9, np.sqrt((made**2).mean())))


def band(sound: Sound, low_hz: float, high_hz: float) -> Sound:
    """What lies between, with soft edges."""
    hertz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    passed = 1 / np.sqrt(1 + (low_hz / np.maximum(hertz, 1)) ** 6) / np.sqrt(1 + (hertz / high_hz) ** 16)
    return np.fft.irfft(np.fft.rfft(sound) * passed, len(sound))


def by_telephone(sound: Sound, rng: np.random.Generator) -> Sound:
    """300 to 3400 Hz, quantised as mu-law does."""
    heard = band(sound, float(rng.uniform(200, 350)), float(rng.uniform(3000, 3600)))
    scale = max(1e-6, float(np.abs(heard).max()))
    steps = np.round(127 * np.sign(heard) * np.log1p(255 * np.abs(heard) / scale) / np.log(256)) / 127
    return np.asarray(np.sign(steps) * (256 ** np.abs(steps) - 1) / 255 * scale)


def in_a_room(sound: Sound, rng: np.random.Generator) -> Sound:
    """With an echo that dies away within 0.15 to 0.8 s; the direct sound stays where it is."""
    length = int(rng.uniform(0.15, 0.8) * RATE_HZ)
    echo = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    echo[: int(0.003 * RATE_HZ)] = 0
    echo *= 10 ** (-rng.uniform(0, 15) / 20) / np.sqrt((echo**2).sum())
    size = len(sound) + length
    return sound + np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(echo, size), size)[: len(sound)]


def with_breaths(sound: Sound, level: float, rng: np.random.Generator) -> Sound:
    """With a breath or a click in some of the pauses: sounds that are no speech."""
    out, quiet = sound.copy(), np.convolve(np.abs(sound) > 0.003, np.ones(800), "same") == 0
    edges = np.flatnonzero(np.diff(np.concatenate(([0], quiet.astype(np.int8), [0]))))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start > 0.25 * RATE_HZ and rng.random() < 0.5:
            length = min(int(rng.uniform(0.02, 0.5) * RATE_HZ), (stop - start) // 2)
            place = int(rng.integers(start, stop - length))
            shape = np.hanning(length) * noise(length, rng, None)
            out[place : place + length] += shape * level * 10 ** (-rng.uniform(8, 35) / 20)
    return out
