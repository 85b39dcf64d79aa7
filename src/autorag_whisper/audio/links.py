"""Recordings that follow one another in one file: chained Ogg, or whole files that were joined byte by byte.

FFmpeg reads such a file as one recording: it stops at the joint, or goes on with the first one's parameters. Here each
is a file of its own (a link), seen through a `Window`. Where one ends is known in two ways:

- by structure: RIFF, AIFF, AU, W64, CAF and MP4 tell their length at the start, or box by box;
- by looking, in Ogg, FLAC and Matroska, for bytes that only a beginning has, while FFmpeg reads: no second pass.

A joint is believed only where a recording begins exactly there.
"""

from __future__ import annotations

import io
import os
import re
from typing import TYPE_CHECKING, BinaryIO, cast

from autorag_whisper.audio.lead_in import tag_length

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

_BEGINNINGS = re.compile(
    rb"RIFF....(WAVE|AVI )|RF64....WAVE|FORM....AIF[FC]|\.snd\0|riff\x2e\x91\xcf\x11|....ftyp|OggS\0\x02"
    rb"|fLaC[\0\x80]\0\0\x22|\x1aE\xdf\xa3|caff\0\x01|ID3[\2-\4]|wvpk|TTA1|MAC ",
    re.DOTALL,
)
_OGG, _FLAC, _EBML = b"OggS", b"fLaC", b"\x1aE\xdf\xa3"
_JOINTS = {
    _OGG: re.compile(rb"OggS\0([\0-\7])", re.DOTALL),
    _FLAC: re.compile(rb"fLaC[\0\x80]\0\0\x22", re.DOTALL),
    _EBML: re.compile(
        rb"\x1aE\xdf\xa3.{1,56}?\x42\x82[\x84\x88\x40\x01]\0{0,6}[\x04\x08]?(?:webm|matroska)", re.DOTALL
    ),
}
_OVERLAP_BYTES = 80
"""What is looked for is shorter."""

_OGG_FIRST_PAGE = 2
_BLOCK_BYTES = 1 << 20
_MAX_BOXES = 100_000
_MAX_TAGS = 16
_UNKNOWN_32 = frozenset((0, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF))


