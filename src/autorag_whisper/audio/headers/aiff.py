"""AIFF and AIFF-C."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from autorag_whisper.audio.headers.claims import Chunk, Claims, Header, PcmFormat, chunks, formats

if TYPE_CHECKING:
    from autorag_whisper.audio.overlay import Overlay

_INTEGERS = (b"NONE", b"twos", b"sowt", b"in24", b"in32", b"42ni", b"23ni")
_FLOATS = (b"fl32", b"FL32", b"fl64", b"FL64")
_NAMED_WIDTH = {b"in24": 3, b"42ni": 3, b"in32": 4, b"23ni": 4, b"fl32": 4, b"FL32": 4, b"fl64": 8, b"FL64": 8}
_FLOAT_NAME = {4: b"fl32", 8: b"fl64"}
_UNKNOWN = 0x7FFF_0000


def read(view: Overlay) -> Header | None:
    """None where it is something else, or has no `COMM` before its samples."""
    kind = view.read_at(8, 4)
    if kind not in {b"AIFF", b"AIFC"}:
        return None
    end = view.seek(0, os.SEEK_END)
    found: dict[bytes, Chunk] = {}
    for chunk in chunks(view, 12, end, _chunk):
        found.setdefault(chunk.name, chunk)
        if chunk.name == b"SSND" and b"COMM" in found:
            break
    comm, ssnd = found.get(b"COMM"), found.get(b"SSND")
    if comm is None or ssnd is None or comm.size < 18:
        return None
    raw = view.read_at(comm.at, 22)
    size: int | None = None if ssnd.size <= 8 or ssnd.size >= _UNKNOWN else ssnd.size
    data_at = ssnd.at + 8 + int.from_bytes(view.read_at(ssnd.at, 4), "big")
    data_end = end if size is None else min(end, ssnd.at + size)
    name = raw[18:22] if kind == b"AIFC" and comm.size >= 22 else b"NONE"
    claims = _claims(raw, name, data_at, data_end)
    # FFmpeg refuses a length of 0, and takes the number of frames for the length of the whole.
    patches: dict[int, bytes] = {}
    if size is None and ssnd.at + 8 < end:
        frames = (end - data_at) // claims.candidates[0].frame_bytes if claims else 0
        patches = {4: _u32(end - 8), ssnd.at - 4: _u32(end - ssnd.at)}
        patches |= {comm.at + 2: _u32(frames)} if claims else {}
    if claims is None:
        return Header(patches)

    def write(form: PcmFormat) -> dict[int, bytes]:
        wanted = {6: (form.width * 8).to_bytes(2, "big")}
        if (kind == b"AIFC" and comm.size >= 22 and (name in _FLOATS) != form.is_float) or (
            name in _NAMED_WIDTH and _NAMED_WIDTH[name] != form.width
        ):
            wanted[18] = _FLOAT_NAME[form.width] if form.is_float else b"NONE"
        frames = (data_end - data_at) // form.frame_bytes
        said = {comm.at + at: data for at, data in wanted.items() if raw[at : at + len(data)] != data}
        return said | ({comm.at + 2: _u32(frames)} if said else {})

    return Header(patches, claims, write)


def _claims(raw: bytes, name: bytes, data_at: int, data_end: int) -> Claims | None:
    channels, frames, bits = (int.from_bytes(raw[at : at + size], "big") for at, size in ((0, 2), (2, 4), (6, 2)))
    if not channels or name not in _INTEGERS + _FLOATS:
        return None
    is_float = name in _FLOATS
    by_bits = None if name in _FLOATS else -(-bits // 8) or None
    length = data_end - data_at
    values = frames * channels
    by_length = length // values if values and length % values == 0 else None
    widths = [_NAMED_WIDTH.get(name), by_bits, by_length]
    candidates = formats(widths, channels, is_float=is_float)
    if not candidates:
        return None
    disagreement = ""
    if len(candidates) > 1:
        disagreement = f"its header contradicts itself ({bits} bits, {frames} frames in {length} bytes)"
    return Claims(
        candidates=tuple(candidates),
        valid_bits=bits or None,
        is_big_endian=name not in {b"sowt", b"42ni", b"23ni"},
        is_8_bit_signed=True,
        data_at=data_at,
        data_end=data_end,
        disagreement=disagreement,
    )


def _chunk(raw: bytes) -> tuple[Chunk, int]:
    size = int.from_bytes(raw[4:8], "big")
    return Chunk(raw[:4], 8, size), 8 + size + size % 2


def _u32(number: int) -> bytes:
    return min(max(0, number), 0xFFFF_FFFF).to_bytes(4, "big")
