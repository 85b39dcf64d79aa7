"""Apple's Core Audio Format with uncompressed sound."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from autorag_whisper.audio.headers.claims import Chunk, Claims, Header, PcmFormat, chunks, formats

if TYPE_CHECKING:
    from autorag_whisper.audio.overlay import Overlay

_FLOAT, _LITTLE = 1, 2
_UNKNOWN = 1 << 62
_EDIT_COUNT_BYTES = 4


def read(view: Overlay) -> Header | None:
    """None where its first chunk is no description."""
    end = view.seek(0, os.SEEK_END)
    found: dict[bytes, Chunk] = {}
    for chunk in chunks(view, 8, end, _chunk):
        found.setdefault(chunk.name, chunk)
        if chunk.name == b"data":
            break
    desc, data = found.get(b"desc"), found.get(b"data")
    if desc is None or data is None or desc.size < 32:
        return None
    raw = view.read_at(desc.at, 32)
    data_at = data.at + _EDIT_COUNT_BYTES
    is_open = data.size >= _UNKNOWN or data.size == 0
    patches = {data.at - 8: (end - data.at).to_bytes(8, "big")} if is_open and end > data_at else {}
    claims = _claims(raw, data_at, end if is_open else min(end, data.at + data.size))
    if claims is None:
        return Header(patches)
    flags = int.from_bytes(raw[12:16], "big")

    def write(form: PcmFormat) -> dict[int, bytes]:
        kind = flags & ~_FLOAT | (_FLOAT if form.is_float else 0)
        numbers = {12: kind, 16: form.frame_bytes, 24: form.channels, 28: form.width * 8}
        said = {at: number.to_bytes(4, "big") for at, number in numbers.items()}
        return {desc.at + at: field for at, field in said.items() if raw[at : at + 4] != field}

    return Header(patches, claims, write)


def _claims(raw: bytes, data_at: int, data_end: int) -> Claims | None:
    flags, packet, frames, channels, bits = (int.from_bytes(raw[at : at + 4], "big") for at in (12, 16, 20, 24, 28))
    if raw[8:12] != b"lpcm" or not 0 < channels < 256 or frames != 1:
        return None
    by_packet = packet // channels if packet % channels == 0 else None
    by_bits = -(-bits // 8) or None
    is_float = bool(flags & _FLOAT)
    candidates = formats([by_packet, by_bits], channels, is_float=is_float)
    candidates = candidates or formats([by_packet, by_bits], channels, is_float=False)
    # Core Audio keeps 20 or 24 bits in 4 bytes as it pleases: fewer bits than a packet holds contradict nothing.
    valid = bits if not is_float and bits and by_packet and bits < by_packet * 8 else None
    candidates = [form for form in candidates if valid is None or form.width == by_packet]
    if not candidates:
        return None
    disagreement = ""
    if len(candidates) > 1 or is_float != candidates[0].is_float:
        disagreement = f"its header contradicts itself ({bits} bits, {packet} bytes a frame, {channels} channels)"
    return Claims(
        candidates=tuple(candidates),
        valid_bits=valid,
        is_big_endian=not flags & _LITTLE,
        is_8_bit_signed=True,
        data_at=data_at,
        data_end=data_end,
        disagreement=disagreement,
    )


def _chunk(raw: bytes) -> tuple[Chunk, int]:
    size = int.from_bytes(raw[4:12], "big")
    return Chunk(raw[:4], 12, size), 12 + size
