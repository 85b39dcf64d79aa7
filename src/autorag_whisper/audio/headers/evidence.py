"""Asking samples themselves how they are stored. Sound is smooth and lies in a range; what is misread is noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autorag_whisper.audio.headers.claims import Claims, PcmFormat
    from autorag_whisper.audio.overlay import Overlay

WINDOWS, WINDOW_BYTES = 64, 1 << 14
_ALIGNMENT = 48
"""Bytes that hold an even number of whole samples of every width, for each channel."""

CLEARLY_SMOOTHER = 0.1
MIN_VALUES = 64
"""Values that are neither silence nor a mark for "no number", below which nothing is decided."""

_MIN_EXPONENTS = 6
_UNEVEN = 1.4


def windows(view: Overlay, claims: Claims) -> list[bytes]:
    """Pieces of the sound from all over it, all of it if it is short. Each begins and ends with a whole frame."""
    unit = _ALIGNMENT * max(1, claims.candidates[0].channels)
    size = max(unit, WINDOW_BYTES // unit * unit)
    length = max(0, claims.data_end - claims.data_at)
    count = min(WINDOWS, -(-length // size))
    step = max(size, (length - size) // max(1, count - 1) // unit * unit)
    read = [view.read_at(claims.data_at + number * step, min(size, length - number * step)) for number in range(count)]
    return [data for data in read if data]


@dataclass(frozen=True, slots=True)
class Reading:
    """How the samples look if they are stored in `form`: `smoothness` from -1 to 1 of the roughest channel (0 for
    nothing but silence). Of floats: `in_range` is the share that lies where sound can (1 where nothing tells), and
    `is_varied` says whether they are of many magnitudes, on both sides of 0."""

    form: PcmFormat
    smoothness: float
    in_range: float = 1.0
    is_varied: bool = True


def read_as(data: list[bytes], form: PcmFormat, claims: Claims) -> Reading:
    """Judge one candidate."""
    together = energy = peak = np.zeros(form.channels)
    least = np.full(form.channels, np.inf)
    below = above = 0
    for raw in data:
        x = values(raw, form, claims)
        below, above = below + int((x < 0).sum()), above + int((x > 0).sum())
        if form.is_float:
            x = np.where(np.abs(x) < 1e12, x, 0.0)  # NaN too: a comparison with it is false
        if len(x) > 1:
            peak, least = np.maximum(peak, np.abs(x).max(axis=0)), np.minimum(least, np.abs(x).min(axis=0))
            x = x - x.mean(axis=0)
            together = together + (x[1:] * x[:-1]).sum(axis=0)
            energy = energy + (x * x).sum(axis=0)
    # The high half of small numbers is 0 or -1: a sign, no channel.
    is_sound = (energy > 0) & (form.is_float | (least < 127 if form.width == 1 else peak > 1))
    smooth = np.where(is_sound, together / np.maximum(energy, 1e-300), 0.0)
    in_range, magnitudes = _magnitudes(data, form, claims) if form.is_float else (1.0, _MIN_EXPONENTS)
    is_varied = magnitudes >= _MIN_EXPONENTS and min(below, above) > 0.05 * (below + above)
    return Reading(form, float(smooth.min(initial=1.0)), in_range, is_varied)


def values(raw: bytes, form: PcmFormat, claims: Claims) -> NDArray[np.float64]:
    """float64[frames, channels]: integers as the numbers that they are, floats as they are."""
    raw = raw[: len(raw) // form.frame_bytes * form.frame_bytes]
    order = ">" if claims.is_big_endian else "<"
    numbers: NDArray[Any]
    if form.width == 3:
        octets = np.frombuffer(raw, np.uint8).reshape(-1, 3).astype(np.int64)
        low, middle, high = octets.T[:: -1 if claims.is_big_endian else 1]
        numbers = low | middle << 8 | (high ^ 0x80) - 0x80 << 16
    elif form.width == 1:
        numbers = np.frombuffer(raw, np.int8 if claims.is_8_bit_signed else np.uint8).astype(np.int64)
        numbers = numbers if claims.is_8_bit_signed else numbers - 128
    else:
        kind = "f" if form.is_float else "i"
        with np.errstate(invalid="ignore"):
            numbers = np.frombuffer(raw, f"{order}{kind}{form.width}").astype(np.float64)
    return numbers.astype(np.float64).reshape(-1, form.channels)


def _magnitudes(data: list[bytes], form: PcmFormat, claims: Claims) -> tuple[float, int]:
    """The share of words that are floating-point numbers of sound, and how many exponents they have.

    Integers read as floats are not: what is near 0 has the exponent of 0 or of NaN. Silence, infinity and NaN as
    arithmetic makes it tell nothing; too little of anything else, and the share is 1.
    """
    order = ">" if claims.is_big_endian else "<"
    words = np.concatenate(
        [np.frombuffer(raw[: len(raw) // form.width * form.width], f"{order}u{form.width}") for raw in data]
    )
    mantissa, top, middle = (23, 0xFF, 127) if form.width == 4 else (52, 0x7FF, 1023)
    exponent = (words >> mantissa).astype(np.int64) & top
    fraction = words & ((1 << mantissa) - 1)
    is_mark = (exponent == top) & ((fraction == 0) | (fraction == 1 << (mantissa - 1)))
    telling = exponent[~is_mark & (words << 1 != 0)]
    if len(telling) < MIN_VALUES:
        return 1.0, 0
    plausible = (telling > middle - 100) & (telling < middle + 40)
    spread = np.count_nonzero(np.bincount(telling) > len(telling) * 1e-4)
    return float(plausible.mean()), int(spread)


def are_interleaved(data: list[bytes], form: PcmFormat, claims: Claims) -> bool:
    """Whether samples read as `form` are twice as many channels: neighbours are then by turns two channels at one time
    and one channel after another, and do not differ by the same amount."""
    even = odd = 0.0
    for raw in data:
        x = values(raw, form, claims)
        even += float(((x[1::2] - x[: len(x) // 2 * 2 : 2]) ** 2).sum())
        x = x[1:]
        odd += float(((x[1::2] - x[: len(x) // 2 * 2 : 2]) ** 2).sum())
    return max(even, odd) > _UNEVEN * min(even, odd)


def are_right_justified(data: list[bytes], form: PcmFormat, claims: Claims) -> bool:
    """Whether integers keep to the low `claims.valid_bits` of their width, where the high ones belong."""
    valid_bits = claims.valid_bits or form.width * 8
    numbers = np.concatenate([values(raw, form, claims).ravel() for raw in data]).astype(np.int64)
    if np.count_nonzero(numbers) < MIN_VALUES:
        return False
    half = 1 << (valid_bits - 1)
    fits = numbers.min() >= -half and numbers.max() < half
    return bool(fits and (numbers & ((1 << (form.width * 8 - valid_bits)) - 1)).any())
