"""Whether a channel is another one turned upside down, told from spectra, so that noise on either does not hide it.

Of a voice with noise of its own on each channel, the noise averages out of the cross-spectrum and the voice does not.
Each frequency votes with the angle between the channels there, by how coherent they are: a voice that is louder than
the noise at some frequencies decides by those.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_FRAME_S = 0.032
_LOW_HZ, _HIGH_HZ = 120.0, 4_000.0
_CHANCE = 4.0
"""Channels that have nothing in common show a coherence of 1 / frames; more than so many times that is no chance."""

_MAX_VOTE = 5.0
"""Of a frequency: hum is perfectly coherent, and no voice."""

_MIN_VOTES = 0.06
"""Votes for each frequency, below which nothing is told: by chance there are a tenth of it."""

_CLEAR, _NARROW_CLEAR = 0.6, 0.75
"""How much of the votes must agree: over all 4 s, and within the block alone."""

_BALANCED = 0.72
"""The weaker channel's share of each frame and frequency, 1 if they are always equal. Two people with a microphone each
stay far below, however well one hears the other."""

_COHERENT = 0.7
_SURPRISING = 5.0
"""For a voice so faint under noise that no single frequency tells."""

_EPSILON = 1e-20


class Polarity(Enum):
    """What a channel is to the reference: on its side or nothing to do with it, its mirror image, or the same sound
    neither way: at another time, or with both voice and noise in common and one of them turned."""

    SAME = "same"
    OPPOSED = "opposed"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True, eq=False)
class Spectra:
    """complex64[channels, frames, frequencies] of a block, speech's frequencies alone."""

    values: NDArray[np.complex64]

    @classmethod
    def of(cls, pcm: NDArray[np.float32], rate_hz: int) -> Spectra | None:
        """None where the block is too short for a frame."""
        size = 1 << round(np.log2(_FRAME_S * rate_hz))
        frames = pcm.shape[1] // size
        if not frames:
            return None
        cut = pcm[:, : frames * size].reshape(len(pcm), frames, size) * np.hanning(size).astype(np.float32)
        first, last = (int(hertz * size / rate_hz) for hertz in (_LOW_HZ, min(_HIGH_HZ, rate_hz / 2)))
        return cls(np.fft.rfft(cut, axis=2)[:, :, first : max(first + 1, last)].astype(np.complex64))


@dataclass(frozen=True, slots=True)
class _Vote:
    """`agreement` from -1, opposed, to 1; `votes` for each frequency; `coherence` of all the sound; `balance` as
    _BALANCED has it; `surprise`: how many standard deviations the correlation lies from that of independent sound."""

    agreement: float
    votes: float
    coherence: float
    balance: float
    surprise: float


def judge(around: Sequence[Sequence[Spectra]], reference: int, channel: int, before: Polarity) -> Polarity:
    """What `channel` is at a block. `around`: its spectra, then those at each distance from it; the least of them that
    tells decides, and `before` stays where nothing tells."""
    sums = _Sums()
    for distance, ring in enumerate(around):
        for spectra in ring:
            sums.add(spectra.values[reference], spectra.values[channel])
        if not ring or not sums.frames:
            continue
        vote = sums.vote()
        clear = _NARROW_CLEAR + (_CLEAR - _NARROW_CLEAR) * distance / (len(around) - 1)
        if vote.votes >= _MIN_VOTES and abs(vote.agreement) >= clear:
            return Polarity.OPPOSED if vote.agreement < 0 else Polarity.SAME
    if not sums.frames:
        return before
    vote = sums.vote()
    if vote.votes < _MIN_VOTES and abs(vote.surprise) > _SURPRISING:
        return Polarity.OPPOSED if vote.surprise < 0 else Polarity.SAME
    is_one_sound = vote.votes >= _MIN_VOTES and vote.balance >= _BALANCED and vote.coherence >= _COHERENT
    return Polarity.NEITHER if is_one_sound else before


class _Sums:
    """Cross-spectrum and powers of two channels, over the frames that were added."""

    def __init__(self) -> None:
        self.frames = 0
        self._cross: NDArray[np.complex128] | float = 0.0
        self._powers: tuple[NDArray[np.float64] | float, NDArray[np.float64] | float] = (0.0, 0.0)
        self._squares: NDArray[np.float64] | float = 0.0
        self._weaker = 0.0

    def add(self, a: NDArray[np.complex64], b: NDArray[np.complex64]) -> None:
        power_a, power_b = np.abs(a) ** 2, np.abs(b) ** 2
        self.frames += len(a)
        self._cross = self._cross + (a * b.conj()).sum(axis=0, dtype=np.complex128)
        self._powers = (
            self._powers[0] + power_a.sum(axis=0, dtype=np.float64),
            self._powers[1] + power_b.sum(axis=0, dtype=np.float64),
        )
        self._squares = self._squares + (power_a.astype(np.float64) * power_b).sum(axis=0)
        self._weaker += float(np.minimum(power_a, power_b).sum())

    def vote(self) -> _Vote:
        cross, (power_a, power_b) = np.atleast_1d(self._cross), map(np.atleast_1d, self._powers)
        both = power_a * power_b + _EPSILON
        size = np.abs(cross)
        coherence = np.minimum(size**2 / both, 1.0)
        # A loud frame among faint ones counts for itself alone: chance is larger then than 1 / frames.
        chance = np.minimum(1.0, np.atleast_1d(self._squares) / both)
        beyond = np.where(coherence > np.minimum(0.98, _CHANCE * chance), coherence, 0.0)
        votes = np.minimum(beyond / np.maximum(1 - coherence, 1e-6), _MAX_VOTE)
        total = float(votes.sum())
        # What is louder has more to lose; by amplitude and not by power, for hum is loud.
        weights = votes * np.sqrt(size)
        angles = cross.real / np.maximum(size, _EPSILON)
        agreement = float((weights * angles).sum()) / max(float(weights.sum()), _EPSILON)
        balance = 2 * self._weaker / max(float(power_a.sum() + power_b.sum()), _EPSILON)
        coherence_of_all = float(size.sum() / np.sqrt(both).sum())
        spread = np.sqrt(float(np.sum(self._squares)) / 2 + _EPSILON)
        return _Vote(agreement, total / len(votes), coherence_of_all, balance, float(cross.real.sum() / spread))