class Window(io.RawIOBase):
    """A file from `start` to `stop` as a file of its own. It keeps its own place: several may share one file.

    While it is read from its beginning on, it looks for where the next link begins (`next_start`), and ends there.
    """

    def __init__(self, file: BinaryIO, start: int = 0, stop: int | None = None) -> None:
        self._file, self.start = file, start
        size = file.seek(0, os.SEEK_END)
        self.stop = size if stop is None else min(stop, size)
        self._at = start
        head = _read(file, start, 16)
        self._joint = next((pattern for magic, pattern in _JOINTS.items() if head.startswith(magic)), None)
        self._seen_to, self._tail, self._in_body = start, b"", False
        self._judged_to = start
        self.next_start: int | None = None
        end = structural_end(file, start, self.stop)
        if end is not None and end < self.stop and begins_at(file, end):
            self.next_start = end if _is_more_than_tags(file, end) else None
            self.stop = end

    def part(self, start: int, stop: int) -> Window:
        """Another window on the same file."""
        return Window(self._file, start, stop)

    def tell(self) -> int:
        return self._at - self.start

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: self.start, os.SEEK_CUR: self._at, os.SEEK_END: self.stop}[whence]
        self._at = max(self.start, base + offset)
        return self.tell()

    def as_file(self) -> BinaryIO:
        """The same as what the rest of the house calls a file."""
        return cast("BinaryIO", self)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        target = memoryview(buffer).cast("B")
        data = self.read(len(target))
        target[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        size = -1 if size is None else size
        left = self.stop - self._at
        if left <= 0 or size == 0:
            return b""
        data = _read(self._file, self._at, left if size < 0 else min(size, left))
        if self._joint and self._at <= self._seen_to < self._at + len(data):
            self._look(data[self._seen_to - self._at :])
            data = data[: self.stop - self._at]
        self._at += len(data)
        return data

    def find_next(self) -> int | None:
        """Where the next link begins, looking further than what was read; None where none does."""
        while self._joint and self.next_start is None and self._seen_to < self.stop:
            data = _read(self._file, self._seen_to, min(_BLOCK_BYTES, self.stop - self._seen_to))
            if not data:
                break
            self._look(data)
        return self.next_start

    def _look(self, new: bytes) -> None:
        """`new` stands at `_seen_to`."""
        data, base = self._tail + new, self._seen_to - len(self._tail)
        self._seen_to += len(new)
        self._tail = data[-_OVERLAP_BYTES:]
        assert self._joint
        for match in self._joint.finditer(data, max(0, self._judged_to - base)):
            at, self._judged_to = base + match.start(), base + match.end()
            if at > self.start and self._is_joint(match):
                self.next_start = self.stop = at
                return

    def _is_joint(self, match: re.Match[bytes]) -> bool:
        if not match.lastindex:
            return True
        # The streams of an Ogg begin together: a first page is another link's once other pages have come.
        first = bool(match[1][0] & _OGG_FIRST_PAGE)
        self._in_body |= not first
        return first and self._in_body


def begins_at(file: BinaryIO, at: int) -> bool:
    """Whether a recording of a kind that is known by its first bytes begins at `at`."""
    return bool(_BEGINNINGS.match(_read(file, at, 16)))


def _is_more_than_tags(file: BinaryIO, at: int) -> bool:
    """Whether anything follows the tags that begin at `at`, if some do: taggers put them behind a recording, too."""
    for _ in range(_MAX_TAGS):
        length = tag_length(_read(file, at, 32))
        if not length:
            break
        at += length
    return any(_read(file, at, 16))


def structural_end(file: BinaryIO, start: int, stop: int) -> int | None:
    """Where the recording at `start` ends by its own header; None where that says nothing."""
    head = _read(file, start, 40)
    for magic, end in _ENDS.items():
        if re.match(magic, head, re.DOTALL):
            return end(file, start, stop, head)
    return None


def _riff_end(file: BinaryIO, start: int, _stop: int, head: bytes) -> int | None:
    """An AVI of more than a gigabyte is several RIFFs, of which the later ones are called AVIX."""
    at = start
    for _ in range(_MAX_BOXES):
        size = int.from_bytes(head[4:8], "little")
        if size in _UNKNOWN_32:
            return None
        at += 8 + size + size % 2
        head = _read(file, at, 12)
        if head[:4] != b"RIFF" or head[8:] != b"AVIX":
            return at
    return None


def _form_end(_file: BinaryIO, start: int, _stop: int, head: bytes) -> int | None:
    size = int.from_bytes(head[4:8], "big")
    return None if size in _UNKNOWN_32 else start + 8 + size + size % 2


def _au_end(_file: BinaryIO, start: int, _stop: int, head: bytes) -> int | None:
    offset, size = (int.from_bytes(head[at : at + 4], "big") for at in (4, 8))
    return None if size in _UNKNOWN_32 else start + offset + size


def _w64_end(_file: BinaryIO, start: int, _stop: int, head: bytes) -> int | None:
    size = int.from_bytes(head[16:24], "little")
    return start + size + -size % 8 if 40 <= size < 1 << 62 else None


def _mp4_end(file: BinaryIO, start: int, stop: int, head: bytes) -> int | None:
    """The second `ftyp` box begins another file, once both the index and the media have come."""
    at, seen = start, set[bytes]()
    for _ in range(_MAX_BOXES):
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if kind == b"ftyp" and {b"moov", b"mdat"} <= seen:
            return at
        seen.add(kind)
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size < 8:
            return None
        at += size
        if at >= stop:
            return None
        head = _read(file, at, 16)
    return None


def _caf_end(file: BinaryIO, start: int, stop: int, _head: bytes) -> int | None:
    at = start + 8
    for _ in range(_MAX_BOXES):
        head = _read(file, at, 12)
        if head[:4] == b"caff":
            return at
        size = int.from_bytes(head[4:12], "big")
        at += 12 + size
        if len(head) < 12 or at >= stop:
            return None
    return None


_ENDS: dict[bytes, Callable[[BinaryIO, int, int, bytes], int | None]] = {
    rb"RIFF....(?:WAVE|AVI )": _riff_end,
    rb"FORM....AIF[FC]": _form_end,
    rb"\.snd": _au_end,
    rb"riff\x2e\x91\xcf\x11": _w64_end,
    rb"....ftyp": _mp4_end,
    rb"caff": _caf_end,
}


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    if file.tell() != at:
        file.seek(at)
    return file.read(size)
