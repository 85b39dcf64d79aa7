"""WAV and what grew out of it: RIFX (big-endian), RF64 and BW64 (64-bit lengths), Sony's Wave64."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from autorag_whisper.audio.headers.claims import FLOAT_WIDTHS, Chunk, Claims, Header, PcmFormat, chunks, formats

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.audio.overlay import Overlay

_INTEGER, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_UNKNOWN_32 = 0x7FFF_0000
"""From here on a length is a placeholder of a writer that could not go back."""

_UNKNOWN_64 = 1 << 62
_W64_NAME = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_GUID_END = bytes.fromhex("000000001000800000aa00389b71")
_MAX_RATE_HZ, _MAX_FRAME_BYTES = 1_536_000, 0xFFFF
_COMMON_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000}


@dataclass(frozen=True, slots=True)
class _Fmt:
    """The chunk `fmt `: where it lies, and its fields."""

    at: int
    size: int
    order: Literal["little", "big"]
    raw: bytes

    def field(self, at: int, size: int) -> int:
        return int.from_bytes(self.raw[at : at + size], self.order)

    def put(self, value: int, size: int) -> bytes:
        return value.to_bytes(size, self.order)

    @property
    def is_extensible(self) -> bool:
        return self.field(0, 2) == _EXTENSIBLE and self.size >= 40

    @property
    def tag(self) -> int:
        """What the samples are. An extension that is missing, or left empty, leaves it to the other fields."""
        tag = self.field(24, 2) if self.is_extensible else self.field(0, 2)
        return _INTEGER if tag in {0, _EXTENSIBLE} else tag


def read(view: Overlay) -> Header | None:
    """RIFF, RIFX, RF64, BW64 with WAVE inside. None where it is something else, or has no `fmt ` before its samples."""
    head = view.read_at(0, 12)
    if head[8:12] != b"WAVE":
        return None
    order: Literal["little", "big"] = "big" if head[:4] == b"RIFX" else "little"
    end = view.seek(0, os.SEEK_END)

    def one(raw: bytes) -> tuple[Chunk, int]:
        size = int.from_bytes(raw[4:8], order)
        # A chunk that fills a file's last gigabytes with a length of -1 has no end of its own.
        return Chunk(raw[:4], 8, size), 8 + size + size % 2

    found = _find(view, 12, end, one)
    ds64, fmt_chunk, data = found.get(b"ds64"), found.get(b"fmt "), found.get(b"data")
    if fmt_chunk is None or data is None or fmt_chunk.size < 16:
        return None
    fmt = _Fmt(fmt_chunk.at, fmt_chunk.size, order, view.read_at(fmt_chunk.at, 40))
    patches: dict[int, bytes] = {}
    size: int | None = None if data.size == 0 or data.size >= _UNKNOWN_32 else data.size
    if head[:4] in {b"RF64", b"BW64"} and ds64 is not None and data.size in {0, 0xFFFF_FFFF}:
        size = int.from_bytes(view.read_at(ds64.at + 8, 8), "little")
        if size == 0 or size >= _UNKNOWN_64:
            size = None
            patches = _ds64(ds64.at, end, data.at)
    data_end = end if size is None else min(end, data.at + size)

    def extend(until: int) -> dict[int, bytes]:
        if ds64 is not None and data.size in {0, 0xFFFF_FFFF}:
            return _ds64(ds64.at, until, data.at)
        length, whole = until - data.at, until - 8
        return {4: _length_32(whole, order), data.at - 4: _length_32(length, order)}

    return _header(fmt, patches, data.at, data_end, extend)


def read_w64(view: Overlay) -> Header | None:
    """Sony's Wave64: 16 bytes of name and 8 of length, its own 24 included."""
    if view.read_at(0, 16) != _W64_NAME:
        return None
    end = view.seek(0, os.SEEK_END)

    def one(raw: bytes) -> tuple[Chunk, int]:
        size = max(24, int.from_bytes(raw[16:24], "little"))
        return Chunk(raw[:4], 24, size - 24), (size + 7) // 8 * 8

    found = _find(view, 40, end, one)
    fmt_chunk, data = found.get(b"fmt "), found.get(b"data")
    if fmt_chunk is None or data is None or fmt_chunk.size < 16:
        return None
    fmt = _Fmt(fmt_chunk.at, fmt_chunk.size, "little", view.read_at(fmt_chunk.at, 40))

    def extend(until: int) -> dict[int, bytes]:
        length = until - data.at + 24
        return {16: until.to_bytes(8, "little"), data.at - 8: length.to_bytes(8, "little")}

    whole = int.from_bytes(view.read_at(16, 8), "little")
    is_open = data.size == 0 or data.size >= _UNKNOWN_64
    patches = extend(end) if is_open else {16: end.to_bytes(8, "little")} if whole >= _UNKNOWN_64 else {}
    return _header(fmt, patches, data.at, end if is_open else min(end, data.at + data.size), extend)


