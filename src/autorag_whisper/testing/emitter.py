"""A CTC model without weights: it hears the beeps that `FakeWhisper` counts, as the letters of their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.spelling import CtcVocabulary
from autorag_whisper.domain.device import CPU, Device
from autorag_whisper.engines.aligners import CtcSpec, Emissions
from autorag_whisper.testing.movable import Movable
from autorag_whisper.testing.whisper import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.testing.engine import Faults

_LETTERS = "abcdefghijklmnopqrstuvwxyz'"
_HOP, _FIELD = 320, 400
_SURE = 8.0


class FakeEmitter(Movable):
    """The n-th beep of a clip is heard as the letters of the n-th number, evenly spread over it; silence as `|`."""

    def __init__(self, *, device: Device = CPU, faults: Faults | None = None) -> None:
        super().__init__(device, faults)
        columns = {letter: n + 2 for n, letter in enumerate(_LETTERS)}
        self._spec = CtcSpec("fake", device, "float32", CtcVocabulary(columns, blank=0, separator=1))

    @property
    def spec(self) -> CtcSpec:
        return self._spec

    def emit(self, clips: Sequence[Samples]) -> list[Emissions]:
        self._call("emit", computes=True)
        return [Emissions(self._heard(clip), _HOP, _FIELD) for clip in clips]

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
