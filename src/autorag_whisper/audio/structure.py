"""How long the bytes of a container say it is, read by ourselves where FFmpeg does not tell, or guesses.

Each reader takes a file that begins with its container, and gives a `StatedLength`. It reads headers and the file's
tail, nothing else.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

TAIL_BYTES = 1 << 17
_MAX_PARTS = 100_000
_NEAR_BYTES = 1 << 16
_PLACEHOLDERS = (1 << 31, 1 << 32, 2_000_000_000)
_LARGE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class StatedLength:
    """The length that a file's header states, and what of it is there.

    `seconds`: how long this audio stream is. `whole_bytes`, `there_bytes`: how many bytes of media there should be, and
    are; 0 where nothing says it. `is_cut`: the last element that the file begins is not whole.
    """

    seconds: float | None = None
    whole_bytes: int = 0
    there_bytes: int = 0
    is_cut: bool = False


NOTHING = StatedLength()


def is_placeholder(size: int, bits: int = 32) -> bool:
    """Whether a length was written before it was known: 0, the largest number, -1, and what streaming writers use."""
    if bits == 64:
        return size == 0 or size >= 1 << 62
    is_near = any(abs(size - value) <= _NEAR_BYTES for value in _PLACEHOLDERS)
    is_round = size >= _LARGE and (size % 1_000_000 == 0 or size % _NEAR_BYTES == 0)
    return size == 0 or is_near or is_round


def length_of(file: BinaryIO) -> int:
    """Bytes in `file`."""
    return file.seek(0, os.SEEK_END)


def read_at(file: BinaryIO, at: int, size: int) -> bytes:
    """Up to `size` bytes from `at` on."""
    file.seek(at)
    return file.read(size)


def tail_of(file: BinaryIO) -> tuple[int, bytes]:
    """The last bytes of a file and where they begin."""
    size = length_of(file)
    start = max(0, size - TAIL_BYTES)
    return start, read_at(file, start, TAIL_BYTES)


def _bytes_from(file: BinaryIO, at: int, size: int, bits: int = 32) -> StatedLength:
    """Media of `size` bytes that should lie from `at` on."""
    if is_placeholder(size, bits):
        return NOTHING
    return StatedLength(whole_bytes=size, there_bytes=max(0, min(size, length_of(file) - at)))


def _chunks(
    file: BinaryIO, at: int, order: Literal["little", "big"], *, until: int | None = None
) -> Iterator[tuple[bytes, int, int]]:
    """Name, place of the content and length of each chunk of an IFF container, until the file or `until` ends."""
    end = length_of(file) if until is None else until
    for _ in range(_MAX_PARTS):
        head = read_at(file, at, 8)
        if len(head) < 8 or at >= end:
            return
        size = int.from_bytes(head[4:8], order)
        yield head[:4], at + 8, size
        at += 8 + size + size % 2


def riff(file: BinaryIO) -> StatedLength:
    """WAV and its kin: the length of the samples, in RF64 of 64 bits. A RIFF that is all there is whole."""
    head = read_at(file, 0, 12)
    order: Literal["little", "big"] = "big" if head[:4] == b"RIFX" else "little"
    long_size: int | None = None
    for name, at, size in _chunks(file, 12, order):
        if name == b"ds64":
            long_size = int.from_bytes(read_at(file, at + 8, 8), "little")
        if name == b"data":
            if long_size is not None and size in {0, 0xFFFF_FFFF}:
                return _bytes_from(file, at, long_size, 64)
            end = 8 + int.from_bytes(head[4:8], order)
            if at < end <= length_of(file) and not is_placeholder(end - 8):
                return NOTHING
            return _bytes_from(file, at, size)
    return NOTHING


def wave64(file: BinaryIO) -> StatedLength:
    """Sony's Wave64."""
    at = 40
    for _ in range(_MAX_PARTS):
        head = read_at(file, at, 24)
        size = int.from_bytes(head[16:24], "little")
        if len(head) < 24 or size < 24:
            return NOTHING
        if head[:4] == b"data":
            return NOTHING if size == 24 else _bytes_from(file, at + 24, size - 24, 64)
        at += size + -size % 8
    return NOTHING


def aiff(file: BinaryIO) -> StatedLength:
    """The length of the samples, behind offset and block size."""
    for name, at, size in _chunks(file, 12, "big"):
        if name == b"SSND":
            return NOTHING if size <= 8 else _bytes_from(file, at + 8, size - 8)
    return NOTHING


