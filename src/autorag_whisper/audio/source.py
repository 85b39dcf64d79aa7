"""Where media comes from: a path that was checked before it is opened, or a stream that can be rewound."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from autorag_whisper.domain.errors import MediaEmpty, MediaError, MediaNotFound, MediaUnreadable

if TYPE_CHECKING:
    from typing_extensions import Buffer

_COPY_BYTES = 1 << 20
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_KINDS = (
    (stat.S_ISDIR, "is a folder"),
    (stat.S_ISFIFO, "is a named pipe"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)


@dataclass(frozen=True, slots=True)
class MediaSource:
    """One input: a `path`, or a `file` that is open, binary and seekable.

    `name` is what people read in messages and results; nothing is ever opened by it.
    """

    name: str
    path: Path | None = None
    file: BinaryIO | None = None

    def __post_init__(self) -> None:
        if (self.path is None) == (self.file is None):
            raise ValueError("a media source is either a path or a file")

    @classmethod
    def from_path(cls, path: str | os.PathLike[str]) -> MediaSource:
        """A source of the file at `path`, named by its last part. Looks at nothing yet."""
        place = Path(path)
        return cls(name=printable(place.name or str(place)), path=place)

    def open(self) -> BinaryIO:
        """Open for reading at the first byte. Whoever calls closes what comes back.

        A `file` of the caller's comes back as a view: closing that leaves the file open, and two views at a time would
        disturb each other. Never blocks, on a FIFO neither.

        Raises MediaNotFound, MediaUnreadable (not regular, not allowed, cannot be rewound) and MediaEmpty.
        """
        if self.file is not None:
            return _view(self.file, self.name)
        assert self.path is not None
        return _open_regular(self.path, self.name)


def printable(name: str) -> str:
    """`name` on one line: U+FFFD for every control character and for every byte that was no UTF-8."""
    return _UNPRINTABLE.sub("\ufffd", name)


def spool(stream: BinaryIO, name: str = "<stdin>") -> MediaSource:
    """Copy a stream that cannot be rewound to a temporary file without a name, which goes when the source goes.

    Blocks until the stream ends. Raises MediaEmpty where it holds nothing, MediaUnreadable where it cannot be read or
    the disk is full.
    """
    with contextlib.ExitStack() as on_failure:
        file = on_failure.enter_context(tempfile.TemporaryFile())
        try:
            shutil.copyfileobj(stream, file, _COPY_BYTES)
        except OSError as error:
            raise MediaUnreadable(name, (error.strerror or "cannot be read").lower()) from error
        if file.tell() == 0:
            raise MediaEmpty(name)
        on_failure.pop_all()
    return MediaSource(name=name, file=cast("BinaryIO", file))


def _open_regular(path: Path, name: str) -> BinaryIO:
    try:
        # Asked before opening: to open a device or a FIFO may already do something.
        _require_regular(path.stat(), name)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except ValueError as error:  # a NUL byte, or characters the file system's encoding lacks: no file has that name
        raise MediaNotFound(name) from error
    except OSError as error:
        raise _refusal(error, name) from error
    file = os.fdopen(descriptor, "rb")
    try:
        # Asked again of what was opened: the name may mean another file by now.
        _require_regular(os.fstat(descriptor), name)
    except BaseException:
        file.close()
        raise
    return file


def _require_regular(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kinds = (words for is_kind, words in _KINDS if is_kind(status.st_mode))
        raise MediaUnreadable(name, next(kinds, "is no regular file"))
    if status.st_size == 0:
        raise MediaEmpty(name)


def _refusal(error: OSError, name: str) -> MediaError:
    if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
        return MediaNotFound(name)
    if error.errno == errno.ELOOP:
        return MediaUnreadable(name, "is a symbolic link in a circle")
    return MediaUnreadable(name, (error.strerror or "cannot be read").lower())


def _view(file: BinaryIO, name: str) -> BinaryIO:
    if file.closed or not file.readable() or not file.seekable():
        raise MediaUnreadable(name, "is a stream that is closed or cannot be rewound")
    try:
        if file.seek(0, os.SEEK_END) == 0:
            raise MediaEmpty(name)
        file.seek(0)
    except OSError as error:
        raise _refusal(error, name) from error
    return io.BufferedReader(_View(file))


class _View(io.RawIOBase):
    """Another handle on a file that stays the caller's: to close the one leaves the other open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        target = memoryview(buffer)
        data = self._file.read(len(target))
        target[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)
