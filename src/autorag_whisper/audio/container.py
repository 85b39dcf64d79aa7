"""A file object to an open container and the one audio stream that will be decoded, or a typed error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import av
import av.error
import av.logging

from autorag_whisper.audio import selection
from autorag_whisper.audio.allowlist import CODECS, HEADERLESS, container_options, headerless
from autorag_whisper.audio.headers import Findings, examine
from autorag_whisper.audio.lead_in import behind_junk, behind_tags, may_be_headerless
from autorag_whisper.audio.levels import float_scale
from autorag_whisper.audio.overlay import Overlay
from autorag_whisper.audio.scale import USUAL, Scale
from autorag_whisper.domain.audio import MediaInfo
from autorag_whisper.domain.errors import MediaDamaged, MediaError, MediaNotRecognised, MediaUnreadable, NoAudioStream
from autorag_whisper.domain.interruptions import let_signals_through
from autorag_whisper.files import system_reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.audio.stream import AudioStream
    from av.container import InputContainer

    from autorag_whisper.audio.allowlist import Format
    from autorag_whisper.domain.notes import Note

MIN_RATE_HZ = 1_000
"""Below, a second of samples becomes minutes at 16 kHz and no speech is left in it; only a lying header says so."""

MAX_RATE_HZ = 1_536_000

# Files that begin like this are media whatever FFmpeg says, so what it cannot open is damaged.
_MAGIC = ((0, b"RIFF"), (0, b"RF64"), (4, b"ftyp"), (4, b"moov"), (0, b"OggS"), (0, b"\x1aE\xdf\xa3"), (0, b"fLaC"),
          (0, b"ID3"), (0, b"FORM"), (0, b"caff"), (0, b"\x30\x26\xb2\x75"), (0, b"FLV"), (0, b"wvpk"))  # fmt: skip


_WAVE = (b"RIFF", b"RF64")
_LOOKED_AT_BYTES = 1 << 13
_FLOAT_SAMPLES = "pcm_f"


@dataclass(frozen=True, slots=True)
class Opened:
    """An open container with its chosen stream, whose decoder is open too.

    `file` is the file from where the media begins, as it was written. `scale` is what the samples are worth; `notes`
    tell what was found in its header.
    """

    container: InputContainer
    stream: AudioStream
    info: MediaInfo
    file: BinaryIO
    scale: Scale = USUAL
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """Media in a file: where it begins, and what its header should say."""

    file: BinaryIO
    start: int
    findings: Findings

    def view(self) -> BinaryIO:
        """What FFmpeg is to see, from the first byte."""
        if not self.start and not self.findings.patches:
            self.file.seek(0)
            return self.file
        view = Overlay(self.file, self.start, self.findings.patches)
        view.seek(0)
        return cast("BinaryIO", view)

    def as_written(self) -> BinaryIO:
        return cast("BinaryIO", Overlay(self.file, self.start)) if self.start else self.file


_MAX_HEADER_BYTES, _MAX_HEADER_SEEKS = 1 << 27, 200_000
"""For a header at most: gigabytes of zeros are millions of empty chunks to FFmpeg, which seeks from one to the next."""


class _Nameless:
    """The file as FFmpeg sees it: its bytes without its real name.

    FFmpeg guesses formats from names and may open a file that a name refers to. So `name` is one that this package
    made up; it only tells FFmpeg the format of a file without a header. While `in_header`, reading returns the end of
    the file as soon as FFmpeg has read or sought more than any header needs.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self.tell, self.name = file, file.tell, name
        self.in_header, self._read_bytes, self._seeks = True, 0, 0

    def read(self, size: int = -1) -> bytes:
        if self.in_header and (self._read_bytes > _MAX_HEADER_BYTES or self._seeks > _MAX_HEADER_SEEKS):
            return b""
        data = self._file.read(size)
        self._read_bytes += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._seeks += 1
        return self._file.seek(offset, whence)


def open_container(file: BinaryIO, name: str, audio_stream: int | str | None) -> Opened:
    """Open `file` from its first byte and choose its audio stream `audio_stream` (`audio.selection` says how).

    Raises MediaNotRecognised, MediaDamaged, MediaUnreadable, NoAudioStream and AudioStreamNotFound.
    """
    if av.logging.get_level() is None:
        # Unless the host has asked for FFmpeg's log, none of it reaches its standard error.
        av.logging.set_level(None)
    found, container = _open(file, name)
    try:
        return _opened(found, container, _choose(container, name, audio_stream), name)
    except BaseException:
        container.close()
        raise


def open_another(file: BinaryIO, name: str, pick: Callable[[list[AudioStream]], AudioStream | None]) -> Opened | None:
    """Open a file that was opened before once more, with the stream that `pick` takes of those that can be decoded;
    None where it takes none."""
    try:
        found, container = _open(file, name)
    except MediaError:
        return None
    try:
        streams = audio_streams(container)
        picked = pick([stream for stream in streams if _is_listed(stream)])
        if picked is not None:
            return _opened(found, container, streams.index(picked), name)
    except MediaError:
        pass
    container.close()
    return None


