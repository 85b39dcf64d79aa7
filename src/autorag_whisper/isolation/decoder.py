"""A recording that is decoded in a process of its own, with the face of `MediaDecoder`."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from typing import TYPE_CHECKING, NoReturn, Protocol, Self, TypeVar, runtime_checkable

import numpy as np

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, MediaDamage
from autorag_whisper.domain.errors import MediaTooLong, MediaUnreadable
from autorag_whisper.domain.interruptions import let_signals_through
from autorag_whisper.domain.media_errors import DecoderDied, DecoderKilled, DecoderUnavailable, MediaOverLimit
from autorag_whisper.files import system_reason
from autorag_whisper.isolation.decoded import Elsewhere
from autorag_whisper.isolation.messages import (
    END,
    ERROR,
    INFO,
    MOST_BYTES,
    PIECE_BYTES,
    SAMPLES,
    STATUS,
    End,
    Task,
    end_of,
    error_of,
    info_of,
)
from autorag_whisper.isolation.pool import is_supported, pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.audio import MediaInfo, Samples
    from autorag_whisper.domain.decoding import DecodingLimits
    from autorag_whisper.domain.errors import AutoragWhisperError
    from autorag_whisper.domain.notes import Note
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.isolation.pool import DecoderPool

_log = logging.getLogger(__name__)

_COPY_BYTES = 1 << 20
_STATUS_S = 5.0
_LONGEST_NAME = 1000
"""Characters of a name's end that a decoder process is told: its messages are told with the whole one."""
_T = TypeVar("_T")


@runtime_checkable
class InFile(Protocol):
    """Audio that is bytes [start, start + size) of an open file (`MediaSource.held`)."""

    @property
    def descriptor(self) -> int: ...

    @property
    def start(self) -> int: ...

    @property
    def size(self) -> int: ...


class Decoder(Protocol):
    """What decodes a recording: `MediaDecoder` here, `IsolatedDecoder` elsewhere. As `MediaDecoder` says."""

    @property
    def info(self) -> MediaInfo: ...

    @property
    def expected_duration_s(self) -> float | None: ...

    @property
    def samples_out(self) -> int: ...

    @property
    def damage(self) -> MediaDamage: ...

    @property
    def notes(self) -> tuple[Note, ...]: ...

    def __iter__(self) -> Iterator[Samples]: ...

    def close(self) -> None: ...


@contextmanager
def open_decoder(source: MediaSource, options: TranscribeOptions) -> Iterator[Decoder]:
    """The recording, being decoded as `source` says: here, or in a process of its own; or as it was decoded elsewhere.

    Raises the Media* errors.
    """
    held: object = source.held
    if isinstance(held, Elsewhere) and (ready := held.decoded()) is not None:
        yield ready.decoder(source.name, options.max_duration_s)
        return
    if source.isolation is not None and _can_isolate():
        with IsolatedDecoder(source, source.isolation, options.audio_stream, options.max_duration_s) as isolated:
            yield isolated
        return
    with (
        source.open() as file,
        MediaDecoder(
            file,
            source.name,
            audio_stream=options.audio_stream,
            max_duration_s=options.max_duration_s,
            limits=source.isolation,
        ) as decoder,
    ):
        yield decoder


@cache
def _can_isolate() -> bool:
    if not is_supported():
        _log.warning("decoding in a process of its own needs Linux 5.3: media is decoded in this process")
    return is_supported()


