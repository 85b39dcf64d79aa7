"""Placed pieces of any rate and channel count to blocks of 16 kHz mono."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.audio.downmix import Downmix
from autorag_whisper.audio.resample import Resampler
from autorag_whisper.audio.timeline import Piece, Silence
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autorag_whisper.domain.audio import Samples

_MAX_VALUES = 1 << 22
"""Samples times channels that are mixed at once, so that many channels at a high rate stay within some 20 MB."""


class Blocks:
    """Collects pieces to about a second, mixes and resamples them. Push in order; `finish` gives the rest.

    Blocks are at most 2 s. A change of rate, of channels, and silence end what was being collected, so the length of
    what comes out is exactly what `timeline.resampled_length` counts.
    """

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._collected = 0
        self._downmix = Downmix((), 1)
        self._layout: tuple[str, ...] = ()
        self._resampler = Resampler(SAMPLE_RATE_HZ)

    def push(self, placed: Piece | Silence) -> Iterator[Samples]:
        """float32[n] blocks, n > 0."""
        if isinstance(placed, Silence):
            yield from self.finish()
            yield from _silence(placed.samples)
            return
        if (placed.layout, placed.rate_hz) != (self._layout, self._resampler.rate_hz):
            yield from self._change(placed)
        self._pieces.append(placed)
        self._collected += placed.samples
        if self._collected >= min(placed.rate_hz, _MAX_VALUES // len(placed.layout)):
            yield from self._mix()

    def finish(self) -> Iterator[Samples]:
        """What was collected and what the resampler holds; pushing may go on afterwards."""
        yield from self._mix_rest()
        yield from _clean(self._resampler.finish())
        self._resampler = Resampler(self._resampler.rate_hz)

    def _change(self, piece: Piece) -> Iterator[Samples]:
        yield from self._mix_rest()
        if piece.rate_hz != self._resampler.rate_hz:
            yield from self.finish()
            self._resampler = Resampler(piece.rate_hz)
        self._layout = piece.layout
        self._downmix = Downmix(piece.layout, piece.rate_hz)

    def _mix(self) -> Iterator[Samples]:
        taken, self._pieces, self._collected = self._pieces, [], 0
        if taken:
            pcm = taken[0].pcm if len(taken) == 1 else np.concatenate([piece.pcm for piece in taken], axis=1)
            yield from self._resample(self._downmix.push(pcm))

    def _mix_rest(self) -> Iterator[Samples]:
        yield from self._mix()
        yield from self._resample(self._downmix.finish())

    def _resample(self, mono: Samples) -> Iterator[Samples]:
        for start in range(0, len(mono), self._resampler.rate_hz):
            yield from _clean(self._resampler.push(mono[start : start + self._resampler.rate_hz]))


def _silence(samples: int) -> Iterator[Samples]:
    for start in range(0, samples, SAMPLE_RATE_HZ):
        yield np.zeros(min(SAMPLE_RATE_HZ, samples - start), dtype=np.float32)


def _clean(samples: Samples) -> Iterator[Samples]:
    # A resampler overshoots at full scale.
    if len(samples):
        yield np.clip(samples, -1.0, 1.0)