def au(file: BinaryIO) -> StatedLength:
    """Sun's and NeXT's format."""
    head = read_at(file, 0, 12)
    return _bytes_from(file, int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big"))


def caf(file: BinaryIO) -> StatedLength:
    """Apple's: a data chunk of -1 bytes goes on to the end."""
    at = 8
    for _ in range(_MAX_PARTS):
        head = read_at(file, at, 12)
        size = int.from_bytes(head[4:12], "big")
        if len(head) < 12:
            return NOTHING
        if head[:4] == b"data":
            return _bytes_from(file, at + 16, size - 4, 64)
        at += 12 + size
    return NOTHING


def voc(file: BinaryIO) -> StatedLength:
    """Creative's: blocks, each of which says its length."""
    at, size = int.from_bytes(read_at(file, 20, 2), "little"), length_of(file)
    for _ in range(_MAX_PARTS):
        head = read_at(file, at, 4)
        if len(head) < 4 or not head[0]:
            break
        at += 4 + int.from_bytes(head[1:], "little")
        if at > size:
            return StatedLength(is_cut=True)
    return NOTHING


def sox(file: BinaryIO) -> StatedLength:
    """SoX's own: samples of four bytes, all channels together; 0 where it could not go back."""
    head = read_at(file, 0, 16)
    order: Literal["little", "big"] = "little" if head[:4] == b".SoX" else "big"
    offset, samples = int.from_bytes(head[4:8], order), int.from_bytes(head[8:16], order)
    return _bytes_from(file, 4 + offset, samples * 4, 64)


def avi(file: BinaryIO) -> StatedLength:
    """The frames of each RIFF, and in an index of indexes those of all RIFFs."""
    whole, size = 0, length_of(file)
    for name, at, length in _chunks(file, 0, "little"):
        if name != b"RIFF" or read_at(file, at, 4) not in {b"AVI ", b"AVIX"}:
            break
        for part, start, part_length in _chunks(file, at + 4, "little", until=at + length):
            kind = read_at(file, start, 4)
            if part == b"LIST" and kind == b"hdrl":
                whole = max(whole, _avi_index_end(read_at(file, start, min(part_length, _NEAR_BYTES))))
            if part == b"LIST" and kind == b"movi":
                if is_placeholder(part_length):
                    return StatedLength(is_cut=_is_last_frame_cut(file, start + 4))
                whole = max(whole, start + part_length)
    return StatedLength(whole_bytes=whole, there_bytes=min(whole, size)) if whole else NOTHING


_AVI_FRAME = re.compile(rb"\d\d[a-z]{2}|ix\d\d|JUNK|idx1")


def _is_last_frame_cut(file: BinaryIO, at: int) -> bool:
    """Of an AVI that was streamed: its frames follow each other to the end."""
    end = at
    for name, place, size in _chunks(file, at, "little"):
        if not _AVI_FRAME.fullmatch(name):
            return False
        end = place + size
    return end > length_of(file)


def _avi_index_end(header: bytes) -> int:
    """Where the last part lies that an OpenDML index of indexes names."""
    end = 0
    for match in re.finditer(rb"indx", header):
        at = match.end() + 4
        longs, count = int.from_bytes(header[at : at + 2], "little"), int.from_bytes(header[at + 4 : at + 8], "little")
        if longs != 4 or header[at + 3] != 0:
            continue
        for entry in range(min(count, 256)):
            place = at + 24 + 16 * entry
            end = max(end, int.from_bytes(header[place : place + 8], "little"))
    return end


_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")


def asf(file: BinaryIO) -> StatedLength:
    """WMA and WMV: packets of one size, whose number a live stream does not know."""
    head = read_at(file, 0, _NEAR_BYTES)
    at = head.find(_ASF_FILE)
    data_at = int.from_bytes(head[16:24], "little")
    if at < 0 or read_at(file, data_at, 16) != _ASF_DATA:
        return NOTHING
    packets = int.from_bytes(head[at + 56 : at + 64], "little")
    flags, packet_bytes = (int.from_bytes(head[place : place + 4], "little") for place in (at + 88, at + 92))
    if not flags & 1:
        last = read_at(file, data_at + 50 + (packets - 1) * packet_bytes, 32) if packets else b""
        return _bytes_from(file, data_at + 50, packets * packet_bytes - _asf_padding(last), 64)
    left = (length_of(file) - data_at - 50) % max(1, packet_bytes)
    return StatedLength(is_cut=left > 0 and read_at(file, length_of(file) - left, 1) == b"\x82")


def _asf_padding(packet: bytes) -> int:
    """Bytes at the end of a data packet that hold nothing (ASF specification, 5.2.2), by its first bytes."""
    at = 1 + (packet[0] & 0xF) if packet and packet[0] & 0x80 else 0
    types = packet[at] if len(packet) > at else 0
    sizes = (0, 1, 2, 4)
    at += 2 + sizes[types >> 5 & 3] + sizes[types >> 1 & 3]
    return int.from_bytes(packet[at : at + sizes[types >> 3 & 3]], "little")


def flv(file: BinaryIO) -> StatedLength:
    """A last tag, which says its own length once more behind itself, and a length in bytes among the metadata. That one
    is wrong in files that other tools have changed, so a whole last tag is believed before it."""
    head = read_at(file, 0, 1 << 14)
    size = length_of(file)
    last = int.from_bytes(read_at(file, max(0, size - 4), 4), "big")
    tag = read_at(file, max(0, size - 4 - last), 4) if 11 <= last < size else b""
    is_padded = not any(read_at(file, max(0, size - 7), 7))
    if is_padded or (tag and 11 + int.from_bytes(tag[1:4], "big") == last):
        return NOTHING
    at = head.find(b"\0\x08filesize\0")
    stated = struct.unpack(">d", head[at + 11 : at + 19].ljust(8, b"\0"))[0] if at >= 0 else 0.0
    if 0 < stated < 1 << 52:
        return StatedLength(whole_bytes=int(stated), there_bytes=min(int(stated), size))
    return StatedLength(is_cut=True)


_SEGMENT, _SEEK_HEAD, _CLUSTER = 0x18538067, 0x114D9B74, 0x1F43B675
_IN_A_CLUSTER = frozenset((0xE7, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF, 0xEC, 0xBF))
_SEEK_POSITION = re.compile(rb"\x53\xab[\x84](.{4})(?:\xec[\x80-\xff].*?)?\x53\xac([\x81-\x88])", re.DOTALL)


def matroska(file: BinaryIO) -> StatedLength:
    """How long the segment is up to its index and tags; of a live one, whether its last block is whole."""
    size = length_of(file)
    _, at, length = _element(file, 0)
    at += length or 0
    identifier, start, length = _element(file, at)
    if identifier != _SEGMENT:
        return NOTHING
    if length is None:
        return StatedLength(is_cut=_is_last_block_cut(file))
    ends, at, first = [start + length], start, None
    for _ in range(64):
        identifier, body, part = _element(file, at)
        if identifier == _SEEK_HEAD and part is not None:
            ends += [start + place for place in _seek_positions(read_at(file, body, min(part, 4096)))]
        if identifier == _CLUSTER or part is None or not identifier:
            first = at if identifier == _CLUSTER else None
            break
        at = body + part
    if first is None:
        return NOTHING
    end = min((place for place in ends if place > first), default=None)
    if end is None:  # a length that was never filled in, or lies
        return StatedLength(is_cut=_is_last_block_cut(file))
    return StatedLength(whole_bytes=end - first, there_bytes=max(1, min(end, size) - first))


def _seek_positions(body: bytes) -> list[int]:
    found = []
    for match in _SEEK_POSITION.finditer(body):
        length = match[2][0] & 0x0F
        found.append(int.from_bytes(body[match.end() : match.end() + length], "big"))
    return found


def _element(file: BinaryIO, at: int) -> tuple[int, int, int | None]:
    """Identifier, place of the content and its length (None: unknown) of the EBML element at `at`; 0 where none is."""
    head = read_at(file, at, 12)
    if not head or not head[0]:
        return 0, at, None
    wide = 9 - head[0].bit_length()
    if wide > 4 or len(head) <= wide or not head[wide]:
        return 0, at, None
    long = 9 - head[wide].bit_length()
    raw = head[wide : wide + long]
    if len(raw) < long:
        return 0, at, None
    length = int.from_bytes(raw, "big") & ((1 << 7 * long) - 1)
    known = None if length == (1 << 7 * long) - 1 else length
    return int.from_bytes(head[:wide], "big"), at + wide + long, known


def _is_last_block_cut(file: BinaryIO) -> bool:
    start, tail = tail_of(file)
    size = start + len(tail)
    at = tail.rfind(_CLUSTER.to_bytes(4, "big"))
    if at < 0:
        return False
    _, place, _ = _element(file, start + at)
    for _ in range(_MAX_PARTS):
        if place >= size:
            return place > size
        identifier, body, length = _element(file, place)
        if not identifier or length is None:
            return size - place < 12 and read_at(file, place, 1) in {b"\xa3", b"\xa0", b"\x1f"}
        if identifier not in _IN_A_CLUSTER:
            return False
        place = body + length
    return False


def fragments(file: BinaryIO) -> StatedLength:
    """Fragmented MP4: the boxes at the top, and the bytes that should follow by its segment index."""
    at, size, whole = 0, length_of(file), 0
    for _ in range(_MAX_PARTS):
        head = read_at(file, at, 16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if len(head) < 8 or length < 8 or not kind.isalnum():
            break
        at += length
        if kind == b"sidx":
            whole = max(whole, at + _indexed_bytes(read_at(file, at - length, min(length, 1 << 20))))
        if at > size:
            is_media = kind in {b"mdat", b"moof", b"styp", b"sidx"}
            return StatedLength(whole_bytes=whole, there_bytes=min(whole, size), is_cut=is_media)
    return StatedLength(whole_bytes=whole, there_bytes=min(whole, size)) if whole else NOTHING


def _indexed_bytes(box: bytes) -> int:
    wide = 8 if box[8] else 4
    at = 20 + wide
    offset = int.from_bytes(box[at : at + wide], "big")
    at += wide
    count = int.from_bytes(box[at + 2 : at + 4], "big")
    entries = (box[at + 4 + 12 * n : at + 8 + 12 * n] for n in range(count))
    return offset + sum(int.from_bytes(entry, "big") & 0x7FFF_FFFF for entry in entries)
