"""How late a room makes its sounds: in echoes as loud as the voice, a word seems to begin when half of it is there.

```
said          |wwwwoooorrrrdd|
heard             ..::wwwwoooorrrrdd::..
its letters           [--------------)
delay         |------>|
```
Nobody has the sound as it was said. But a voice does not repeat itself to the sample 3 to 60 ms later, again and
again at the same distance: only a room does. So the distances are seen in the autocorrelation of the whitened audio
(what a mouth colours is gone; Knapp and Carter, 1976), far above the pitch: from 1 to 4 kHz, where no period of a
voice is like the one before. Its square is how much of the sound lies so far apart, and the mean of that is the
room's delay spread: 0 to 1 ms for people near a microphone, in noise and on the telephone too, 5 to 20 ms across a
room.

Products of different parts of the audio alone are counted, in which chance and the voice cancel out (a U statistic;
Hoeffding, 1948). Tones repeat themselves too: in a piano each note at another distance, which makes the mean unsure
(its standard error by the jackknife), in a buzz at later distances as much, and in a voice that keeps its pitch at
one distance above all others. Then nothing is known.

How much later words are heard was measured, not derived: in simulated rooms, word by word (`benchmarks/rooms.py`). It
is nothing where the direct sound leads a crowd of echoes, however long they last. Noise hides echoes: at 20 dB under
the voice half of the delay is found, at 10 dB none. Only the words of letters are moved, not those of other aligners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.domain.audio import Samples

_WINDOW, _LAGS, _ECHOES, _LATE = 4096, 1920, 960, 1280
"""Samples: a quarter of a second, and lags up to 120 ms. Echoes count up to 60 ms, as later ones are too weak to be
taken for the voice; lags from 80 ms on tell rooms from tones."""
_FFT = 6144
"""At least a window and the lags, so that no lag wraps around."""
_LEAST, _MOST = 24, 48
"""Windows: with fewer loud ones nothing is known, of more the loudest count. They overlap by half if need be."""
_LOUD = 0.01
"""A window counts with so much of the energy that a tenth of them has: -20 dB."""
_PARTS = 8
"""Sums of neighbouring windows; only the products of different ones count."""
_LOW_HZ, _HIGH_HZ, _EDGE_HZ, _REACH_HZ = 1000, 4000, 200, 400
"""The band that is asked, how its edges fall, and how far each side the level is taken by which it is whitened."""
_LAG_BIN = 40
"""Samples, 2.5 ms: nearer than this is the sound itself."""
_UNSURE_S, _MOST_LATE, _ONE_LAG, _MOST_AT_ONE = 0.0025, 0.7, 4, 0.4
"""It is not known with a larger standard error; with more than so much for each late lag of what each has before; with
more than so much at one lag, so many samples wide each side."""

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
    """How far apart the arrivals of one sound are on average, of those up to 60 ms, less its standard error.

    `samples`: float32[n] at 16 kHz. 0 too where less than three seconds of it are loud, and where it is not known.
    """
    samples = np.asarray(samples, np.float32)
    windows = _loud_windows(samples)
    if len(windows) < _LEAST:
        return 0.0
    parts = _autocorrelations(windows)
    if not parts[:, 0].sum() > 0:
        return 0.0
    apart = _apart(parts)
    others = [_spread_s(_apart(np.delete(parts, part, axis=0))) for part in range(_PARTS)]
    error = (_PARTS - 1) ** 0.5 * np.std(others)
    if error > _UNSURE_S or _is_tonal(apart):
        return 0.0
    return max(0.0, float(_spread_s(apart) - error))


def _spread_s(apart: NDArray[np.float64]) -> float:
    return float((_LAGS_S * apart)[_LAG_BIN:_ECHOES].sum())


def _is_tonal(apart: NDArray[np.float64]) -> bool:
    """Whether what repeats itself does so however late, or at one distance alone."""
    echoes = apart[_LAG_BIN:_ECHOES]
    best = int(np.argmax(echoes))
    at_one = echoes[max(0, best - _ONE_LAG) : best + _ONE_LAG + 1].sum()
    return bool(apart[_LATE:].mean() > _MOST_LATE * echoes.mean() or at_one > _MOST_AT_ONE * echoes.sum())


def _apart(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[_LAGS]: the share of all pairs of arrivals that are each lag of `_LAGS_S` apart, from `_LAG_BIN` on.

    `parts`: float64[parts, _LAGS], autocorrelations; what each has with itself does not count.
    """
    count = len(parts)
    far = parts / parts[:, 0].sum()
    squares = (far.sum(axis=0) ** 2 - (far**2).sum(axis=0)) * count / (count - 1)
    return np.asarray(2 * squares / _DIRECT)


