"""Audio that lies in memory already, as files that can be read: the bytes of a media file, and arrays of samples.

An array is read as the WAV file that it would make, piece by piece, and nothing of it is copied but the piece: so the
mixing of channels and resampling are those of files, and the same samples give the same words from either.
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, runtime_checkable

import numpy as np

from autorag_whisper.domain.errors import InvalidOption, MediaDamaged, MediaEmpty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from typing_extensions import Buffer

    from autorag_whisper.domain.errors import AutoragWhisperError

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 1_536_000
"""Sample rates of an array, as `audio.container` has them for files."""
MAX_CHANNELS = 64
"""Of an array; one with more along its shorter side is no audio."""
_CHECKED_AT_ONCE = 1 << 20
_BUFFER_BYTES = 1 << 16
_RIFF_LIMIT = 0xFFFF_FFFF - 1024

_PCM, _FLOAT = 1, 3
# What an array's type is in a WAV: the tag of its format, and the type with which it is written.
_WAVE_TYPES = {"u1": (_PCM, "<u1"), "i2": (_PCM, "<i2"), "i4": (_PCM, "<i4"),
               "f2": (_FLOAT, "<f4"), "f4": (_FLOAT, "<f4"), "f8": (_FLOAT, "<f8")}  # fmt: skip


@runtime_checkable
class SupportsArray(Protocol):
    """What numpy can make an array of: its own arrays, tensors of PyTorch and others."""

    def __array__(self) -> Any: ...


class Held(Protocol):
    """Audio in memory."""

    def open(self, name: str) -> BinaryIO:
        """A file of it at its first byte; each is independent of the others. Raises the Media* errors."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Refused:
    """What was given for audio and cannot be: whoever opens it is told why."""

    error: AutoragWhisperError

    def open(self, name: str) -> BinaryIO:  # noqa: ARG002 - the error has it
        raise self.error


@dataclass(frozen=True, slots=True, eq=False)
class HeldBytes:
    """The bytes of a media file."""

    data: bytes | bytearray | memoryview

    def open(self, name: str) -> BinaryIO:
        view = memoryview(self.data)
        if not view.nbytes:
            raise MediaEmpty(name)
        flat = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
        return io.BufferedReader(_BytesFile(flat), _BUFFER_BYTES)


@dataclass(frozen=True, slots=True, eq=False)
class HeldSamples:
    """`frames`: [samples, channels], a view of the caller's array; `sample_rate_hz` of each channel."""

    frames: NDArray[Any]
    sample_rate_hz: int

    def open(self, name: str) -> BinaryIO:
        if not len(self.frames):
            raise MediaEmpty(name)
        for first, block in _blocks(self.frames):
            if block.dtype.kind == "f" and not np.isfinite(block).all():
                at = first + int(np.argmin(np.isfinite(block).all(axis=1)))
                raise MediaDamaged(name, f"sample {at} of the array is not a finite number")
        return io.BufferedReader(_SamplesFile(self), _BUFFER_BYTES)


def held_samples(samples: SupportsArray, sample_rate_hz: float, channel_axis: int | None) -> HeldSamples:
    """A view of an array or tensor as audio; see `MediaSource.from_samples`. Raises InvalidOption."""
    rate = _rate(sample_rate_hz)
    array = _array(samples)
    if _code(array.dtype) not in _WAVE_TYPES:
        allowed = "float32, float64 or float16 from -1 to 1, int16, int32 or uint8 at full scale"
        raise InvalidOption("type of samples", str(array.dtype), allowed)
    if array.ndim == 1:
        return HeldSamples(array[:, None], rate)
    if array.ndim != 2:
        raise InvalidOption("shape of samples", array.shape, "one dimension, or two: samples and channels")
    axis = _channel_axis(array.shape, channel_axis)
    frames = array if axis == 1 else array.T
    if not 1 <= frames.shape[1] <= MAX_CHANNELS:
        raise InvalidOption("shape of samples", array.shape, f"1 to {MAX_CHANNELS} channels")
    return HeldSamples(frames, rate)


def _rate(given: float) -> int:
    try:
        rate = int(given)
        good = rate == given and MIN_RATE_HZ <= rate <= MAX_RATE_HZ
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise InvalidOption("sample rate", given, f"a whole number of Hz from {MIN_RATE_HZ} to {MAX_RATE_HZ}")
    return rate


