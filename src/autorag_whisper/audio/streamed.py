"""The ends of formats that were made to be streamed: what of their structure shows that more should follow."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from autorag_whisper.audio.structure import NOTHING, StatedLength, length_of, read_at, tail_of

if TYPE_CHECKING:
    from typing import BinaryIO

_OGG_LAST_PAGE = 4


def ogg(file: BinaryIO) -> StatedLength:
    """RFC 3533: the last page is whole and carries the flag of the last page."""
    _, tail = tail_of(file)
    at = tail.rfind(b"OggS\0")
    header = tail[at : at + 27]
    if at < 0 or len(header) < 27:
        return StatedLength(is_cut=True)
    lacing = tail[at + 27 : at + 27 + header[26]]
    end = at + 27 + header[26] + sum(lacing)
    return StatedLength(is_cut=not header[5] & _OGG_LAST_PAGE or end > len(tail))


def transport_stream(file: BinaryIO) -> StatedLength:
    """Whole packets only: 188 bytes, 192 with a time stamp, 204 with a checksum. Junk behind them begins otherwise."""
    head, size = read_at(file, 0, 204 * 3), length_of(file)
    for packet in (188, 192, 204):
        lead = 4 if packet == 192 else 0
        if head[lead::packet][:3] == b"GGG":
            left = size % packet
            return StatedLength(is_cut=left > lead and read_at(file, size - left + lead, 1) == b"G")
    return NOTHING


_PES = re.compile(rb"\x00\x00\x01[\xbd-\xdf\xe0-\xef\xba\xbb]", re.DOTALL)
_PACK = 0xBA


def programme_stream(file: BinaryIO) -> StatedLength:
    """Packets say their length, and the next one begins where the last one ends."""
    _, tail = tail_of(file)
    for start in _PES.finditer(tail):
        at, links = start.start(), 0
        while _PES.match(tail, at) and at + 6 <= len(tail):
            if tail[at + 3] == _PACK:
                at += 12 if tail[at + 4] >> 4 == 2 else 14 + (tail[at + 13] & 7 if at + 13 < len(tail) else 0)
            else:
                at += 6 + int.from_bytes(tail[at + 4 : at + 6], "big")
            links += 1
        if links >= 3 or at > len(tail):
            return StatedLength(is_cut=at > len(tail) or (0 < len(tail) - at < 6 and tail[at] == 0 and any(tail[at:])))
    return NOTHING


_XING = re.compile(rb"Xing|Info|VBRI")
_HEAD_BYTES = 1 << 16


def mp3(file: BinaryIO) -> StatedLength:
    """The number of frames that an encoder leaves in the first one (Xing, Info, VBRI); else nothing is stated."""
    head = read_at(file, 0, 10)
    start = (
        10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) if head[:3] == b"ID3" and len(head) == 10 else 0
    )
    data = read_at(file, start, _HEAD_BYTES)
    for match in _XING.finditer(data):
        at, is_vbri = match.start(), match[0] == b"VBRI"
        for before in (36,) if is_vbri else (36, 21, 13):
            frame = mpeg_audio(data[at - before : at - before + 4]) if at >= before else None
            if frame is None:
                continue
            if is_vbri:
                frames = int.from_bytes(data[at + 14 : at + 18], "big")
            else:
                frames = int.from_bytes(data[at + 8 : at + 12], "big") if data[at + 7] & 1 else 0
            if 0 < frames < 1 << 31:
                return StatedLength(seconds=frames * frame.samples / frame.rate_hz)
    return NOTHING


class Frame:
    """The header of a frame: its length in bytes, 0 where it does not say; samples and rate."""

    __slots__ = ("length", "rate_hz", "samples")

    def __init__(self, length: int, samples: int, rate_hz: int) -> None:
        self.length, self.samples, self.rate_hz = length, samples, rate_hz


_MPEG_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def mpeg_audio(head: bytes) -> Frame | None:
    """The header of an MP1, MP2 or MP3 frame; None where it is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bits, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or bits == 15 or rate == 3:
        return None
    rate_hz = _MPEG_RATES[version][rate]
    samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    kbits = _KBITS[1 if version == 3 else 2, layer][bits - 1] if bits else 0
    slot = 4 if layer == 1 else 1
    length = (samples // 8 // slot * kbits * 1000 // rate_hz + padding) * slot if kbits else 0
    return Frame(length, samples, rate_hz)


_AC3_KBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_AC3_RATES = (48_000, 44_100, 32_000)
_OLD_AC3 = 10
_AMR_LENGTHS = {
    "amrnb": (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1),
    "amrwb": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1),
}


def frame_length(codec: str, head: bytes) -> int:
    """How many bytes a frame of a codec that is its own container says to have; 0 where it does not say."""
    if codec.startswith(("mp1", "mp2", "mp3")):
        frame = mpeg_audio(head)
        return frame.length if frame else 0
    if codec in _AMR_LENGTHS and head:
        return _AMR_LENGTHS[codec][head[0] >> 3 & 15]
    if len(head) < 7:
        return 0
    if codec == "aac" and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if codec == "aac_latm" and head[0] == 0x56 and head[1] & 0xE0 == 0xE0:
        return 3 + ((head[1] & 0x1F) << 8 | head[2])
    if codec in {"ac3", "eac3"} and head[:2] == b"\x0b\x77":
        return _ac3_length(head)
    if codec == "dca" and head[:4] == b"\x7f\xfe\x80\x01":
        return ((head[5] & 3) << 12 | head[6] << 4 | (head[7] >> 4 if len(head) > 7 else 0)) + 1
    return 0


def _ac3_length(head: bytes) -> int:
    if head[5] >> 3 > _OLD_AC3:
        return 2 * (((head[2] & 7) << 8 | head[3]) + 1)
    rate, size = head[4] >> 6, head[4] & 0x3F
    if rate == 3 or size >= 2 * len(_AC3_KBITS):
        return 0
    words = _AC3_KBITS[size // 2] * 1536 * 1000 // 16 // _AC3_RATES[rate]
    return 2 * (words + (size & 1 if rate == 1 else 0))
