"""A CTC model without weights: it hears the beeps that `FakeRecognizer` counts, as the letters of their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.spelling import CtcVocabulary
from autorag_whisper.domain.device import CPU, Device
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.engines.base import CtcSpec, Emissions
from autorag_whisper.testing.recognizer import NUMBERS, Faults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.domain.audio import Samples

_LETTERS = "abcdefghijklmnopqrstuvwxyz'"
_HOP, _FIELD = 320, 400
_SURE = 8.0


class FakeEmitter:
    """The n-th beep of a clip is heard as the letters of the n-th number, evenly spread over it; silence as `|`."""

    def __init__(self, *, device: Device = CPU, faults: Faults | None = None) -> None:
        columns = {letter: n + 2 for n, letter in enumerate(_LETTERS)}
        self._spec = CtcSpec("fake", device, "float32", CtcVocabulary(columns, blank=0, separator=1))
        self.faults = faults or Faults()
        self._on_device, self.closed = True, False
        self.moves: list[str] = []

    @property
    def spec(self) -> CtcSpec:
        return self._spec

    @property
    def is_on_device(self) -> bool:
        return self._on_device and not self.closed

    def emit(self, clips: Sequence[Samples]) -> list[Emissions]:
        self._call("emit")
        if not self._on_device:
            raise EngineError("fake", "emit", "the model was offloaded")
        return [Emissions(self._heard(clip), _HOP, _FIELD) for clip in clips]

    def offload(self) -> bool:
        self._call("offload")
        if not self._spec.device.is_cuda:
            return False
        self._on_device = False
        self.moves.append("offload")
        return True

    def restore(self) -> bool:
        self._call("restore")
        if self._on_device:
            return False
        self._on_device = True
        self.moves.append("restore")
        return True

    def close(self) -> None:
        self.closed = True
        self.faults.strike("close")

    def _call(self, stage: str) -> None:
        if self.closed:
            raise EngineError("fake", stage, "the model was closed")
        self.faults.strike(stage)

    def _heard(self, clip: Samples) -> NDArray[np.float32]:
        sound = np.pad(clip, (0, max(0, _FIELD - len(clip))))
        frames = np.lib.stride_tricks.sliding_window_view(sound, _FIELD)[::_HOP]
        edges = np.flatnonzero(np.diff(np.concatenate(([False], np.abs(frames).mean(axis=1) > 0.1, [False]))))
        columns = np.full(len(frames), 1)
        for n, (first, stop) in enumerate(edges.reshape(-1, 2)):
            labels = self._spec.vocabulary.spell(NUMBERS[n % len(NUMBERS)])
            places = np.arange(stop - first) * len(labels) // (stop - first)
            columns[first:stop] = np.asarray(labels)[places]
            again = np.flatnonzero(np.diff(places) > 0) + 1
            repeats = [place for place in again if columns[first + place] == columns[first + place - 1]]
            columns[first + np.asarray(repeats, int)] = 0
        values = np.zeros((len(frames), len(_LETTERS) + 2), np.float32)
        values[np.arange(len(frames)), columns] = _SURE
        if not np.isfinite(clip).all():
            values[:] = np.nan  # as a network gives for such samples
        found: NDArray[np.float32] = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
        return found
