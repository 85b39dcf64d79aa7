"""Any sample rate to 16 kHz, in a stream, with a length that adds up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

from autorag_whisper.audio.timeline import resampled_length
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from autorag_whisper.domain.audio import Samples


class Resampler:
    """One run of mono audio at `rate_hz`. What comes out of `push` and `finish` together is `resampled_length` long."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._resampler = None
        if rate_hz != SAMPLE_RATE_HZ:
            self._resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE_HZ)
        self._taken = self._given = 0

    def push(self, mono: Samples) -> Samples:
        """float32[n] at `rate_hz` -> float32[m] at 16 kHz; a filter's length stays behind."""
        if self._resampler is None:
            return mono
        self._taken += len(mono)
        frame = av.AudioFrame.from_ndarray(mono[None, :], format="fltp", layout="mono")
        frame.sample_rate = self.rate_hz
        return self._give(frame)

    def finish(self) -> Samples:
        """The rest, cut or filled to the exact length. Nothing may be pushed afterwards."""
        if self._resampler is None:
            return np.zeros(0, dtype=np.float32)
        rest = self._give(None) if self._taken else np.zeros(0, dtype=np.float32)
        missing = resampled_length(self._taken, self.rate_hz) - self._given
        return np.pad(rest, (0, missing)) if missing > 0 else rest[: len(rest) + missing]

    def _give(self, frame: av.AudioFrame | None) -> Samples:
        assert self._resampler is not None
        pieces = [piece.to_ndarray()[0] for piece in self._resampler.resample(frame)]
        out = np.concatenate(pieces).astype(np.float32) if pieces else np.zeros(0, dtype=np.float32)
        self._given += len(out)
        return out