def _find(view: Overlay, at: int, end: int, one: Callable[[bytes], tuple[Chunk, int]]) -> dict[bytes, Chunk]:
    """The chunks up to the samples, the first of each name."""
    found: dict[bytes, Chunk] = {}
    for chunk in chunks(view, at, end, one):
        found.setdefault(chunk.name, chunk)
        if chunk.name == b"data":
            break
    return found


def _header(
    fmt: _Fmt, patches: dict[int, bytes], data_at: int, data_end: int, extend: Callable[[int], dict[int, bytes]]
) -> Header:
    claims, notes = _claims(fmt, data_at, data_end)
    if claims is None:
        return Header(patches)

    def write(form: PcmFormat) -> dict[int, bytes]:
        return _written(fmt, form)

    return Header(patches, claims, write, extend, notes)


def _claims(fmt: _Fmt, data_at: int, data_end: int) -> tuple[Claims | None, tuple[str, ...]]:
    channels, rate, byte_rate = fmt.field(2, 2), fmt.field(4, 4), fmt.field(8, 4)
    block, bits = fmt.field(12, 2), fmt.field(14, 2)
    valid = fmt.field(18, 2) if fmt.is_extensible else None
    if fmt.tag not in {_INTEGER, _FLOAT} or not channels or not 0 < rate <= _MAX_RATE_HZ:
        return None, ()
    by_block = _quotient(block, channels)
    by_rate = _quotient(byte_rate, rate * channels)
    by_bits = -(-bits // 8) or None
    is_float = fmt.tag == _FLOAT
    widths = [by_block, by_bits, by_rate]
    candidates = formats(widths, channels, is_float=is_float)
    if is_float:  # whatever no float can be
        integers = formats(widths, channels, is_float=False)
        candidates += [form for form in integers if form.width not in FLOAT_WIDTHS]
    if by_bits and block and block % by_bits == 0 and block // by_bits != channels:
        # Stereo that says it is mono, or the reverse.
        others = block // by_bits
        if others % channels == 0 or channels % others == 0:
            candidates += [PcmFormat(others, by_bits, is_float and by_bits in FLOAT_WIDTHS)]
    candidates = [form for form in candidates if form.frame_bytes <= _MAX_FRAME_BYTES]
    if not candidates:
        return None, ()
    wrong = [f"{bits} bits" if by_bits else "", f"{block} bytes a frame", f"{channels} channel" + "s" * (channels > 1)]
    disagreement = ""
    shapes = {(form.channels, form.width) for form in candidates}
    if len(shapes) > 1 or (block and block != candidates[0].frame_bytes):
        disagreement = f"its header contradicts itself ({', '.join(filter(None, wrong))}, {byte_rate} bytes a second)"
    elif is_float and not candidates[0].is_float:
        disagreement = f"its header contradicts itself (float samples of {bits} bits)"
    if not disagreement and (not fmt.field(0, 2) or (fmt.is_extensible and not fmt.field(24, 2))):
        disagreement = "its header does not say how its samples are stored"
    claims = Claims(
        candidates=tuple(dict.fromkeys(candidates)),
        valid_bits=valid or bits or None,
        is_big_endian=fmt.order == "big",
        is_8_bit_signed=False,
        data_at=data_at,
        data_end=data_end,
        disagreement=disagreement,
        rate_hz=rate,
    )
    return claims, _two_rates(rate, byte_rate, block, by_block == by_bits)


def _two_rates(rate: int, byte_rate: int, block: int, block_is_sure: bool) -> tuple[str, ...]:
    other = byte_rate // block if block and byte_rate % block == 0 else 0
    if not block_is_sure or other == rate or other not in _COMMON_RATES:
        return ()
    return (f"its header says {rate} Hz, but by its bytes a second it would be {other} Hz: read at {rate} Hz",)


def _quotient(total: int, parts: int) -> int | None:
    return total // parts if parts and total and total % parts == 0 else None


def _written(fmt: _Fmt, form: PcmFormat) -> dict[int, bytes]:
    """The fields of `fmt ` that make it say `form`, where they do not say it already."""
    tag = _FLOAT if form.is_float else _INTEGER
    wanted = {
        2: fmt.put(form.channels, 2),
        8: fmt.put(min(0xFFFF_FFFF, fmt.field(4, 4) * form.frame_bytes), 4),
        12: fmt.put(form.frame_bytes, 2),
        14: fmt.put(form.width * 8, 2),
    }
    if fmt.is_extensible:
        wanted |= {18: fmt.put(form.width * 8, 2), 24: fmt.put(tag, 2) + _GUID_END}
    else:
        wanted[0] = fmt.put(tag, 2)
    return {fmt.at + at: data for at, data in wanted.items() if fmt.raw[at : at + len(data)] != data}


def _ds64(at: int, end: int, data_at: int) -> dict[int, bytes]:
    return {at: (end - 8).to_bytes(8, "little") + (end - data_at).to_bytes(8, "little")}


def _length_32(length: int, order: Literal["little", "big"]) -> bytes:
    return min(length, 0xFFFF_FFFF).to_bytes(4, order)
