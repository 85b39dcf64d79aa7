"""Which of two channels with the same voice is the clearer one, where their noise is so different that it matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.audio.polarity import Spectra

_QUIET_SHARE = 0.15
_OF_MEAN = 0.1625
"""What the quietest frames of steady noise have of its mean power: -log(1 - _QUIET_SHARE)."""

_MIN_FRAMES = 24
_SAME_VOICE = 0.8
"""Coherence of what rises above the noise; another voice on one of the channels lies far below."""

_SAME_LEVEL, _CLEARER = 4.0, 4.0
"""Powers: the voice is within 6 dB on both, and 6 dB better against the noise on one."""

_ABOVE_NOISE, _BALANCED, _MIN_POINTS = 8.0, 0.6, 40
"""Where both channels are so far above their noise, at so many frames and frequencies, the weaker has this share of the
mean. Of two people with a microphone each one channel is stronger here and the other there."""

_CLEAN = 300.0
"""The worse channel's signal over its noise (25 dB), from which on nobody minds it."""


def clearer(around: Sequence[Sequence[Spectra]]) -> int | None:
    """0 or 1 if that channel alone is clearly better than both together, None where they are alike, where they do not
    hold the same voice, or where there is too little to tell. `around` as in `polarity.judge`."""
    pieces = [spectra.values for ring in around for spectra in ring]
    if sum(piece.shape[1] for piece in pieces) < _MIN_FRAMES:
        return None
    values = np.concatenate(pieces, axis=1)
    power = np.abs(values).astype(np.float64) ** 2
    mean, quiet = power.mean(axis=1), np.quantile(power, _QUIET_SHARE, axis=1) / _OF_MEAN
    noise = np.minimum(quiet, mean)
    voice = mean - noise
    if not _is_one_voice(values, power, voice) or not _is_balanced(power, noise):
        return None
    signal_to_noise = voice.sum(axis=1) / np.maximum(noise.sum(axis=1), 1e-20)
    better = int(np.argmax(signal_to_noise))
    worse = signal_to_noise[1 - better]
    return better if worse < _CLEAN and signal_to_noise[better] > _CLEARER * worse else None


def _is_one_voice(values: NDArray[np.complex64], power: NDArray[np.float64], voice: NDArray[np.float64]) -> bool:
    levels = voice.sum(axis=1)
    if levels.min() <= 0 or levels.max() > _SAME_LEVEL * levels.min():
        return False
    frames = values.shape[1]
    cross = np.abs((values[0] * values[1].conj()).sum(axis=0, dtype=np.complex128)) ** 2 / frames**2
    chance = (power[0] * power[1]).sum(axis=0) / frames**2
    common = np.sqrt(np.maximum(cross - chance, 0.0)).sum()
    return bool(common > _SAME_VOICE * np.sqrt(voice[0] * voice[1]).sum())


def _is_balanced(power: NDArray[np.float64], noise: NDArray[np.float64]) -> bool:
    is_voice = (power > _ABOVE_NOISE * noise[:, None, :]).all(axis=0)
    if np.count_nonzero(is_voice) < _MIN_POINTS:
        return False
    weaker, both = power.min(axis=0)[is_voice].sum(), power.sum(axis=0)[is_voice].sum()
    return bool(weaker > _BALANCED * both / 2)
