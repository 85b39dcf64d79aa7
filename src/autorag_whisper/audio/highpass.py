"""What voice activity listens to: the signal without the hum and rumble below speech.

A voice beside mains hum, or 20 dB under the rumble of a desk, is not found otherwise (measured, `dev/LOG.md`). The
recogniser gets the signal as it is.
"""

from __future__ import annotations

import numpy as np

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, Samples

_CUTOFF_HZ = 100.0
_TAPS = 321
"""20 ms: half amplitude at the cutoff, -40 dB at 25 Hz and below; a voice from 150 Hz passes whole."""


def _design() -> Samples:
    """float32[321]: one sample as it is, less a Hann-windowed sinc low-pass of unit gain at 0 Hz."""
    at = np.arange(_TAPS) - _TAPS // 2
    low = np.sinc(2 * _CUTOFF_HZ / SAMPLE_RATE_HZ * at) * np.hanning(_TAPS + 2)[1:-1]
    taps = -low / low.sum()
    taps[_TAPS // 2] += 1.0
    return np.asarray(taps, dtype=np.float32)


_KERNEL = _design()


class HighPass:
    """A stream through the filter, 10 ms late. The result does not depend on how the samples were cut into blocks."""

    def __init__(self) -> None:
        self._before = np.zeros(_TAPS - 1, dtype=np.float32)

    def push(self, samples: Samples) -> Samples:
        """float32[n] -> float32[n]."""
        signal = np.concatenate((self._before, samples))
        self._before = signal[len(signal) - _TAPS + 1 :]
        if not signal.any():  # hours of digital silence
            return samples
        return np.convolve(signal, _KERNEL, mode="valid").astype(np.float32)