def as_said(
    spans_s: NDArray[np.float64], silences: Sequence[tuple[float, float]], late_s: float
) -> NDArray[np.float64]:
    """float64[words, 2], in order: words earlier by what echoes delay them.

    `spans_s`: float64[words, 2] seconds, in order, none into the next. A start does not move into the silence before
    it, behind which the first sound that arrives is heard. An end where a silence begins moves by twice as much, as
    echoes sound on. A word that would be shorter keeps half of the time from its new start to its old end.
    """
    begin, ends = {start for start, _ in silences}, np.asarray([0.0, *(end for _, end in silences)])
    moved, before = np.empty_like(spans_s), 0.0
    for word, (start, end) in enumerate(spans_s):
        silence = ends[np.searchsorted(ends, start, side="right") - 1]
        first = min(start, max(start - late_s, before, silence))
        before = max(end - late_s * (_TAIL if end in begin else 1), (first + end) / 2)
        moved[word] = first, before
    return moved


def _loud_windows(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32[windows, _WINDOW], shaped, in order."""
    half = _WINDOW // 2
    sums = _energies(samples, half)
    if len(sums) < 2:
        return np.empty((0, _WINDOW), np.float32)
    energies = sums[:-1] + sums[1:]
    loud = np.flatnonzero(energies > _LOUD * np.percentile(energies, 90))
    apart = loud[loud % 2 == 0]
    chosen = apart if len(apart) >= _MOST else loud
    loudest = np.sort(chosen[np.argsort(-energies[chosen], kind="stable")[:_MOST]])
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::half]
    return np.asarray(windows[loudest] * _SHAPE, np.float32)


def _energies(samples: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """float32[n]: of every `length` samples, less of what rumbles."""
    blocks = np.diff(samples, prepend=samples[:1])[: len(samples) // length * length].reshape(-1, length)
    return np.asarray(np.einsum("ij,ij->i", blocks, blocks))


def _autocorrelations(windows: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64[_PARTS, _LAGS]: of the whitened sound, every window in one part."""
    spectrum = np.fft.rfft(windows, _FFT)[:, _FIRST - _REACH : _STOP + _REACH]
    power = spectrum.real.astype(np.float64) ** 2 + spectrum.imag**2
    sums = np.pad(np.cumsum(power, axis=1), ((0, 0), (1, 0)))
    width = 2 * _REACH + 1
    levels = (sums[:, width:] - sums[:, :-width]) / width
    white = power[:, _REACH:-_REACH] / (levels + np.finfo(np.float32).tiny)
    parts = np.zeros((_PARTS, _FFT // 2 + 1))
    for part, some in enumerate(np.array_split(white, _PARTS)):  # neighbours together: they have sound in common
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


_LAGS_S = np.arange(_LAGS) / SAMPLE_RATE_HZ
_SHAPE = np.hanning(_WINDOW + 2)[1:-1].astype(np.float32)
_BAND, _OVERLAP = _band(), _overlap()
_DIRECT = _direct()
_FIRST, _STOP = _LOW_HZ * _FFT // SAMPLE_RATE_HZ, _HIGH_HZ * _FFT // SAMPLE_RATE_HZ + 1
_REACH = _REACH_HZ * _FFT // SAMPLE_RATE_HZ
