"""Floating-point samples in another scale than -1 to 1: 16-bit integers written as floats, for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.domain.notes import Note, NoteKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SCALE_BITS = (15, 23, 31)
_BYTE_BITS = 7
_LOUD_SHARE = 0.9
_OUT_OF_SCALE = 8.0
"""A tenth of a quarter of a second above this, +18 dB: nobody's recording is overdriven by so much."""

_MARGIN = 1.05
_OVERDRIVEN_SHARE = 0.02
_PEAK_SHARE = 0.9999


@dataclass(frozen=True, slots=True)
class Scale:
    """What samples are worth: `(x - middle) * gain` lies between -1 and 1. `note` tells it, None where all is usual."""

    gain: float = 1.0
    middle: float = 0.0
    note: Note | None = None


USUAL = Scale()
"""From -1 to 1."""


def measure(windows: Sequence[NDArray[np.floating]]) -> Scale:
    """The scale of floats, from windows of samples taken all over the sound (float[n] each, channels together).

    Peaks somewhat above 1 are overdriven sound, which stays as it is; small values are quiet sound. Only where samples
    stay far above 1 for longer, or are whole numbers above 1 throughout, is the scale another one.
    """
    clean = [window[np.isfinite(window) & (np.abs(window) < 1e12)].astype(np.float64) for window in windows]
    clean = [window for window in clean if len(window)]
    if not clean:
        return USUAL
    values = np.concatenate(clean)
    size = np.abs(values)
    loudest = max(float(np.quantile(np.abs(window), _LOUD_SHARE)) for window in clean)
    is_whole = bool(size.max() >= 2 and np.count_nonzero(values) > 64 and np.array_equal(values, np.rint(values)))
    if loudest <= _OUT_OF_SCALE and not is_whole:
        return _as_it_is(size)
    middle = _middle(values)
    peak = float(np.quantile(np.abs(values - middle), _PEAK_SHARE))
    bits = next((bits for bits in _SCALE_BITS if peak <= 2.0**bits * _MARGIN), _SCALE_BITS[-1])
    if middle == 2.0**_BYTE_BITS or (is_whole and peak <= 2.0**_BYTE_BITS):
        bits = _BYTE_BITS
    sign = "unsigned" if middle else "signed"
    text = f"its floating-point samples are in the scale of {sign} {bits + 1}-bit integers: brought to full scale"
    return Scale(2.0**-bits, middle, Note(NoteKind.OUT_OF_SCALE, text))


def _as_it_is(size: NDArray[np.float64]) -> Scale:
    share = int(np.count_nonzero(size > _MARGIN)) / max(1, int(np.count_nonzero(size)))
    if share < _OVERDRIVEN_SHARE:
        return USUAL
    text = f"{share:.0%} of its samples are louder than full scale and are cut off there"
    return Scale(note=Note(NoteKind.OVERDRIVEN, text))


def _middle(values: NDArray[np.float64]) -> float:
    """0, or where unsigned numbers have their silence."""
    if values.min() < 0:
        return 0.0
    usual = float(np.median(values))
    middles = (2.0**bits for bits in (_BYTE_BITS, *_SCALE_BITS))
    return next((middle for middle in middles if abs(usual - middle) < 0.25 * middle), 0.0)
