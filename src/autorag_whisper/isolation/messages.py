"""What a decoder process says, and how it is read: JSON and samples, in records of a SOCK_SEQPACKET socket.

A record's first byte is its kind; in lower case it is a part of what the next ones go on with. The process may be in a
stranger's hands, so nothing is unpickled and every value is checked: what is no message of ours raises ValueError.

| kind | behind it |
|---|---|
| `I` | JSON: what the container says (`Info`) |
| `S` | float32 samples |
| `D` | JSON: it is through (`End`) |
| `E` | JSON: an error of the package, by name and fields |
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.audio import AudioTrack, MediaDamage, MediaInfo
from autorag_whisper.domain.decoding import DecodingLimits
from autorag_whisper.domain.errors import (
    AudioStreamNotFound,
    MediaDamaged,
    MediaEmpty,
    MediaError,
    MediaNotRecognised,
    MediaTooLong,
    MediaUnreadable,
    NoAudioStream,
)
from autorag_whisper.domain.media_errors import DecoderDied, MediaOverLimit, ReaderFailed
from autorag_whisper.domain.notes import Note, NoteKind

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

INFO, SAMPLES, END, ERROR = b"I", b"S", b"D", b"E"
PIECE_BYTES = 1 << 16
"""Of a record at most: what every socket takes at once."""
MOST_BYTES = {INFO: 1 << 20, SAMPLES: 1 << 20, END: 1 << 20, ERROR: 1 << 16}
"""Of a message in all; a block has two seconds of audio."""
_MOST_TEXT = 2000
STATUS = struct.Struct("i")
"""How a process ended, on its leash, as `subprocess` tells it: minus the signal, or the exit code."""

_ERRORS: dict[str, type[MediaError]] = {
    error.__name__: error
    for error in (
        AudioStreamNotFound,
        DecoderDied,
        MediaDamaged,
        MediaEmpty,
        MediaNotRecognised,
        MediaOverLimit,
        MediaTooLong,
        MediaUnreadable,
        NoAudioStream,
        ReaderFailed,
    )
}


@dataclass(frozen=True, slots=True)
class Task:
    """What to decode: bytes [start, start + size) of the file that comes with it. `name`: for messages, and the suffix
    of a format without a header."""

    name: str
    start: int
    size: int
    limits: DecodingLimits
    audio_stream: int | str | None = None
    max_duration_s: float | None = None

    def to_json(self) -> bytes:
        """As it travels."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Task:
        """From the reader's process, which is ours."""
        told = json.loads(data)
        return cls(**(told | {"limits": DecodingLimits(**told["limits"])}))


@dataclass(frozen=True, slots=True)
class Info:
    """Known once the container is open."""

    media: MediaInfo
    expected_duration_s: float | None


@dataclass(frozen=True, slots=True)
class End:
    """Known when all was decoded."""

    damage: MediaDamage
    notes: tuple[Note, ...]


def send(line: socket.socket, kind: bytes, content: bytes | memoryview) -> None:
    """One message. Raises OSError where nobody reads it."""
    view = memoryview(content)
    while len(view) > PIECE_BYTES:
        line.sendmsg([kind.lower(), view[:PIECE_BYTES]])
        view = view[PIECE_BYTES:]
    line.sendmsg([kind, view])


def info_json(info: Info) -> bytes:
    """As `Info` travels."""
    return json.dumps(asdict(info)).encode()


def info_of(data: bytes) -> Info:
    """Raises ValueError."""
    told = _object(json.loads(data))
    media = _object(told["media"])
    tracks = [_track(one) for one in _list(media["tracks"])]
    expected_s = told["expected_duration_s"]
    found = MediaInfo(
        container=_text(media["container"]),
        codec=_text(media["codec"]),
        sample_rate_hz=_whole(media["sample_rate_hz"]),
        channels=_whole(media["channels"]),
        audio_stream=_whole(media["audio_stream"]),
        audio_streams=_whole(media["audio_streams"]),
        tracks=tuple(tracks),
    )
    return Info(found, None if expected_s is None else _number(expected_s))


def end_json(end: End) -> bytes:
    """As `End` travels."""
    return json.dumps(asdict(end)).encode()


def end_of(data: bytes) -> End:
    """Raises ValueError."""
    told = _object(json.loads(data))
    damage, notes = _object(told["damage"]), _list(told["notes"])
    return End(
        MediaDamage(_whole(damage["damaged_packets"]), _number(damage["gap_s"]), _flag(damage["truncated"])),
        tuple(Note(NoteKind(_text(_object(note)["kind"])), _text(note["text"])) for note in notes),
    )


def error_json(error: MediaError) -> bytes:
    """As an error travels: without the file's name, which the reader knows."""
    told = {item.name: getattr(error, item.name) for item in fields(error) if item.name != "name"}
    return json.dumps({"error": type(error).__name__, "fields": told}).encode()


def error_of(data: bytes, name: str) -> MediaError:
    """The error about the file `name`. Raises ValueError."""
    told = _object(json.loads(data))
    kind = _ERRORS.get(_text(told["error"]))
    if kind is None:
        raise ValueError(f"no error of a decoder: {told['error']}")
    given = {key: _field(value) for key, value in _object(told["fields"]).items()}
    if given.keys() != {item.name for item in fields(kind)} - {"name"}:
        raise ValueError(f"not the fields of {kind.__name__}: {', '.join(given)}")
    made: Mapping[str, Any] = given
    return kind(name, **made)


def is_known(error: MediaError) -> bool:
    """Whether it can travel."""
    return _ERRORS.get(type(error).__name__) is type(error)


def _track(data: Any) -> AudioTrack:
    told = _object(data)
    return AudioTrack(
        number=_whole(told["number"]),
        codec=_text(told["codec"]),
        channels=_whole(told["channels"]),
        language=_text(told["language"]),
        title=_text(told["title"]),
        is_default=_flag(told["is_default"]),
    )


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("no object where one was expected")  # noqa: TRY004 - of a message, whatever is wrong
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("no list where one was expected")  # noqa: TRY004 - as above
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("no text where one was expected")  # noqa: TRY004 - as above
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("no count where one was expected")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < float("inf"):
        raise ValueError("no number where one was expected")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("no flag where one was expected")  # noqa: TRY004 - as above
    return value


def _field(value: Any) -> str | float | tuple[str, ...]:
    if isinstance(value, list):
        return tuple(_text(one)[:_MOST_TEXT] for one in value[:_MOST_TEXT])
    return _text(value)[:_MOST_TEXT] if isinstance(value, str) else value if type(value) is int else _number(value)
