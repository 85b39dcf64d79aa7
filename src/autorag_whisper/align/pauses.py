"""Where nobody speaks, to 5 ms: silence is silence in every band of the sound that tells speech from the rest.

```
150 - 900 Hz    ▂▇▆▇▇▅▃▃▃▂......................▂▆▇▇▅     voice: "m", "n", "w", "l" are loud in this band alone
900 - 3500 Hz   ..▃▇▇▆▂.........................▂▆▇▅.     the vowels
3500 - 7600 Hz  ▇▅..................................▅     "s", "f", and what a "t" ends in
silence                   [--------------------)
```
A band in which speech does not stand out from what lies under it (hiss, hum, what a telephone cuts off) is not asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.blas_threads import one_blas_thread
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.fork_safety import at_work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.domain.audio import Samples

    Spans = Sequence[tuple[float, float]]

HOP_S = 0.005
_HOP = round(HOP_S * SAMPLE_RATE_HZ)
_FRAME_HOPS = 4
"""An encoder frame of 20 ms."""

_BANDS_HZ = ((150, 900), (900, 3500), (3500, 7600))
_WIDTH, _FFT, _BLOCK = 3 * _HOP, 256, 512
_DEPTH_DB, _SHARE, _CONTRAST_DB = 40.0, 0.35, 15.0
"""A band is silent this far under its loud parts, or in this share of the way up from its floor, far below them."""
_LIFT_DB = 6.0
"""A level wavers by as much without anyone speaking."""
_SOFT_DB = 2.0
"""So far from the limit of silence a frame counts as silent by three quarters, or by one."""

_ABOVE_FLOOR_DB = 8.0
_CLICK_HOPS = 4
_MIN_S = 0.07
_VETO_S = 0.4
"""A silence so long that voice activity would have noticed it: if it did not, someone speaks softly."""
_VOICE_EDGE_S = 0.1
"""How far the edges of voice activity are off, at most, most of the time."""


@dataclass(frozen=True, slots=True, eq=False)
class SoundLevel:
    """How loud `duration_s` of audio are, beside silence.

    `above_db`: float64[n], how far the loudest band is above its limit of silence, every `HOP_S`; None where no band
    tells speech from the rest. `depth_db`: how far under the loud parts that limit lies, where that is lowest.
    """

    above_db: NDArray[np.float64] | None
    duration_s: float
    depth_db: float = 0.0

    @classmethod
    def of(cls, samples: Samples) -> SoundLevel:
        above_db, depth_db = _above_silence_db(samples)
        return cls(above_db, len(samples) / SAMPLE_RATE_HZ, depth_db)

    def silences(self, speech: Spans) -> list[tuple[float, float]]:
        """Spans without speech, in seconds from the start of the audio, in order.

        By energy where it tells speech from the rest; else what voice activity leaves between `speech`, its spans in
        the same seconds, less what its edges are off.
        """
        above = self.above_db
        if above is None:
            return _between(speech, self.duration_s)
        found = [_to_floor(above, first, stop) for first, stop in _runs(_without_clicks(above < 0))]
        spans = [(first * HOP_S, (stop + 1) * HOP_S) for first, stop in found]
        return [(a, b) for a, b in spans if b - a >= _MIN_S and not _is_soft_speech(a, b, speech)]

    def quiet_frames(self, frames: int) -> NDArray[np.float32]:
        """float32[frames]: how silent each 20 ms are, from 0 (someone speaks) to 1, 0.5 at the limit.

        All 0 where energy does not tell, and behind the end of the audio.
        """
        quiet = np.zeros(frames, np.float32)
        if self.above_db is None:
            return quiet
        silent = 1 / (1 + np.exp(np.clip(self.above_db / _SOFT_DB, -30, 30)))
        known = silent[: len(silent) // _FRAME_HOPS * _FRAME_HOPS].reshape(-1, _FRAME_HOPS).mean(axis=1)[:frames]
        quiet[: len(known)] = known
        return quiet


def _above_silence_db(samples: Samples) -> tuple[NDArray[np.float64] | None, float]:
    levels = _levels_db(samples)
    if not levels.shape[1]:
        return None, 0.0
    loud, floor = np.percentile(levels, (95, 3), axis=1)
    tells = loud - floor >= _CONTRAST_DB
    if not tells.any():
        return None, 0.0
    limits = np.maximum(loud - _DEPTH_DB, floor + np.maximum(_SHARE * (loud - floor), _LIFT_DB))
    above = np.asarray((levels - limits[:, np.newaxis])[tells].max(axis=0))
    return above, float((loud - limits)[tells].max())


def _levels_db(samples: Samples) -> NDArray[np.float64]:
    """float64[bands, n]: the level of every band over the 10 ms from each 5 ms on, and a little on both sides."""
    count = max(0, len(samples) // _HOP - 1)
    levels = np.empty((len(_BANDS_HZ), count))
    if not count:
        return levels
    padded = np.pad(np.asarray(samples, np.float32), (_HOP // 2, _WIDTH))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WIDTH)[::_HOP]
    shape = np.hanning(_WIDTH + 2)[1:-1].astype(np.float32)
    hertz = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE_HZ)
    bands = np.stack([(hertz >= low) & (hertz < high) for low, high in _BANDS_HZ]).astype(np.float32)
    for first in range(0, count, _BLOCK):  # what stays in the processor's cache: an eighth of the time
        spectrum = np.fft.rfft(windows[first : min(count, first + _BLOCK)] * shape, _FFT)
        power = spectrum.real**2 + spectrum.imag**2
        with at_work(), one_blas_thread():
            of_bands = bands @ power.T
        levels[:, first : first + len(power)] = 10 * np.log10(of_bands / _FFT + 1e-10)
    return levels


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False]))))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]


def _without_clicks(quiet: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Sounds too short to be speech, inside silence, count as silence."""
    calm = quiet.copy()
    for first, stop in _runs(~quiet):
        if stop - first <= _CLICK_HOPS and first > 0 and stop < len(quiet):
            calm[first:stop] = True
    return calm


def _to_floor(level: NDArray[np.float64], first: int, stop: int) -> tuple[int, int]:
    """The silence without what fades in or out at its edges: a quiet consonant belongs to the word."""
    inside = np.flatnonzero(level[first:stop] < np.median(level[first:stop]) + _ABOVE_FLOOR_DB)
    start = first if first == 0 else first + int(inside[0])
    return start, stop if stop == len(level) else first + int(inside[-1]) + 1


def _is_soft_speech(start_s: float, end_s: float, speech: Spans) -> bool:
    voiced = sum(max(0.0, min(end_s, stop) - max(start_s, start)) for start, stop in speech)
    return end_s - start_s > _VETO_S and voiced > 0.7 * (end_s - start_s)


def _between(speech: Spans, duration_s: float) -> list[tuple[float, float]]:
    if not speech:
        return []
    edges = [0.0, *(edge for span in speech for edge in span), duration_s]
    gaps = [(edges[n] + _VOICE_EDGE_S, edges[n + 1] - _VOICE_EDGE_S) for n in range(0, len(edges), 2)]
    return [(a, b) for a, b in gaps if b - a >= _MIN_S]
