"""How late a room makes its sounds: in echoes as loud as the voice, a word seems to begin when half of it is there.

```
said          |wwwwoooorrrrdd|
heard             ..::wwwwoooorrrrdd::..
its letters           [--------------)
delay         |------>|
```
Nobody has the sound as it was said. But a voice does not repeat itself to the sample 3 to 60 ms later, again and
again at the same distance: only a room does. So the distances are seen in the autocorrelation of the audio with its
spectrum made flat (what a mouth colours is gone; Knapp and Carter, 1976), far above the pitch (from 1 to 4 kHz, where
the periods of a voice never fit twice) and over many windows. Its square is how much of the sound lies so far apart,
and the mean of that is the room's spread: 0 to 1 ms for people near a microphone, in noise and on the telephone too,
5 to 20 ms across a room. Products of different windows alone are counted, in which chance and the voice cancel out (a
U statistic; Hoeffding, 1948). Tones repeat themselves too, a buzz, a piano: but each of its notes at another
distance, which makes the mean unsure (its standard error by the jackknife), or all of them by far more than echoes.

How much later words are heard was measured, not derived: in simulated rooms, word by word (`benchmarks/rooms.py`). It
is nothing where the direct sound leads, however long the echoes last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.domain.audio import Samples

_WINDOW, _LAGS = 4096, 960
"""Samples: a quarter of a second, and 60 ms. A room's later echoes are too weak to be taken for the voice."""
_FFT = 5120
"""At least a window and the lags: none comes round."""
_LEAST, _MOST, _SHORT = 24, 48, 48
"""Windows: with fewer loud ones nothing is known, of more the loudest are asked; in less audio they overlap by half."""
_LOUD = 0.01
"""A window counts with so much of a loud one's energy: -20 dB."""
_PARTS = 8
"""Sums of windows of which only the products of different ones count."""
_LOW_HZ, _HIGH_HZ, _EDGE_HZ, _REACH_HZ = 1000, 4000, 200, 400
"""The band that is asked, how its edges fall, and how far each side the level is taken that is made flat."""
_LAG_BIN = 40
"""Samples, 2.5 ms: nearer than this is the sound itself."""

_UNSURE_S, _MOST_VARIANCE = 0.0025, 1.2
"""With a larger standard error it is not known. Echoes make a spectrum vary by its mean at most, tones by far more."""

_NEAR_S, _SLOPE, _LONGEST_S = 0.008, 2.2, 0.02
"""Echoes of this spread and less delay nothing, wider ones by so much of what is over; none by more than a frame."""
_TAIL = 2
"""So much later than an end within speech is one before a silence, which begins when the echoes are over."""


def delay_s(samples: Samples) -> float:
    """How much later than they are said words are heard, by echoes: 0 to 0.02 s; 0 where that is not known.

    `samples`: float32[n] at 16 kHz. It takes about three seconds of speech and more.
    """
    return float(np.clip(_SLOPE * (spread_s(samples) - _NEAR_S), 0.0, _LONGEST_S))


def spread_s(samples: Samples) -> float:
    """How far apart the arrivals of one sound are on average, of those up to 60 ms, less what that may be off.

    `samples`: float32[n] at 16 kHz. 0 too where less than three seconds of it are loud.
    """
    windows = _loud_windows(samples)
    if len(windows) < _LEAST:
        return 0.0
    parts = _autocorrelations(windows)
    if not parts[:, 0].sum() > 0:
        return 0.0
    spread, variance = _echoes(parts)
    error = (_PARTS - 1) ** 0.5 * np.std([_echoes(np.delete(parts, part, axis=0))[0] for part in range(_PARTS)])
    return 0.0 if error > _UNSURE_S or variance > _MOST_VARIANCE else max(0.0, float(spread - error))


def _echoes(parts: NDArray[np.float64]) -> tuple[float, float]:
    """The spread, and by how much of its squared mean echoes make the flattened spectrum vary.

    `parts`: float64[parts, _LAGS], autocorrelations; what each has with itself does not count.
    """
    count = len(parts)
    far = parts[:, _LAG_BIN:] / parts[:, 0].sum()
    squares = (far.sum(axis=0) ** 2 - (far**2).sum(axis=0)) * count / (count - 1)
    both_sides = 2 * squares / _DIRECT
    return float((_LAGS_S * both_sides).sum()), float(both_sides.sum())


