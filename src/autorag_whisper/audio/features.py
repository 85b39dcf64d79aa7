"""Log-mel features as Whisper was trained on them (Radford et al. 2022; `openai/whisper`, `audio.py`).

```
samples   |-----400-----|            one frame: a Hann window of 25 ms, every 160 samples = 10 ms
               |-----400-----|       frame i is centred on sample 160 * i; before sample 0 the signal is mirrored
```
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from autorag_whisper.blas_threads import one_blas_thread
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, Samples
from autorag_whisper.fork_safety import at_work

HOP = 160
FRAMES_PER_S = SAMPLE_RATE_HZ // HOP
_FFT = 400
_HALF = _FFT // 2

Features = NDArray[np.float32]
"""float32[n_mels, frames]: log-mel energies, scaled to about -1..1."""


def frame_count(samples: int) -> int:
    """Frames of 10 ms that cover `samples`."""
    return -(-samples // HOP)


def log_mel(samples: Samples, n_mels: int) -> Features:
    """The features of `samples` (at least one), `frame_count(len(samples))` frames."""
    frames = frame_count(len(samples))
    padded = np.zeros(_HALF + max(len(samples), _HALF + 1) + _FFT, dtype=np.float32)
    padded[_HALF : _HALF + len(samples)] = samples
    padded[:_HALF] = padded[_HALF + 1 : _FFT + 1][::-1]
    windows = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[: frames * HOP : HOP]
    spectrum = np.fft.rfft(windows * _window(), axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    with at_work(), one_blas_thread():
        mel = _mel_filters(n_mels) @ power.T
    mel = np.log10(np.maximum(mel, 1e-10))
    return np.asarray((np.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0, dtype=np.float32)


@lru_cache(maxsize=1)
def _window() -> NDArray[np.float32]:
    """float32[400]: the periodic Hann window."""
    return np.hanning(_FFT + 1)[:-1].astype(np.float32)


@lru_cache(maxsize=2)
def _mel_filters(n_mels: int) -> NDArray[np.float32]:
    """float32[n_mels, 201]: triangles on Slaney's mel scale, each of unit area (as librosa makes them).

    The scale is linear below 1000 Hz (200/3 Hz a mel) and logarithmic above (27 mels for a factor of 6.4).
    """
    top = 15.0 + 27.0 * np.log(SAMPLE_RATE_HZ / 2 / 1000.0) / np.log(6.4)
    mels = np.linspace(0.0, top, n_mels + 2)
    edges = np.where(mels < 15.0, mels * 200.0 / 3, 1000.0 * np.exp(np.log(6.4) / 27.0 * (mels - 15.0)))
    bins = np.fft.rfftfreq(_FFT, 1.0 / SAMPLE_RATE_HZ)
    ramps = edges[:, None] - bins[None, :]
    widths = np.diff(edges)
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    filters = np.maximum(0.0, np.minimum(rising, falling)) * area[:, None]
    return np.asarray(filters, dtype=np.float32)
