"""What voice activity listens to where a recording has a telephone's band: the signal with what that band lacks.

A voice of which nothing is left below 300 Hz and above 3,400 Hz is hardly a voice to the model: behind one of full band
it found a quarter of it (measured, `dev/LOG.md`). A rectifier brings both back, as it does in analogue bandwidth
extenders: the fundamental and the harmonics above the band. The recogniser gets the signal as it is.

```
signal ----+------------------------------------------(+)--> where both bands are missing; else the signal alone
           +--> |.| --> less 300-3,400 Hz, 5 ms late ---^
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autorag_whisper.domain.audio import Samples

_TAPS = 161
_WINDOW = 512
_LOW, _HIGH = slice(2, 7), slice(122, None)
"""Bins of a window's spectrum: 62 to 190 Hz, and 3,800 Hz and more. What leaks at a band's edges is in neither."""
_LEAST_LOW, _LEAST_HIGH = 10 ** (-20 / 10), 10 ** (-15 / 10)
"""A band is missing where the signal has less than this part of what the rectifier makes; wide speech has more."""
_LOOKED_AT = 8
"""Windows before a sample, a quarter of a second, by which it is decided."""


def _design() -> Samples:
    """float32[161]: a Hann-windowed band-pass, 300 to 3,400 Hz."""
    at = np.arange(_TAPS) - _TAPS // 2
    low, high = (2 * hz / SAMPLE_RATE_HZ * np.sinc(2 * hz / SAMPLE_RATE_HZ * at) for hz in (300, 3_400))
    return np.asarray((high - low) * np.hanning(_TAPS + 2)[1:-1], dtype=np.float32)


_BAND = _design()
_TAPER = np.hanning(_WINDOW).astype(np.float32)


class BandExtension:
    """A stream through the extension. The result does not depend on how the samples were cut into blocks."""

    def __init__(self) -> None:
        self._before = np.zeros(_TAPS - 1, dtype=np.float32)
        self._rest = np.zeros(0, dtype=np.float32)  # of the window that is not complete
        self._powers = np.zeros((_LOOKED_AT, 4))  # of the last windows

    def push(self, samples: Samples) -> Samples:
        """float32[n] -> float32[n]."""
        is_narrow = self._judge(samples)
        signal = np.concatenate((self._before, samples))
        self._before = signal[len(signal) - _TAPS + 1 :]
        if not is_narrow.any():
            return samples
        rectified = np.abs(signal)
        middle = rectified[_TAPS // 2 : _TAPS // 2 + len(samples)]
        outside = middle - np.convolve(rectified, _BAND, mode="valid").astype(np.float32)
        return np.where(is_narrow, samples + outside, samples)

    def _judge(self, samples: Samples) -> NDArray[np.bool_]:
        """bool[n]: whether both bands were missing in the windows before the one that a sample is in."""
        held = np.concatenate((self._rest, samples))
        count = len(held) // _WINDOW
        powers = np.concatenate((self._powers, _powers(held[: count * _WINDOW].reshape(count, _WINDOW))))
        sums = np.lib.stride_tricks.sliding_window_view(powers, _LOOKED_AT, axis=0).sum(axis=-1)
        low, wanted_low, high, wanted_high = sums.T
        decided = (low < _LEAST_LOW * wanted_low) & (high < _LEAST_HIGH * wanted_high)
        first = len(self._rest)
        self._rest, self._powers = held[count * _WINDOW :].copy(), powers[count:]
        return np.asarray(decided[np.arange(first, first + len(samples)) // _WINDOW])


def _powers(windows: Samples) -> NDArray[np.float64]:
    """float64[n, 4] of float32[n, 512]: power in the low band, of the signal and when rectified, then in the high."""
    rectified = np.abs(windows)
    rectified = rectified - rectified.mean(axis=1, keepdims=True)
    own, made = (np.abs(np.fft.rfft(each * _TAPER, axis=1)) ** 2 for each in (windows, rectified))
    bands = [power[:, band].sum(axis=1) for band in (_LOW, _HIGH) for power in (own, made)]
    return np.stack(bands, axis=1)