def as_said(
    spans_s: NDArray[np.float64], silences: Sequence[tuple[float, float]], late_s: float
) -> NDArray[np.float64]:
    """float64[words, 2], in order: words earlier by what echoes delay them, none shorter than half of what is left.

    `spans_s`: float64[words, 2] seconds, in order, none into the next. A start at the end of a silence stays: there the
    first sound that arrives is heard. An end where a silence begins moves by twice as much: echoes sound on.
    """
    begin, behind = {start for start, _ in silences}, {end for _, end in silences}
    moved, before = np.empty_like(spans_s), 0.0
    for word, (start, end) in enumerate(spans_s):
        first = start if start in behind else min(start, max(start - late_s, before))
        before = max(end - late_s * (_TAIL if end in begin else 1), (first + end) / 2)
        moved[word] = first, before
    return moved


def _loud_windows(samples: Samples) -> NDArray[np.float32]:
    """float32[windows, _WINDOW], shaped, in order."""
    samples = np.asarray(samples, np.float32)
    if len(samples) < _WINDOW:
        return np.empty((0, _WINDOW), np.float32)
    hop = _WINDOW if len(samples) >= _SHORT * _WINDOW else _WINDOW // 2
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::hop]
    energies = np.einsum("ij,ij->i", windows, windows)
    loud = np.flatnonzero(energies > _LOUD * np.percentile(energies, 90))
    loudest = np.sort(loud[np.argsort(-energies[loud], kind="stable")[:_MOST]])
    return np.asarray(windows[loudest] * _SHAPE, np.float32)


def _autocorrelations(windows: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64[_PARTS, _LAGS]: of the flattened sound, every window in one part."""
    spectrum = np.fft.rfft(windows, _FFT)[:, _FIRST - _REACH : _STOP + _REACH]
    power = spectrum.real.astype(np.float64) ** 2 + spectrum.imag**2
    sums = np.pad(np.cumsum(power, axis=1), ((0, 0), (1, 0)))
    width = 2 * _REACH + 1
    levels = (sums[:, width:] - sums[:, :-width]) / width
    flat = power[:, _REACH:-_REACH] / (levels + np.finfo(np.float32).tiny)
    parts = np.zeros((_PARTS, _FFT // 2 + 1))
    for part, some in enumerate(np.array_split(flat, _PARTS)):  # neighbours together: they have sound in common
        parts[part, _FIRST:_STOP] = some.sum(axis=0)
    return np.asarray(np.fft.irfft(parts * _BAND)[:, :_LAGS] / _OVERLAP)


def _band() -> NDArray[np.float64]:
    """float64[_FFT // 2 + 1]: 1 inside the band that is asked, falling to 0."""
    hertz = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE_HZ)
    rise, fall = (hertz - _LOW_HZ) / _EDGE_HZ, (_HIGH_HZ - hertz) / _EDGE_HZ
    return np.asarray(np.clip(rise, 0, 1) * np.clip(fall, 0, 1))


def _overlap() -> NDArray[np.float64]:
    """float64[_LAGS]: how much of a window lies over itself moved by each lag."""
    overlap = np.fft.irfft(np.abs(np.fft.rfft(_SHAPE, 2 * _WINDOW)) ** 2)[:_LAGS]
    return np.asarray(overlap / overlap[0])


def _direct() -> float:
    """The power that the sound itself has in its autocorrelation, and each echo at its lag."""
    alone = np.fft.irfft(_BAND)[:_LAG_BIN]
    return 2 * float(((alone / alone[0]) ** 2).sum()) - 1


_LAGS_S = np.arange(_LAG_BIN, _LAGS) / SAMPLE_RATE_HZ
_SHAPE = np.hanning(_WINDOW + 2)[1:-1].astype(np.float32)
_BAND, _OVERLAP = _band(), _overlap()
_DIRECT = _direct()
_FIRST, _STOP = _LOW_HZ * _FFT // SAMPLE_RATE_HZ, _HIGH_HZ * _FFT // SAMPLE_RATE_HZ + 1
_REACH = _REACH_HZ * _FFT // SAMPLE_RATE_HZ
