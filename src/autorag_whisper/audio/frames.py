"""FFmpeg's frames as plain arrays: float32, one row a channel, finite and within [-1, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autorag_whisper.audio.scale import USUAL, Scale
from autorag_whisper.audio.timeline import Piece

if TYPE_CHECKING:
    from collections.abc import Iterator

    import av
    from numpy.typing import NDArray

_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
_MAX_VALUES = 1 << 22
"""Samples times channels of one piece; a frame may decode to more."""


def pieces(frame: av.AudioFrame, scale: Scale = USUAL) -> Iterator[Piece]:
    """Cut `frame` into pieces of at most a second, in the `scale` that its file needs. Raises ValueError where it
    contradicts itself."""
    raw = raw_rows(frame)
    rate_hz, layout = frame.sample_rate, tuple(channel.name for channel in frame.layout.channels)
    if rate_hz <= 0:
        raise ValueError("a frame without a sample rate")
    step = max(1, min(rate_hz, _MAX_VALUES // len(raw)))
    for start in range(0, raw.shape[1], step):
        # Only the first carries the time: the others follow it whatever the clock does next.
        time_s = frame.time if start == 0 else None
        yield Piece(_floats(raw[:, start : start + step], scale), rate_hz, layout, time_s)


def raw_rows(frame: av.AudioFrame) -> NDArray[Any]:
    """The frame's own memory as [channels, samples] of its own type. Raises ValueError for a type that is unknown."""
    planar = frame.format.is_planar
    name = frame.format.name.removesuffix("p") if planar else frame.format.name
    channels = len(frame.layout.channels)
    if name not in _TYPES or channels == 0:
        raise ValueError(f"a frame of {channels} channels of {name}")
    dtype = np.dtype(_TYPES[name])
    if planar:
        return np.stack([np.frombuffer(memoryview(plane), dtype, frame.samples) for plane in frame.planes[:channels]])
    packed: NDArray[Any] = np.frombuffer(memoryview(frame.planes[0]), dtype, frame.samples * channels)
    return packed.reshape(-1, channels).T


def _floats(raw: NDArray[Any], scale: Scale) -> NDArray[np.float32]:
    if raw.dtype.kind == "f":
        # NaN is silence; what is louder than full scale would be cut by any converter.
        finite = np.nan_to_num(raw, nan=scale.middle, posinf=np.inf, neginf=-np.inf)
        return np.asarray(np.clip(_scaled(finite, scale), -1.0, 1.0), dtype=np.float32)
    info = np.iinfo(raw.dtype)
    middle = (info.max + 1) // 2 if info.min == 0 else 0
    # A whole number of 16 bits and a power of two: exact in single precision, and less work.
    wide: NDArray[Any] = raw.astype(np.float32 if raw.dtype.itemsize <= 2 else np.float64)
    whole = (wide - middle) / float(info.max + 1 - middle)
    return np.asarray(np.clip(_scaled(whole, scale), -1.0, 1.0) if scale.gain != 1 else whole, dtype=np.float32)


def _scaled(values: NDArray[Any], scale: Scale) -> NDArray[Any]:
    if scale.gain == 1 and not scale.middle:
        return values
    return (values - scale.middle) * scale.gain
