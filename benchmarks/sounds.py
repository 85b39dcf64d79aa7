"""Sounds in which nobody speaks, from numpy alone: `SOUNDS` is kind -> (random generator, samples) -> float64[samples].

Each is of unit order and depends on its generator alone; `make_no_speech.py` sets the level.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

HZ = 16_000
Signal = NDArray[np.float64]
Rng = np.random.Generator
Sound = Callable[[Rng, int], Signal]


def shaped(rng: Rng, n: int, slope_db: float, low_hz: float = 20.0, high_hz: float = 8000.0) -> Signal:
    """Noise that falls by `slope_db` an octave, inside a band."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.maximum(np.fft.rfftfreq(n, 1 / HZ), 1.0)
    spectrum *= (hz / 1000.0) ** (slope_db / 6.02)
    spectrum[(hz < low_hz) | (hz > high_hz)] = 0
    return unit(np.fft.irfft(spectrum, n))


def unit(x: Signal) -> Signal:
    """RMS of 1, or silence as it is."""
    rms = float(np.sqrt(np.mean(x**2)))
    return x / rms if rms > 0 else x


def slow(rng: Rng, n: int, hz: float, depth: float = 1.0) -> Signal:
    """A curve around 1 that wanders about `hz` times a second and never goes under 0."""
    points = max(4, int(n / HZ * hz * 2) + 2)
    curve = np.interp(np.linspace(0, points - 1, n), np.arange(points), rng.standard_normal(points))
    return np.clip(1 + depth * curve, 0, None)


def tone(hz: Signal | float, n: int, phase: float = 0.0) -> Signal:
    return np.sin(2 * np.pi * np.cumsum(np.broadcast_to(np.asarray(hz, float), (n,))) / HZ + phase)


def envelope(n: int, attack_s: float, decay_s: float) -> Signal:
    at = np.arange(n) / HZ
    return np.minimum(1.0, at / max(attack_s, 1e-4)) * np.exp(-at / decay_s)


def place(out: Signal, at: int, piece: Signal) -> None:
    """Add `piece` to `out` from sample `at` on, as far as it fits."""
    piece = piece[: max(0, len(out) - at)]
    out[at : at + len(piece)] += piece


def resonate(x: Signal, formants: list[tuple[float, float]]) -> Signal:
    """`x` through a bank of (Hz, bandwidth) resonances, in the frequency domain."""
    hz = np.fft.rfftfreq(len(x), 1 / HZ)
    response = sum(1.0 / (1 + ((hz - f) / (b / 2)) ** 2) / (1 + n) for n, (f, b) in enumerate(formants))
    return np.fft.irfft(np.fft.rfft(x) * response, len(x))


# ---------------------------------------------------------------- noise, machines, weather


def white(rng: Rng, n: int) -> Signal:
    return shaped(rng, n, 0.0)


def pink(rng: Rng, n: int) -> Signal:
    return shaped(rng, n, -3.0)


def brown(rng: Rng, n: int) -> Signal:
    return shaped(rng, n, -6.0)


def telephone_line(rng: Rng, n: int) -> Signal:
    return shaped(rng, n, -1.0, 300, 3400) + 0.3 * tone(50.0, n)


def hum(rng: Rng, n: int) -> Signal:
    base = rng.choice([50.0, 60.0])
    parts = [tone(base * k, n, rng.uniform(0, 6)) * rng.uniform(0.2, 1) / k for k in range(1, 12)]
    return sum(parts) + 0.05 * pink(rng, n)


def fan(rng: Rng, n: int) -> Signal:
    blades = rng.uniform(60, 180)
    whirr = sum(tone(blades * k, n) / k for k in (1, 2, 3)) * slow(rng, n, 0.5, 0.2)
    return 0.5 * whirr + shaped(rng, n, -3.0, 60, 4000)


def engine(rng: Rng, n: int) -> Signal:
    firing = rng.uniform(25, 60) * slow(rng, n, 0.3, 0.15)
    return sum(tone(firing * k, n, rng.uniform(0, 6)) / k**0.7 for k in range(1, 20)) + 0.4 * brown(rng, n)


def wind(rng: Rng, n: int) -> Signal:
    return brown(rng, n) * slow(rng, n, 0.7, 0.6) + 0.3 * shaped(rng, n, -3, 300, 1500) * slow(rng, n, 0.4, 0.9)


