"""Sun's AU with uncompressed sound."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from autorag_whisper.audio.headers.claims import Claims, Header, PcmFormat

if TYPE_CHECKING:
    from autorag_whisper.audio.overlay import Overlay

_INTEGERS = {2: 1, 3: 2, 4: 3, 5: 4}
_FLOATS = {6: 4, 7: 8}
_SHORTEST_HEADER, _UNKNOWN = 24, b"\xff\xff\xff\xff"


def read(view: Overlay) -> Header | None:
    """FFmpeg reads to the end of the file whatever length is said, but refuses 0."""
    raw = view.read_at(0, _SHORTEST_HEADER)
    data_at, size, encoding, rate, channels = (int.from_bytes(raw[at : at + 4], "big") for at in range(4, 24, 4))
    width = _INTEGERS.get(encoding) or _FLOATS.get(encoding)
    patches = {} if size else {8: _UNKNOWN}
    if width is None or not 0 < channels < 256 or data_at < _SHORTEST_HEADER:
        return Header(patches)
    claims = Claims(
        candidates=(PcmFormat(channels, width, encoding in _FLOATS),),
        valid_bits=None,
        is_big_endian=True,
        is_8_bit_signed=True,
        data_at=data_at,
        data_end=view.seek(0, os.SEEK_END),
        rate_hz=max(1, rate),
    )

    def write(form: PcmFormat) -> dict[int, bytes]:
        table = _FLOATS if form.is_float else _INTEGERS
        number = next(key for key, size in table.items() if size == form.width) if form.width in table.values() else 0
        return {12: number.to_bytes(4, "big")} if number and number != encoding else {}

    return Header(patches, claims, write)
