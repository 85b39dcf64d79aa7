"""Where media comes from: a path that was checked before it is opened, a file of the caller's, or what is in memory."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from autorag_whisper.audio.memory import Held, HeldBytes, Refused, SupportsArray, held_samples
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.domain.errors import (
    InvalidOption,
    MediaEmpty,
    MediaError,
    MediaNotFound,
    MediaUnreadable,
    RequestError,
)
from autorag_whisper.domain.interruptions import let_signals_through
from autorag_whisper.domain.media_errors import MediaAddress, is_address
from autorag_whisper.files import system_reason

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from autorag_whisper.domain.decoding import DecodingLimits

DEFAULT_NAME = "audio"
"""Of what has none, in messages and results."""

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
    """One input: a `path`, an open binary `file`, or what is `held` in memory; exactly one of them.

    `name` is what people read in messages and results; nothing is ever opened by it. The class methods make sources of
    everything that `Transcriber` takes for media. `isolation`: see `isolated`.
    """

    name: str
    path: Path | None = None
    file: BinaryIO | None = None
    held: Held | None = None
    isolation: DecodingLimits | None = None

    def __post_init__(self) -> None:
        if sum(content is not None for content in (self.path, self.file, self.held)) != 1:
            raise ValueError("a media source is either a path or a file or held in memory")

    @classmethod
    def of(cls, media: Media) -> MediaSource:
        """A source of whatever is taken for media. Looks at nothing yet: what cannot be media says so when opened."""
        try:
            return _source_of(media)
        except RequestError as error:
            return cls(DEFAULT_NAME, held=Refused(error))

    @classmethod
    def from_path(cls, path: str | os.PathLike[str]) -> MediaSource:
        """A source of the file at `path`, named by its last part. Looks at nothing yet."""
        place = Path(path)
        if is_address(os.fspath(path)):
            return cls(name=printable(os.fspath(path)), path=place)
        return cls(name=printable(place.name or str(place)), path=place)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, name: str = DEFAULT_NAME) -> MediaSource:
        """A source of a whole media file in memory (an upload, a download). `data` is not copied and not changed.

        It must not be changed before the run is over.
        """
        return cls(printable(name), held=HeldBytes(data))

    @classmethod
    def from_file(cls, file: BinaryIO, name: str | None = None) -> MediaSource:
        """A source of a file object that is open for reading bytes; by default it is called as the file is.

        It is read from its first byte, wherever it stands, put back there when it was read, and not closed. What cannot
        be rewound (a pipe, a socket) is read to its end, into a temporary file, when the run comes to it, and so once
        only. It belongs to the run until that is over: one file object is not for two runs at a time.
        """
        told = getattr(file, "name", None)
        if name is None:
            name = Path(told).name if isinstance(told, str) else DEFAULT_NAME
        return cls(printable(name) or DEFAULT_NAME, file=file)

    @classmethod
    def from_samples(
        cls,
        samples: SupportsArray,
        sample_rate_hz: float = SAMPLE_RATE_HZ,
        *,
        channel_axis: int | None = None,
        name: str = DEFAULT_NAME,
    ) -> MediaSource:
        """A source of decoded audio: a numpy array, or what numpy can make one of (a tensor of PyTorch's).

        `samples`: [samples], [samples, channels] or [channels, samples]; of two dimensions the shorter one counts the
        channels, unless `channel_axis` (0 or 1) says which. float32, float64 and float16 from -1 to 1; int16, int32 and
        uint8 at full scale. `sample_rate_hz`: of each channel, 1,000 to 1,536,000; the default is what Whisper hears.

        The words are those of the same samples in a WAV file. Nothing is copied where numpy need not, nothing changed;
        it must not be changed before the run is over.

        Raises InvalidOption for another type, shape or rate; no sample (MediaEmpty) and one that is not finite
        (MediaDamaged) are found when it is opened.
        """
        return cls(printable(name), held=held_samples(samples, sample_rate_hz, channel_axis))

    def isolated(self, limits: DecodingLimits | None = None) -> MediaSource:
        """The same, decoded in a process of its own under `limits` (None: the defaults), for media of strangers.

        That process has no network and opens no file; if it crashes, hangs or takes too much, this recording alone
        fails. The words are the same. Linux; elsewhere it is decoded as usual, and a warning is logged once.
        """
        from autorag_whisper.domain.decoding import DecodingLimits

        return replace(self, isolation=limits or DecodingLimits())

    def open(self) -> BinaryIO:
        """Open for reading at the first byte. Whoever calls closes what comes back.

        A `file` of the caller's comes back as a view: closing that leaves the file open, and two views at a time would
        disturb each other. Never blocks, on a FIFO neither, but to read a stream that cannot be rewound to its end.

        Raises MediaNotFound, MediaUnreadable (not regular, not allowed), MediaEmpty, MediaDamaged, and InvalidOption
        for what is no media at all.
        """
        if self.held is not None:
            return self.held.open(self.name)
        if self.file is not None:
            return _open_file(self.file, self.name)
        assert self.path is not None
        return _open_regular(self.path, self.name)


Media = MediaSource | str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | SupportsArray
"""What is taken for one recording: a path; the bytes of a media file; a file object that is open for reading bytes;
samples at 16 kHz; or a `MediaSource`, which may have a name and another rate."""


def _source_of(media: Any) -> MediaSource:
    if isinstance(media, MediaSource):
        return media
    if isinstance(media, bytes | bytearray | memoryview):
        return MediaSource.from_bytes(media)
    if isinstance(media, str | os.PathLike):
        try:
            return MediaSource.from_path(media)
        except TypeError:  # a path in bytes
            return MediaSource.from_path(os.fsdecode(media))
    if callable(getattr(media, "read", None)):
        return MediaSource.from_file(media)
    if isinstance(media, SupportsArray):
        return MediaSource.from_samples(media)
    allowed = "a path, bytes, a binary file object, an array of samples or a MediaSource"
    raise InvalidOption("media", type(media).__name__, allowed)


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
            let_signals_through(error)
            raise MediaUnreadable(name, system_reason(error, "cannot be read")) from error
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
        let_signals_through(error)
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
        return MediaAddress(name) if is_address(name) else MediaNotFound(name)
    if error.errno == errno.ELOOP:
        return MediaUnreadable(name, "is a symbolic link in a circle")
    return MediaUnreadable(name, system_reason(error, "cannot be read"))


def _open_file(file: BinaryIO, name: str) -> BinaryIO:
    """A view of a file object of the caller's, or a copy of what can be read but once."""
    try:
        if getattr(file, "closed", False):
            raise MediaUnreadable(name, "is a file object that is closed")
        if not _is_seekable(file):
            copy = spool(cast("BinaryIO", _Foreign(file)), name).file
            assert copy is not None
            copy.seek(0)
            return copy
        view = _View(file)
        if view.seek(0, os.SEEK_END) == 0:
            view.close()
            raise MediaEmpty(name)
        view.seek(0)
        view.read(1)  # of text, or by a coroutine, it is refused here
        view.seek(0)
    except OSError as error:
        let_signals_through(error)
        raise _refusal(error, name) from error
    return io.BufferedReader(view)


def _is_seekable(file: Any) -> bool:
    if hasattr(file, "seekable"):
        return _Foreign(file).seekable()
    return hasattr(file, "seek") and hasattr(file, "tell")


class _Foreign:
    """A file object of the caller's, whose own exceptions are a failure to read like any other.

    What a signal handler raises while it is at work is not its own, and goes through.
    """

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        data = self._call("read", size)
        if not isinstance(data, bytes | bytearray | memoryview) or 0 <= size < len(data):
            raise OSError(errno.EINVAL, "is no file object that is open for reading bytes")
        return bytes(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        moved = self._call("seek", offset, whence)
        return moved if isinstance(moved, int) else self.tell()  # mmap's tells nothing

    def tell(self) -> int:
        return int(self._call("tell"))

    def seekable(self) -> bool:
        return bool(self._call("seekable"))

    def _call(self, method: str, *arguments: int) -> Any:
        try:
            return getattr(self._file, method)(*arguments)
        except OSError:
            raise
        except Exception as error:
            let_signals_through(error)
            raise OSError(errno.EIO, f"its {method}() raised {type(error).__name__}") from error


class _View(io.RawIOBase):
    """Another handle on a file that stays the caller's: to close the one leaves the other open, where it stood."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = _Foreign(file)
        self._stood = self._file.tell()

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

    def close(self) -> None:
        try:
            if not self.closed:
                self._file.seek(self._stood)
        except OSError as error:  # the caller may have closed it by now
            let_signals_through(error)
        finally:
            super().close()