def audio_streams(container: InputContainer) -> list[Any]:
    """All audio streams, by which they are numbered."""
    # `type` and not `container.streams.audio`: that one leaves out streams without a decoder, and numbers would shift.
    return [stream for stream in container.streams if stream.type == "audio"]


def _open(file: BinaryIO, name: str) -> tuple[_Found, InputContainer]:
    try:
        found = _find(file, behind_tags(file))
        try:
            return found, _open_found(found, name)
        except MediaNotRecognised:
            start = behind_junk(file)
            if not start or start == found.start:
                raise
            found = _find(file, start)
            return found, _open_found(found, name)
    except OSError as error:  # from the file's own `read`
        let_signals_through(error)
        raise unreadable(error, name) from error


def _find(file: BinaryIO, start: int) -> _Found:
    return _Found(file, start, examine(Overlay(file, start)))


def _open_found(found: _Found, name: str) -> InputContainer:
    head = found.view().read(_LOOKED_AT_BYTES)
    raw = headerless(name) if may_be_headerless(head) else None
    container = _open_as(found, name, raw)
    if raw and container.format.name in HEADERLESS and container.format.name != raw.name:
        # FFmpeg found no header, and chose another headerless format than the file's suffix says.
        container.close()
        container = _open_as(found, name, raw, forced=raw.name)
    return container


def _open_as(found: _Found, name: str, raw: Format | None, forced: str | None = None) -> InputContainer:
    head = found.view().read(12)
    nameless = _Nameless(found.view(), f"sound.{raw.known_by}" if raw else "<none>")
    options = container_options(is_wave=head[:4] in _WAVE and head[8:12] == b"WAVE") | dict(raw.options if raw else {})
    try:
        container = av.open(nameless, mode="r", format=forced, metadata_errors="replace", container_options=options)
    except av.error.FFmpegError as error:
        if any(head[at : at + len(magic)] == magic for at, magic in _MAGIC):
            raise MediaDamaged(name, "its header or index is broken or missing") from error
        raise MediaNotRecognised(name) from error
    nameless.in_header = False
    return container


def _scale(found: _Found, info: MediaInfo) -> Scale:
    """What the samples are worth. Floats are looked at, with a container of their own."""
    if not info.codec.startswith(_FLOAT_SAMPLES):
        return Scale(found.findings.gain)
    position = found.file.tell()
    try:
        with _open_found(found, "") as container:
            return float_scale(container, cast("AudioStream", audio_streams(container)[info.audio_stream]))
    except (MediaError, IndexError):
        return USUAL
    finally:
        found.file.seek(position)


def unreadable(error: OSError, name: str) -> MediaUnreadable:
    """What reading a file has raised, as an error of ours."""
    return MediaUnreadable(name, system_reason(error, "cannot be read"))


def _choose(container: InputContainer, name: str, wanted: int | str | None) -> int:
    streams = audio_streams(container)
    if not streams:
        raise NoAudioStream(name)
    readable = [number for number, stream in enumerate(streams) if _is_listed(stream)]
    return selection.choose(selection.describe(streams), wanted, readable, name)


def _opened(found: _Found, container: InputContainer, chosen: int, name: str) -> Opened:
    streams = audio_streams(container)
    stream = cast("AudioStream", streams[chosen])
    _open_decoder(stream, name)
    codec = stream.codec_context
    info = MediaInfo(
        container=container.format.name,
        codec=codec.name,
        sample_rate_hz=codec.sample_rate,
        channels=len(codec.layout.channels),
        audio_stream=chosen,
        audio_streams=len(streams),
        tracks=selection.describe(streams),
    )
    scale = _scale(found, info)
    notes = found.findings.notes + ((scale.note,) if scale.note else ())
    return Opened(container, stream, info, found.as_written(), scale, notes)


def _is_listed(stream: Any) -> bool:
    return stream.codec_context is not None and stream.codec_context.name in CODECS


def _open_decoder(stream: AudioStream, name: str) -> None:
    if not _is_listed(stream):
        known = stream.codec_context is not None
        raise MediaNotRecognised(name, f"its audio is {stream.codec_context.name}" if known else "its codec is unknown")
    codec = stream.codec_context
    check_rate(codec.sample_rate, name)
    codec.thread_count = 1  # a file is one stream of work, and a decoder process may make no threads
    try:
        codec.open(strict=False)
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaNotRecognised(name, f"no decoder accepts its {codec.name} audio") from error


def check_rate(rate_hz: int, name: str) -> None:
    """Raises MediaNotRecognised for a sample rate that no recording has."""
    # 0: some codecs tell their rate with the first frame, which is checked again.
    if rate_hz and not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise MediaNotRecognised(name, f"a sample rate of {rate_hz} Hz is no recording of speech")