def _array(samples: SupportsArray) -> NDArray[Any]:
    """The array that `samples` is, or shares its memory with where that is possible."""
    given: Any = samples
    try:
        for step in ("detach", "cpu"):  # a tensor that has a gradient, or lies on a card, is no array by itself
            if not isinstance(given, np.ndarray) and callable(way := getattr(given, step, None)):
                given = way()
        return np.asarray(given)
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        reason = str(error).partition("\n")[0][:120]
        allowed = "a numpy array, or what numpy can make one of"
        raise InvalidOption("samples", f"{type(samples).__name__} ({reason})", allowed) from error


def _code(dtype: np.dtype[Any]) -> str:
    return f"{dtype.kind}{dtype.itemsize}"


def _channel_axis(shape: tuple[int, ...], given: int | None) -> int:
    """Which of two axes counts channels: the shorter one, if nobody says."""
    if given is not None:
        if given not in {0, 1, -1, -2}:
            raise InvalidOption("channel axis", given, "0 or 1")
        return given % 2
    if shape[0] == shape[1]:
        raise InvalidOption("shape of samples", shape, "channel_axis=0 or 1 where both sides are equally long")
    return 0 if shape[0] < shape[1] else 1


def _blocks(frames: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    for first in range(0, len(frames), _CHECKED_AT_ONCE):
        yield first, frames[first : first + _CHECKED_AT_ONCE]


class MemoryFile(io.RawIOBase):
    """A file of `size` bytes that is read and never written; `_copy` gives its bytes from a place."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("a place before the file's first byte")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Buffer) -> int:
        target = memoryview(buffer).cast("B")
        count = max(0, min(len(target), self._size - self._at))
        if count:
            count = self._copy(target[:count])
            self._at += count
        return count

    def _copy(self, target: memoryview) -> int:
        """Fill the beginning of `target`, which is not empty, with what comes next: how many bytes."""
        raise NotImplementedError


class _BytesFile(MemoryFile):
    def __init__(self, view: memoryview) -> None:
        super().__init__(len(view))
        self._view = view

    def _copy(self, target: memoryview) -> int:
        target[:] = self._view[self._at : self._at + len(target)]
        return len(target)

    def close(self) -> None:
        self._view.release()  # a bytearray cannot be made longer while somebody has a view of it
        super().close()


class _SamplesFile(MemoryFile):
    """A header, then frames as a WAV has them."""

    def __init__(self, held: HeldSamples) -> None:
        self._frames = held.frames
        tag, dtype = _WAVE_TYPES[_code(held.frames.dtype)]
        self._dtype = np.dtype(dtype)
        self._frame_bytes = held.frames.shape[1] * self._dtype.itemsize
        data_bytes = len(held.frames) * self._frame_bytes
        self._header = _header(tag, held, self._dtype.itemsize, data_bytes)
        super().__init__(len(self._header) + data_bytes)

    def _copy(self, target: memoryview) -> int:
        into = self._at - len(self._header)
        if into < 0:
            part = self._header[self._at : self._at + len(target)]
        else:
            first, skip = divmod(into, self._frame_bytes)
            last = -(-(into + len(target)) // self._frame_bytes)
            part = self._frames[first:last].astype(self._dtype, order="C").tobytes()[skip : skip + len(target)]
        target[: len(part)] = part
        return len(part)


def _header(tag: int, held: HeldSamples, width: int, data_bytes: int) -> bytes:
    channels, rate = held.frames.shape[1], held.sample_rate_hz
    block = channels * width
    form = b"fmt " + struct.pack("<IHHIIHH", 16, tag, channels, rate, rate * block, block, 8 * width)
    if data_bytes <= _RIFF_LIMIT:
        rest = form + b"data" + struct.pack("<I", data_bytes)
        return b"RIFF" + struct.pack("<I", 4 + len(rest) + data_bytes) + b"WAVE" + rest
    rest = form + b"data" + struct.pack("<I", 0xFFFF_FFFF)
    lengths = b"ds64" + struct.pack("<IQQQI", 28, 40 + len(rest) + data_bytes, data_bytes, len(held.frames), 0)
    return b"RF64" + struct.pack("<I", 0xFFFF_FFFF) + b"WAVE" + lengths + rest
