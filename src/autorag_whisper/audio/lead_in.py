"""Where in a file the media begins: behind tags that its format does not know, behind junk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC: tuple[tuple[int, bytes], ...] = (
    (0, b"fLaC"), (0, b"OggS\0"), (0, b"wvpk"), (0, b"caff\0\1"), (0, b".snd"), (0, b"\x1aE\xdf\xa3"), (0, b"MAC "),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), (4, b"ftyp"), (4, b"moov"), (0, b"TTA1"), (0, b".RMF"), (0, b"MPCK"),
    (0, b"NIST_1A"), (0, b"Creative Voice File"), (0, b"FLV\1"), (0, b"riff\x2e\x91\xcf\x11"), (0, b"tBaK"),
    (0, b"2BIT"), (0, b"qoaf"), (0, b"DSD "), (0, b"nut/multimedia container\0"),
)  # fmt: skip
"""What begins like this is media whatever else may be wrong with it: (offset, bytes)."""

_BOXED = {
    b"RIFF": (b"WAVE", b"AVI ", b"QLCM", b"XWMA"), b"RIFX": (b"WAVE",), b"RF64": (b"WAVE",), b"BW64": (b"WAVE",),
    b"FORM": (b"AIFF", b"AIFC", b"8SVX", b"16SV"), b"FRM8": (b"DSD ",),
}  # fmt: skip
# Whoever wants what lies in an archive or a document unpacks it first.
_WRAPPERS = (b"PK\3\4", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"%PDF", b"MZ", b"\x7fELF", b"BZh", b"\xfd7zXZ")
# By layer of MPEG-1, then layer 1 and layers 2 and 3 of MPEG-2, from place 1 on.
_KILOBITS = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    4: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    5: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MAX_TAGS = 16
_SEARCHED_BYTES = 1 << 16


def is_media(head: bytes) -> bool:
    """Whether a file that begins with `head` (16 bytes are enough) claims to be media, as nothing else does."""
    if head[8:12] in _BOXED.get(head[:4], ()) or head[12:16] in _BOXED.get(head[:4], ()):
        return True
    return any(head[at : at + len(magic)] == magic for at, magic in MAGIC)


def may_be_headerless(head: bytes) -> bool:
    """Whether a file that begins with `head` may be sound without a header: it is nothing known, and no text."""
    if is_media(head) or head.startswith((*_WRAPPERS, b"ID3", b"#!", b"\x02dss", b"\x03dss")):
        return False
    if _are_frames(head, _mpeg_frame) or _are_frames(head, _adts_frame):
        return False
    try:
        text = head[:1000].decode("utf-8")
    except UnicodeDecodeError as error:
        # The last character may have been cut.
        text = head[: error.start].decode("utf-8") if error.start > 990 else ""
    return not text or not all(letter.isprintable() or letter.isspace() for letter in text)


def behind_tags(file: BinaryIO) -> int:
    """Where the media begins if tags stand before it (ID3v2, ID3v1, APE; several), else 0.

    0 also where what follows is no format with a magic number: FFmpeg finds frames of MP3 and ADTS behind ID3 itself.
    """
    at, found_ape = 0, False
    for _ in range(_MAX_TAGS):
        head = _read(file, at, 32)
        length = tag_length(head)
        if not length:
            break
        found_ape |= head[:8] == b"APETAGEX"
        at += length
    if not at:
        return 0
    if is_media(_read(file, at, 32)):
        return at
    padding = _find_media(_read(file, at, _SEARCHED_BYTES))
    if padding is not None:
        return at + padding
    return at if found_ape and _read(file, at, 1) else 0


def behind_junk(file: BinaryIO) -> int | None:
    """Where media begins behind bytes that nothing explains, in the first 64 KB; None where none is found."""
    head = _read(file, 0, _SEARCHED_BYTES)
    if head.startswith(_WRAPPERS) or head[257:262] == b"ustar":
        return None
    return _find_media(head)


def _find_media(head: bytes) -> int | None:
    """The first place from which on `head` is media, by magics of four bytes and more; None if there is none."""
    places = set[int]()
    for magic in [*_BOXED, *(magic for at, magic in MAGIC if at == 0 and len(magic) >= 4)]:
        at = head.find(magic)
        while at >= 0 and len(places) < 64:
            places.add(at)
            at = head.find(magic, at + 1)
    return next((at for at in sorted(places) if is_media(head[at : at + 32])), None)


def _are_frames(head: bytes, length: Callable[[bytes], int]) -> bool:
    """Whether frames follow each other from the first byte on, three at least, as far as `head` goes."""
    at = count = 0
    while at + 8 <= len(head):
        size = length(head[at : at + 8])
        if not size:
            return False
        at, count = at + size, count + 1
    return count >= 3


def _mpeg_frame(head: bytes) -> int:
    """Bytes of an MPEG audio frame, 0 if none begins here."""
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate, place, padding = head[2] >> 2 & 3, head[2] >> 4, head[2] >> 1 & 1
    if head[0] != 0xFF or head[1] & 0xE0 != 0xE0 or version == 1 or layer == 4 or rate == 3 or place in (0, 15):
        return 0
    hertz = (44_100, 48_000, 32_000)[rate] >> (0 if version == 3 else 1 if version == 2 else 2)
    kilobits = _KILOBITS[layer if version == 3 else 4 if layer == 1 else 5][place - 1]
    if layer == 1:
        return (12_000 * kilobits // hertz + padding) * 4
    return (72_000 if layer == 3 and version != 3 else 144_000) * kilobits // hertz + padding


def _adts_frame(head: bytes) -> int:
    """Bytes of an AAC frame in ADTS, 0 if none begins here."""
    if head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return size if size > 7 else 0


def tag_length(head: bytes) -> int:
    """Bytes of the tag that begins here, 0 if none does."""
    if head[:3] == b"ID3" and len(head) >= 10 and head[3] != 0xFF and max(head[6:10]) < 0x80:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return size + (20 if head[5] & 0x10 else 10)
    if head[:8] == b"APETAGEX" and len(head) >= 24:
        size, flags = int.from_bytes(head[12:16], "little"), int.from_bytes(head[20:24], "little")
        return size + 32 if flags & 0x2000_0000 else 0
    return 128 if head[:3] == b"TAG" else 0


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at, os.SEEK_SET)
    return file.read(size)
