"""Many channels to one, so that speech in any of them is heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autorag_whisper.domain.audio import Samples

_ACTIVE = 1e-4
"""-40 dB: a channel whose loudest block stays this far below the loudest channel's does not take part."""

_OPPOSED = -0.7
"""Correlation with the reference channel below which a channel is taken for the same signal with its sign turned."""

_GLIDE_S = 0.02
_SIDE = 0.5**0.5
# ITU-R BS.775: centre whole, left and right at -3 dB, surround at -6 dB; the low-frequency channel holds no speech.
_LABELS = {"FL": _SIDE, "FR": _SIDE, "BL": 0.5, "BR": 0.5, "SL": 0.5, "SR": 0.5, "BC": 0.5, "LFE": 0.0, "LFE2": 0.0}


class Downmix:
    """A weighted mean over the channels that carry something, decided block by block from what has been heard so far.

    - More than two channels: one that stays 40 dB below the loudest is left out, so that a lone microphone of sixteen
      is not divided by sixteen. Two channels are always halved, as everybody does: a call with a speaker on each side
      keeps its level when both speak.
    - A channel that is the reference turned upside down within this block (correlation below -0.7) is turned back; the
      plain mean of such a pair is silence. The reference is the first channel at most 3 dB below the loudest.
    - Weights change over 20 ms, without a click. The same blocks always give the same samples.
    """

    def __init__(self, layout: tuple[str, ...], rate_hz: int) -> None:
        self._labels = np.array([_LABELS.get(label, 1.0) for label in layout])
        self._glide = max(1, round(_GLIDE_S * rate_hz))
        self._peak = np.zeros(len(layout))
        self._weights: NDArray[np.float64] | None = None

    def mix(self, pcm: NDArray[np.float32]) -> Samples:
        """float32[channels, samples] of any sample rate -> float32[samples]."""
        if len(pcm) == 1:
            return np.asarray(pcm[0])
        weights = self._choose(pcm)
        before = weights if self._weights is None else self._weights
        self._weights = weights
        mixed = weights.astype(np.float32) @ pcm
        if not np.array_equal(before, weights):
            span = min(self._glide, pcm.shape[1])
            old = before.astype(np.float32) @ pcm[:, :span]
            ramp = np.arange(span, dtype=np.float32) / span
            mixed[:span] = old + ramp * (mixed[:span] - old)
        return np.asarray(mixed, dtype=np.float32)

    def _choose(self, pcm: NDArray[np.float32]) -> NDArray[np.float64]:
        # Without its mean: an offset that both sides share would hide that they are opposed.
        centred = pcm - pcm.mean(axis=1, keepdims=True)
        power = np.einsum("cn,cn->c", centred, centred, dtype=np.float64) / max(1, pcm.shape[1])
        self._peak = np.maximum(self._peak, power)
        loudest = self._peak.max()
        active = np.ones(len(pcm), dtype=bool) if len(pcm) == 2 else self._peak >= _ACTIVE * loudest
        labels = np.where(active, self._labels, 0.0)
        if not labels.any():
            labels = active.astype(np.float64)
        reference = int(np.argmax(self._peak >= 0.5 * loudest))
        together = centred @ centred[reference] / max(1, pcm.shape[1])
        opposed = together < _OPPOSED * np.sqrt(power * power[reference])
        weights = np.where(opposed, -labels, labels) / labels.sum()
        return np.asarray(weights, dtype=np.float64)
