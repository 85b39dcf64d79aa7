"""What a file says it holds, to notice that its end is missing. Nothing here decides how much is decoded."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from autorag_whisper.audio.container import Opened

START_AT_ZERO = frozenset(("matroska", "mov"))
"""Containers whose timeline begins at 0 by definition. In the others a clock that begins anywhere is normal."""

# Without a length in the header FFmpeg guesses one from the bit rate: no promise.
_GUESSED = frozenset(("aac", "ac3", "amr", "dts", "dtshd", "eac3", "loas", "mlp", "mpeg", "mpegts", "ogg", "truehd"))
_SHORT_BY_S = 0.5
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_TAIL_BYTES = 1 << 17
_OGG_LAST_PAGE = 4
_OPEN_ENDED_BYTES = 0x7FFF_0000


def kinds(opened: Opened) -> frozenset[str]:
    """FFmpeg's names of the container; `mov,mp4,m4a` are three."""
    return frozenset(opened.info.container.split(","))


def falls_short(opened: Opened, decoded_s: float) -> bool:
    """Whether the header promises clearly more than `decoded_s`, the end of what was decoded."""
    promised_s = _promised_s(opened)
    return promised_s is not None and promised_s - decoded_s > _SHORT_BY_S + 0.001 * promised_s


def _promised_s(opened: Opened) -> float | None:
    stream, container = opened.stream, opened.container
    names = kinds(opened)
    # An MP3's length is exact where its encoder left a header, which also tells the samples to skip at the start.
    if names & _GUESSED or ("mp3" in names and not stream.start_time):
        return None
    start_s = float((stream.start_time or 0) * stream.time_base) if names & START_AT_ZERO and stream.time_base else 0.0
    if stream.duration and stream.time_base:
        return start_s + float(stream.duration * stream.time_base)
    if match := _CLOCK.search(stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = match.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    if container.duration and len(container.streams) == 1:
        return container.duration / 1e6
    return None


def ends_abruptly(file: BinaryIO, opened: Opened) -> bool:
    """Whether the last bytes show that more should follow, for containers that keep no length in their header."""
    names = kinds(opened)
    if names & {"ogg", "mpegts"}:
        try:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read(_TAIL_BYTES)
        except OSError:
            return True
        return _is_cut_ogg(tail) if "ogg" in names else _is_cut_ts(file, size)
    return False


def _is_cut_ogg(tail: bytes) -> bool:
    """RFC 3533: the last page is whole and carries the flag of the last page."""
    at = tail.rfind(b"OggS")
    header = tail[at : at + 27]
    if at < 0 or len(header) < 27:
        return True
    lacing = tail[at + 27 : at + 27 + header[26]]
    return not header[5] & _OGG_LAST_PAGE or at + 27 + header[26] + sum(lacing) > len(tail)


def _is_cut_ts(file: BinaryIO, size: int) -> bool:
    """Whole packets only: 188 bytes, 192 with a time stamp, 204 with a checksum."""
    file.seek(0)
    head = file.read(204 * 3)
    for packet in (188, 192, 204):
        if head[4 if packet == 192 else 0 :: packet][:3] == b"GGG":
            return size % packet != 0
    return False


def is_open_ended(file: BinaryIO, opened: Opened) -> bool:
    """Whether a WAV's header was written before its length was known (0 or the largest number): no promise."""
    if "wav" not in kinds(opened):
        return False
    try:
        file.seek(0)
        head = file.read(1 << 16)
    except OSError:
        return False
    at = 12
    while at + 8 <= len(head):
        size = int.from_bytes(head[at + 4 : at + 8], "little")
        if head[at : at + 4] == b"data":
            return size == 0 or size >= _OPEN_ENDED_BYTES
        at += 8 + size + size % 2
    return False
