"""A file as the demuxer should see it: from where the media begins, with a few bytes of its header replaced."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Buffer


class Overlay(io.RawIOBase):
    """A read-only view of `file` from byte `start` on. Closing it leaves `file` open.

    `patches` replaces bytes: position in the view -> what stands there. Nothing is written to the file, and its length
    stays. The view moves the file's own position; two views of one file are used one after the other.
    """

    def __init__(self, file: BinaryIO, start: int = 0, patches: Mapping[int, bytes] | None = None) -> None:
        self._file, self._start = file, start
        self._patches = dict(patches or {})
        self._patched_until = max((at + len(data) for at, data in self._patches.items()), default=0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        at = self.tell()
        data = self._file.read(-1 if size is None else size)
        return self._replaced(at, data) if at < self._patched_until else data

    def readinto(self, buffer: Buffer, /) -> int:
        target = memoryview(buffer).cast("B")
        data = self.read(len(target))
        target[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_SET:
            if offset < 0:
                raise ValueError("a position before the start")
            return self._file.seek(self._start + offset) - self._start
        return self._file.seek(offset, whence) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start

    def read_at(self, at: int, size: int) -> bytes:
        """Up to `size` bytes from position `at` of the view; fewer only at the end of the file."""
        self.seek(at)
        return self.read(size)

    def _replaced(self, at: int, data: bytes) -> bytes:
        changed = bytearray(data)
        for place, patch in self._patches.items():
            first, last = max(at, place), min(at + len(data), place + len(patch))
            if first < last:
                changed[first - at : last - at] = patch[first - place : last - place]
        return bytes(changed)