class IsolatedDecoder:
    """Iterate it once; `close` ends its process at any time.

    Beside the errors of `MediaDecoder` it raises MediaOverLimit, DecoderDied, DecoderKilled and DecoderUnavailable.
    """

    def __init__(
        self,
        source: MediaSource,
        limits: DecodingLimits,
        audio_stream: int | str | None = None,
        max_duration_s: float | None = None,
        decoders: DecoderPool | None = None,
    ) -> None:
        self._name, self._limits, self._max_duration_s = source.name, limits, max_duration_s
        self._samples_out, self._is_over = 0, False
        self._end = End(MediaDamage(), ())
        with _region(source) as (media, start, size):
            task = Task(source.name[-_LONGEST_NAME:], start, size, limits, audio_stream, max_duration_s)
            self._begun = (decoders or pool()).begin(task.to_json(), media)
        try:
            self._begun.data.settimeout(limits.stall_s)
            kind, content = self._receive()
            self._info = self._read(info_of, content) if kind == INFO else self._refuse(kind)
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> MediaInfo:
        """What the container says of itself."""
        return self._info.media

    @property
    def expected_duration_s(self) -> float | None:
        """Seconds by the header, for display only."""
        return self._info.expected_duration_s

    @property
    def samples_out(self) -> int:
        """Samples given so far."""
        return self._samples_out

    @property
    def damage(self) -> MediaDamage:
        """What was lost; known when the iterator is exhausted."""
        return self._end.damage

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the reader of the result should know; known when the iterator is exhausted."""
        return self._end.notes

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Samples:
        if self._is_over:
            raise StopIteration
        try:
            kind, content = self._receive()
            if kind == SAMPLES:
                return self._counted(content)
            self._end = self._read(end_of, content) if kind == END else self._refuse(kind)
        except BaseException:
            self.close()
            raise
        self.close()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the process, if it is not through. Again is fine; iterating ends."""
        self._is_over = True
        self._begun.close()

    def _counted(self, content: bytes) -> Samples:
        if len(content) % 4 or not content:
            return self._refuse(SAMPLES)
        block: Samples = np.frombuffer(content, np.float32)
        if not np.isfinite(block).all():
            return self._refuse(SAMPLES)
        self._samples_out += len(block)
        if self._max_duration_s is not None and self._samples_out > self._max_duration_s * SAMPLE_RATE_HZ:
            raise MediaTooLong(self._name, self._max_duration_s)
        return block

    def _receive(self) -> tuple[bytes, bytes]:
        """The next message: its kind, and what it says. Raises the error that the process told, or died of."""
        pieces: list[bytes] = []
        told = 0
        while True:
            try:
                record = self._begun.data.recv(PIECE_BYTES + 1)
            except TimeoutError:
                raise MediaOverLimit(self._name, f"nothing came of it for {self._limits.stall_s:g} s") from None
            except ConnectionError:
                record = b""
            if not record:
                raise self._death()
            kind = record[:1].upper()
            told += len(record)
            if kind not in MOST_BYTES or told > MOST_BYTES[kind]:
                self._refuse(kind)
            pieces.append(record[1:])
            if record[:1] == kind:
                break
        content = b"".join(pieces)
        if kind == ERROR:
            raise self._read(lambda data: error_of(data, self._name), content)
        return kind, content

    def _read(self, read: Callable[[bytes], _T], content: bytes) -> _T:
        try:
            return read(content)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DecoderDied(self._name, f"it said what makes no sense: {error}") from error

    def _refuse(self, kind: bytes) -> NoReturn:
        raise DecoderDied(self._name, f"it said what makes no sense: {kind!r}")

    def _death(self) -> AutoragWhisperError:
        """The process is gone without having said why: the fork server knows how."""
        self._begun.leash.settimeout(_STATUS_S)
        try:
            told = self._begun.leash.recv(STATUS.size)
        except OSError:
            told = b""
        if len(told) != STATUS.size:
            return DecoderUnavailable("none could be started, or the process that starts them ended")
        code = int(STATUS.unpack(told)[0])
        if code == -signal.SIGXCPU:
            return MediaOverLimit(self._name, "decoding it takes more processor time than is allowed")
        if code == -signal.SIGKILL:  # none of its limits ends it so, and we only where nobody listens
            return DecoderKilled(self._name)
        return DecoderDied(self._name, f"signal {signal_name(-code)}" if code < 0 else f"exit code {code}")


def signal_name(number: int) -> str:
    """`SIGSEGV`, or the number of one that has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


@contextmanager
def _region(source: MediaSource) -> Iterator[tuple[int, int, int]]:
    """A descriptor of the media that can be read alone, where it begins, and how many bytes it has.

    What is in no file is copied to one without a name. Raises the Media* errors.
    """
    with closing(source.open()) as file, ExitStack() as stack:
        held: object = source.held
        if isinstance(held, InFile):
            descriptor, start, size = held.descriptor, held.start, held.size
        elif source.path is not None:
            descriptor, start, size = file.fileno(), 0, os.fstat(file.fileno()).st_size
        else:
            try:
                copy = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(file, copy, _COPY_BYTES)
                copy.flush()
            except OSError as error:
                let_signals_through(error)
                raise MediaUnreadable(source.name, system_reason(error, "cannot be read")) from error
            descriptor, start, size = copy.fileno(), 0, copy.tell()
        own = _read_only(descriptor)
        try:
            yield own, start, size
        finally:
            os.close(own)


def _read_only(descriptor: int) -> int:
    """The same file once more, for reading alone, with a place of its own."""
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return os.dup(descriptor)  # no /proc, or not this user's file: it is read by place