def rain(rng: Rng, n: int) -> Signal:
    out = 0.5 * shaped(rng, n, 1.0, 1000, 8000)
    for at in rng.integers(0, n, size=n // 400):
        drop = shaped(rng, 160, 0, 800, 7000) * envelope(160, 0.0005, 0.002)
        place(out, int(at), drop * rng.exponential(0.7))
    return out


def waves(rng: Rng, n: int) -> Signal:
    return shaped(rng, n, -2.0, 100, 6000) * (0.2 + np.clip(tone(rng.uniform(0.08, 0.2), n), 0, 1) ** 2)


# ---------------------------------------------------------------- bodies and things


def breathing(rng: Rng, n: int) -> Signal:
    out, at = np.zeros(n), 0
    while at < n:
        for low, high, length in ((500, 3500, rng.uniform(0.8, 1.6)), (300, 2200, rng.uniform(1.0, 2.0))):
            m = int(length * HZ)
            place(out, at, shaped(rng, m, -2, low, high) * np.sin(np.pi * np.arange(m) / m) ** 1.5)
            at += m + int(rng.uniform(0.1, 0.8) * HZ)
    return out


def snoring(rng: Rng, n: int) -> Signal:
    out, at = np.zeros(n), 0
    while at < n:
        m = int(rng.uniform(1.0, 1.8) * HZ)
        rattle = (0.5 + 0.5 * np.sign(tone(rng.uniform(25, 45) * slow(rng, m, 4, 0.2), m))) * pink(rng, m)
        place(out, at, resonate(rattle, [(450, 200), (1100, 400)]) * np.sin(np.pi * np.arange(m) / m))
        at += m + int(rng.uniform(1.0, 2.5) * HZ)
    return out


def coughs(rng: Rng, n: int) -> Signal:
    out = 0.002 * white(rng, n)
    for at in np.sort(rng.integers(0, n, size=max(2, n // HZ // 2))):
        for burst in range(rng.integers(1, 4)):
            m = int(rng.uniform(0.15, 0.35) * HZ)
            sound = resonate(white(rng, m), [(700, 500), (1500, 700), (3000, 1500)]) * envelope(m, 0.01, 0.08)
            place(out, int(at) + burst * int(0.4 * HZ), unit(sound))
    return out


def keyboard(rng: Rng, n: int) -> Signal:
    out, at = 0.003 * pink(rng, n), 0
    while at < n:
        click = shaped(rng, 800, 0, 1000, 7000) * envelope(800, 0.0005, 0.006) * rng.uniform(0.4, 1.2)
        place(out, at, click)
        at += int(rng.gamma(2.0, 0.09) * HZ) + (int(rng.uniform(1, 3) * HZ) if rng.random() < 0.06 else 0)
    return out


def knocks(rng: Rng, n: int) -> Signal:
    out = 0.003 * pink(rng, n)
    for at in rng.integers(0, n, size=max(3, n // HZ)):
        m = HZ // 4
        place(out, int(at), resonate(white(rng, m), [(rng.uniform(120, 500), 80)]) * envelope(m, 0.001, 0.04))
    return out


def applause(rng: Rng, n: int) -> Signal:
    out = np.zeros(n)
    for at in rng.integers(0, n, size=n // 160):
        clap = shaped(rng, 480, 0, 600, 5000) * envelope(480, 0.0005, 0.006)
        place(out, int(at), clap * rng.uniform(0.2, 1))
    return out * slow(rng, n, 0.5, 0.4)


def birds(rng: Rng, n: int) -> Signal:
    out, at = 0.02 * pink(rng, n), 0
    while at < n:
        for _ in range(rng.integers(2, 7)):
            m = int(rng.uniform(0.05, 0.2) * HZ)
            place(out, at, tone(rng.uniform(2500, 5000) * slow(rng, m, 20, 0.25), m) * np.hanning(m))
            at += m + int(rng.uniform(0.02, 0.12) * HZ)
        at += int(rng.uniform(0.5, 2.5) * HZ)
    return out


def crowd(rng: Rng, n: int) -> Signal:
    """Twenty throats that say nothing: glottal pulses through formants that jump about, no word in it."""
    return sum(_throat(rng, n) for _ in range(20))


def _throat(rng: Rng, n: int) -> Signal:
    out, at, pitch = np.zeros(n), int(rng.uniform(0, 1) * HZ), rng.uniform(90, 240)
    while at < n:
        m = int(rng.uniform(0.12, 0.35) * HZ)
        vowel = [(rng.uniform(250, 800), 90.0), (rng.uniform(800, 2300), 120.0), (rng.uniform(2300, 3200), 180.0)]
        place(out, at, unit(resonate(_glottal(pitch * slow(rng, m, 3, 0.1)), vowel)) * np.hanning(m))
        at += m + int(rng.exponential(0.15) * HZ)
    return out


def _glottal(hz: Signal) -> Signal:
    """A saw of `hz`: the spectrum of a voice before the mouth."""
    return 2 * ((np.cumsum(hz) / HZ) % 1.0) - 1


# ---------------------------------------------------------------- signals


def beeps(rng: Rng, n: int) -> Signal:
    out, hz, length = np.zeros(n), rng.choice([440.0, 880.0, 1000.0, 2000.0]), int(rng.uniform(0.1, 0.6) * HZ)
    for at in range(HZ // 2, n, int(length * rng.uniform(1.5, 4))):
        place(out, at, tone(hz, length) * np.hanning(length) ** 0.1)
    return out


def dtmf(rng: Rng, n: int) -> Signal:
    out = np.zeros(n)
    for at in range(HZ // 2, n, int(0.2 * HZ)):
        low, high = rng.choice([697.0, 770.0, 852.0, 941.0]), rng.choice([1209.0, 1336.0, 1477.0])
        place(out, at, tone(low, HZ // 10) + tone(high, HZ // 10))
    return out


def ringing(rng: Rng, n: int) -> Signal:
    on, off, hz = (1.0, 4.0, 425.0) if rng.random() < 0.5 else (2.0, 4.0, 440.0)
    cadence = ((np.arange(n) / HZ) % (on + off)) < on
    return (tone(hz, n) + (tone(480.0, n) if hz == 440.0 else 0)) * cadence


def siren(rng: Rng, n: int) -> Signal:
    sweep = 800 + 400 * tone(rng.uniform(0.2, 2.0), n)
    return tone(sweep, n) + 0.3 * tone(2 * sweep, n) + 0.05 * pink(rng, n)


def modem(rng: Rng, n: int) -> Signal:
    bits = np.repeat(rng.integers(0, 2, size=n // 53 + 1), 53)[:n]
    return tone(np.where(bits, 1200.0, 2200.0), n) + 0.02 * white(rng, n)


# ---------------------------------------------------------------- music

_SCALE = np.array([0, 2, 4, 7, 9, 12, 14, 16])


def _note_hz(rng: Rng, root: float) -> float:
    return float(root * 2 ** (rng.choice(_SCALE) / 12))


def _timbre(rng: Rng, hz: float, n: int, vibrato: float = 0.0) -> Signal:
    wobble = hz * (1 + vibrato * tone(5.5, n))
    falls = rng.uniform(0.8, 2.2)
    return sum(tone(wobble * k, n, rng.uniform(0, 6)) / k**falls for k in range(1, 10) if hz * k < 7500)


def piano(rng: Rng, n: int) -> Signal:
    out, root, beat = np.zeros(n), rng.uniform(110, 260), rng.uniform(0.2, 0.5)
    for at in range(0, n, int(beat * HZ)):
        for _ in range(rng.choice([1, 1, 1, 3])):
            m = int(1.5 * HZ)
            place(out, at, _timbre(rng, _note_hz(rng, root), m) * envelope(m, 0.004, 0.4) * rng.uniform(0.4, 1))
    return out


def organ(rng: Rng, n: int) -> Signal:
    out, root = np.zeros(n), rng.uniform(110, 220)
    for at in range(0, n, 2 * HZ):
        m = int(2.05 * HZ)
        edge = np.minimum(1, np.minimum(np.arange(m), np.arange(m)[::-1]) / (0.05 * HZ))
        for step in (0, rng.choice([3, 4]), 7):
            place(out, at, _timbre(rng, root * 2 ** ((rng.choice([0, 5, 7]) + step) / 12), m, 0.003) * edge)
    return out


def plucked(rng: Rng, n: int) -> Signal:
    out, root = np.zeros(n), rng.uniform(82, 165)
    for at in range(0, n, int(rng.uniform(0.15, 0.4) * HZ)):
        period, m = int(HZ / _note_hz(rng, root)), 2 * HZ
        string = np.zeros(m)
        string[:period] = rng.uniform(-1, 1, period)
        for start in range(period, m, period):  # Karplus-Strong: each period is the one before, averaged
            before = string[start - period : start]
            row = 0.996 * 0.5 * (before + np.roll(before, 1))
            string[start : start + period] = row[: m - start]
        place(out, at, string)
    return out


def drums(rng: Rng, n: int) -> Signal:
    out, beat = np.zeros(n), int(60 / rng.uniform(80, 150) / 2 * HZ)
    for count, at in enumerate(range(0, n, beat)):
        m = HZ // 4
        if count % 4 == 0:
            place(out, at, 1.5 * tone(50 + 120 * np.exp(-np.arange(m) / (0.03 * HZ)), m) * envelope(m, 0.001, 0.12))
        if count % 4 == 2:
            place(out, at, (white(rng, m) + tone(190.0, m)) * envelope(m, 0.001, 0.08))
        place(out, at, 0.3 * shaped(rng, 1600, 3, 5000, 8000) * envelope(1600, 0.0005, 0.02))
    return out


def strings(rng: Rng, n: int) -> Signal:
    out, at, root = np.zeros(n), 0, rng.uniform(180, 330)
    while at < n:
        m = int(rng.uniform(0.5, 2.0) * HZ)
        bow = np.minimum(1, np.minimum(np.arange(m), np.arange(m)[::-1]) / (0.12 * HZ))
        place(out, at, _timbre(rng, _note_hz(rng, root), m, 0.008) * bow)
        at += int(m * 0.95)
    return out


def humming(rng: Rng, n: int) -> Signal:
    """A tune hummed with closed lips: a voice, but no word."""
    return _sung(rng, n, [[(280, 80), (1100, 300), (2300, 400)]])


def vowels(rng: Rng, n: int) -> Signal:
    """A tune on "ah" and "oo": a voice, but no word."""
    return _sung(rng, n, [[(750, 90), (1150, 110), (2700, 170)], [(330, 80), (800, 100), (2400, 170)]])


def _sung(rng: Rng, n: int, mouths: list[list[tuple[float, float]]]) -> Signal:
    out, at, root = 0.002 * pink(rng, n), HZ // 4, rng.uniform(110, 280)
    while at < n:
        m = int(rng.uniform(0.4, 1.6) * HZ)
        hz = _note_hz(rng, root) / 2 * (1 + 0.012 * tone(5.2, m) * np.linspace(0, 1, m))
        edge = np.minimum(1, np.minimum(np.arange(m), np.arange(m)[::-1]) / (0.06 * HZ))
        place(out, at, unit(resonate(_glottal(hz), mouths[rng.integers(len(mouths))])) * edge)
        at += m + (int(rng.uniform(0.3, 1.2) * HZ) if rng.random() < 0.25 else 0)
    return out


def band(rng: Rng, n: int) -> Signal:
    return unit(drums(rng, n)) + unit(plucked(rng, n)) + 0.7 * unit(strings(rng, n)) + 0.6 * unit(organ(rng, n))


def ambience(rng: Rng, n: int) -> Signal:
    """Minutes of a place: one sound goes, another comes."""
    out, at = 0.02 * pink(rng, n), 0
    names = sorted(set(SOUNDS) - {"ambience", "silence", "dither"})
    while at < n:
        m = int(rng.uniform(8, 20) * HZ)
        sound = unit(SOUNDS[names[rng.integers(len(names))]](rng, m))
        place(out, at, sound * np.sin(np.pi * np.arange(m) / m) ** 0.5 * rng.uniform(0.2, 1))
        at += int(m * rng.uniform(0.8, 1.4))
    return out


def silence(_rng: Rng, n: int) -> Signal:
    return np.zeros(n)


def dither(rng: Rng, n: int) -> Signal:
    return rng.integers(-1, 2, size=n).astype(float)


SOUNDS: dict[str, Sound] = {
    sound.__name__: sound
    for sound in (
        white, pink, brown, telephone_line, hum, fan, engine, wind, rain, waves, breathing, snoring, coughs, keyboard,
        knocks, applause, birds, crowd, beeps, dtmf, ringing, siren, modem, piano, organ, plucked, drums, strings,
        humming, vowels, band, ambience, silence, dither,
    )
}  # fmt: skip
