"""Many channels to one, so that speech in any of them is heard."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.audio.channel_noise import clearer
from autorag_whisper.audio.polarity import Polarity, Spectra, judge
from autorag_whisper.blas_threads import one_blas_thread
from autorag_whisper.fork_safety import at_work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.domain.audio import Samples

_BLOCK_S, AROUND = 0.25, 8
"""A decision holds for a block, and is made with up to so many blocks on each side of it."""

_CLEARER_EVERY = 4
"""Blocks for which noise is compared once: it costs as much as all the rest, and looks at 4 s each time."""

_MAX_BLOCK_VALUES = 1 << 20
_ACTIVE = 1e-4
"""-40 dB: a channel whose loudest block stays this far below the loudest channel's does not take part."""

_GLIDE_S = 0.02
_SIDE = 0.5**0.5
# ITU-R BS.775: centre whole, left and right at -3 dB, surround at -6 dB; the low-frequency channel holds no speech.
_LABELS = {"FL": _SIDE, "FR": _SIDE, "BL": 0.5, "BR": 0.5, "SL": 0.5, "SR": 0.5, "BC": 0.5, "LFE": 0.0, "LFE2": 0.0}


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Samples to be mixed, and what they look like: power and spectra of each channel."""

    pcm: NDArray[np.float32]
    power: NDArray[np.float64]
    spectra: Spectra | None


class Downmix:
    """A weighted mean over the channels that carry something, decided for blocks of 0.25 s.

    - More than two channels: one that stays 40 dB below the loudest is left out, so that a lone microphone of sixteen
      is not divided by sixteen. Two channels are always halved, as everybody does: a call with a speaker on each side
      keeps its level when both speak.
    - A channel that is the reference turned upside down is turned back; the plain mean of such a pair is silence. The
      reference is the first channel at most 3 dB below the loudest. `audio.polarity` decides, from as little of the
      2 s before and behind the block as tells; where nothing tells, a channel stays as it was.
    - Two channels of the same sound that neither add up nor do so turned (one is late, or noise that both share is
      turned against the voice) would thin each other out: the reference alone is taken.
    - Of two channels with the same voice and very different noise the clearer one alone is taken.
    - Weights change over 20 ms, without a click. The same samples always give the same mix, however they are cut.

    What `push` gives lags 2.25 s behind; `finish` gives the rest, and pushing may go on afterwards.
    """

    def __init__(self, layout: tuple[str, ...], rate_hz: int) -> None:
        self._labels = np.array([_LABELS.get(label, 1.0) for label in layout])
        self._rate_hz = rate_hz
        self._size = max(1, min(round(_BLOCK_S * rate_hz), _MAX_BLOCK_VALUES // max(1, len(layout))))
        self._glide = max(1, round(_GLIDE_S * rate_hz))
        self._peak = np.zeros(len(layout))
        self._pending: list[NDArray[np.float32]] = []
        self._pending_samples = 0
        self._ahead: deque[_Block] = deque()
        self._behind: deque[Spectra | None] = deque(maxlen=AROUND)
        self._polarity = [Polarity.SAME] * len(layout)
        self._alone: int | None = None
        self._blocks = 0
        self._weights: NDArray[np.float64] | None = None

    def push(self, pcm: NDArray[np.float32]) -> Samples:
        """float32[channels, samples] of any sample rate -> float32[m], what is mixed by now."""
        if len(pcm) == 1:
            return np.asarray(pcm[0])
        self._pending.append(pcm)
        self._pending_samples += pcm.shape[1]
        if self._pending_samples < self._size:
            return _NOTHING
        waiting = np.concatenate(self._pending, axis=1)
        whole = waiting.shape[1] // self._size * self._size
        mixed = []
        for start in range(0, whole, self._size):
            self._ahead.append(self._look_at(waiting[:, start : start + self._size]))
            if len(self._ahead) > AROUND:
                mixed.append(self._mix_first())
        self._pending, self._pending_samples = [waiting[:, whole:]], waiting.shape[1] - whole
        return np.concatenate(mixed) if mixed else _NOTHING

    def finish(self) -> Samples:
        """float32[m]: all that was pushed and has not been mixed."""
        if self._pending_samples:
            self._ahead.append(self._look_at(np.concatenate(self._pending, axis=1)))
        self._pending, self._pending_samples = [], 0
        mixed = [self._mix_first() for _ in range(len(self._ahead))]
        self._behind.clear()
        return np.concatenate(mixed) if mixed else _NOTHING

    def _look_at(self, pcm: NDArray[np.float32]) -> _Block:
        # Without its mean: an offset that both sides share would hide that they are opposed.
        centred = pcm - pcm.mean(axis=1, keepdims=True)
        power = np.einsum("cn,cn->c", centred, centred, dtype=np.float64) / max(1, pcm.shape[1])
        is_plain = len(pcm) == 2 and (not power.all() or np.array_equal(pcm[0], pcm[1]))
        return _Block(pcm, power, None if is_plain else Spectra.of(centred, self._rate_hz))

    def _mix_first(self) -> Samples:
        block = self._ahead.popleft()
        weights = self._choose(block)
        self._behind.append(block.spectra)
        before = weights if self._weights is None else self._weights
        self._weights = weights
        with at_work(), one_blas_thread():
            mixed = weights.astype(np.float32) @ block.pcm
        if not np.array_equal(before, weights):
            span = min(self._glide, block.pcm.shape[1])
            with at_work(), one_blas_thread():
                old = before.astype(np.float32) @ block.pcm[:, :span]
            ramp = np.arange(span, dtype=np.float32) / span
            mixed[:span] = old + ramp * (mixed[:span] - old)
        return np.asarray(mixed, dtype=np.float32)

    def _choose(self, block: _Block) -> NDArray[np.float64]:
        self._peak = np.maximum(self._peak, block.power)
        loudest = self._peak.max()
        active = np.ones(len(block.pcm), dtype=bool) if len(block.pcm) == 2 else self._peak >= _ACTIVE * loudest
        labels = np.where(active, self._labels, 0.0)
        if not labels.any():
            labels = active.astype(np.float64)
        reference = int(np.argmax(self._peak >= 0.5 * loudest))
        around = self._around(block.spectra)
        for channel in range(len(labels)):
            if channel != reference and labels[channel] and around:
                self._polarity[channel] = judge(around, reference, channel, self._polarity[channel])
        if len(labels) == 2:
            if self._blocks % _CLEARER_EVERY == 0:
                self._alone = clearer(around)
            self._blocks += 1
            alone = reference if self._polarity[1 - reference] is Polarity.NEITHER else self._alone
            if alone is not None:
                return np.asarray(np.arange(2) == alone, dtype=np.float64)
        opposed = [polarity is Polarity.OPPOSED for polarity in self._polarity]
        opposed[reference] = False
        return np.asarray(np.where(opposed, -labels, labels) / labels.sum(), dtype=np.float64)

    def _around(self, spectra: Spectra | None) -> Sequence[Sequence[Spectra]]:
        """The block itself, then what is one block away from it, two, ...: those that have something to tell."""
        behind, ahead = list(self._behind)[::-1], [block.spectra for block in self._ahead]
        rings = [[spectra], *([*behind[at : at + 1], *ahead[at : at + 1]] for at in range(AROUND))]
        return [[one for one in ring if one is not None] for ring in rings]


_NOTHING = np.zeros(0, np.float32)
