"""Whether a file ends before its audio does: the length that its header states of THIS stream against what came.

One rule for every container; the table says which statements of it can be trusted. Nothing here decides how much is
decoded.

    evidence                                        told as cut off
    a length in seconds of this stream              if clearly more than what was decoded; if the file visibly ends in
                                                    the middle of something, already if a little more
    a length in bytes, of samples or of packets     if what is missing is worth MIN_MISSING_S of sound
    a last element (page, packet, block, frame)     if it is not whole
    nothing                                         never (docs/reference/media.md lists these, with the reason)

A length that was written before it was known (`structure.is_placeholder`) is none, and what lies behind the end by the
header (tags, padding, junk) is no part of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from autorag_whisper.audio import streamed, structure
from autorag_whisper.audio.structure import NOTHING, StatedLength
from autorag_whisper.audio.timeline import MAX_GAP_S
from autorag_whisper.domain.interruptions import let_signals_through

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.audio.stream import AudioStream
    from av.packet import Packet

    from autorag_whisper.audio.container import Opened

START_AT_ZERO = frozenset(("matroska", "mov"))
"""Containers whose timeline begins at 0 by definition. In the others a clock that begins anywhere is normal."""

SHORT_BY_S, SHORT_BY_SHARE = 0.5, 0.001
"""Encoders' delays, padding and rounding are less than these."""

MIN_MISSING_S = 0.1
_STREAMED_RM_S = 3600.0
"""What FFmpeg's own writer of RealMedia says where it cannot go back."""

_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class _Trust:
    """What of a container can be trusted. `seconds`: FFmpeg read the stream's length from a header. `read`: a reader of
    ours. `short_packet`: a last packet that FFmpeg flags as short was cut off. `frames`: packets are frames that tell
    their own length."""

    seconds: bool = False
    read: Callable[[BinaryIO], StatedLength] | None = None
    short_packet: bool = True
    frames: bool = False


_BY_BYTES = {
    "wav": structure.riff, "w64": structure.wave64, "aiff": structure.aiff, "au": structure.au, "caf": structure.caf,
    "sox": structure.sox, "voc": structure.voc, "xwma": structure.riff, "qcp": structure.riff,
}  # fmt: skip
_BY_SECONDS = ("flac", "tta", "wv", "ape", "mpc", "mpc8", "tak", "oma", "nistsphere", "rm", "mxf", "mov")
_BY_FRAMES = ("aac", "ac3", "eac3", "loas", "dts", "amr", "amrnb", "amrwb")
_BY_STRUCTURE = {
    "avi": structure.avi, "asf": structure.asf, "flv": structure.flv, "ogg": streamed.ogg,
    "mpegts": streamed.transport_stream, "mpeg": streamed.programme_stream,
}  # fmt: skip
_TABLE: dict[str, _Trust] = {
    # Here FFmpeg reads to the end of the file whatever the header says: a short packet shows nothing.
    **{name: _Trust(read=reader, short_packet=False) for name, reader in _BY_BYTES.items()},
    **{name: _Trust(read=reader, short_packet=False) for name, reader in _BY_STRUCTURE.items()},
    **{name: _Trust(seconds=True) for name in _BY_SECONDS},
    **{name: _Trust(frames=True) for name in _BY_FRAMES},
    "mp3": _Trust(read=streamed.mp3, frames=True),
    "matroska": _Trust(read=structure.matroska),
    "nut": _Trust(short_packet=False),
    # Read in pieces of a fixed size, of which the last is short in a whole file too.
    **{name: _Trust(short_packet=False) for name in ("g726", "g726le", "sds")},
}
_OTHER = _Trust()


def kinds(opened: Opened) -> frozenset[str]:
    """FFmpeg's names of the container; `mov,mp4,m4a` are three."""
    return frozenset(opened.info.container.split(","))


def origin_s(opened: Opened) -> float:
    """The time in the container that is 0 in the file."""
    start_s = (opened.container.start_time or 0) / 1e6
    is_zero = kinds(opened) & START_AT_ZERO and 0 <= start_s <= MAX_GAP_S
    return 0.0 if is_zero else start_s


@dataclass(slots=True)
class Ending:
    """How reading a stream ended. `packet`: its last one; `is_short`: FFmpeg says that it is not whole; `failed`: it
    could not be decoded; `broke_off`: an error came behind it, in the middle of something or at junk."""

    packet: Packet[AudioStream] | None = None
    is_short: bool = False
    failed: bool = False
    broke_off: bool = False


def ends_early(opened: Opened, decoded_s: float, ending: Ending) -> bool:
    """Whether audio is missing at the end of a recording, of which `decoded_s` came."""
    trust = next((_TABLE[name] for name in sorted(kinds(opened)) if name in _TABLE), _OTHER)
    try:
        stated = _stated_length(trust, opened)
    except (OSError, IndexError) as error:
        let_signals_through(error)
        stated = replace(NOTHING, is_cut=True)
    is_cut = stated.is_cut or (trust.short_packet and ending.broke_off)
    if ending.packet is not None and any(bytes(ending.packet)):  # zeros are padding
        is_cut |= trust.short_packet and ending.is_short
        is_cut |= trust.frames and _is_part_of_a_frame(opened.info.codec, ending.packet)
    # A last packet that fails may be junk: it only counts beside a length.
    is_cut |= ending.failed and stated.seconds is not None
    return is_short(replace(stated, is_cut=is_cut), decoded_s)


def is_short(stated: StatedLength, decoded_s: float) -> bool:
    """The rule of the table above."""
    missing_bytes = stated.whole_bytes - stated.there_bytes
    worth_s = decoded_s * missing_bytes / max(1, stated.there_bytes)
    lacks_bytes = worth_s > MIN_MISSING_S or (missing_bytes > 0 and not decoded_s)
    if stated.seconds is not None:
        missing_s = stated.seconds - decoded_s
        clearly = missing_s > SHORT_BY_S + SHORT_BY_SHARE * stated.seconds
        return clearly or ((stated.is_cut or lacks_bytes) and missing_s > MIN_MISSING_S)
    return lacks_bytes or (stated.is_cut and not stated.whole_bytes)


def _stated_length(trust: _Trust, opened: Opened) -> StatedLength:
    stated = trust.read(opened.file) if trust.read else NOTHING
    seconds = _stream_seconds(opened, trusted=trust.seconds)
    if "mov" in kinds(opened) and b"mvex" in _index_of(opened.file):
        # The parts of a fragmented file are counted as they are found.
        stated, seconds = structure.fragments(opened.file), None
    return stated if seconds is None else replace(stated, seconds=seconds)


def _stream_seconds(opened: Opened, *, trusted: bool) -> float | None:
    """Where this stream ends by a header that FFmpeg has read, on the file's timeline."""
    stream, names = opened.stream, kinds(opened)
    if trusted and stream.duration and stream.time_base:
        start_s = float((stream.start_time or 0) * stream.time_base) if names & START_AT_ZERO else 0.0
        seconds = float(stream.duration * stream.time_base)
        return None if "rm" in names and seconds == _STREAMED_RM_S else start_s + seconds
    if "matroska" in names and (match := _CLOCK.search(stream.metadata.get("DURATION", ""))):
        hours, minutes, rest = match.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(rest)
    return None


def _index_of(file: BinaryIO) -> bytes:
    """The `moov` box of an MP4, where it is not too large to be that of a fragmented one."""
    at = 0
    for _ in range(64):
        head = structure.read_at(file, at, 16)
        size = int.from_bytes(head[:4], "big")
        if head[4:8] == b"moov":
            return structure.read_at(file, at, min(size, 1 << 20))
        size = int.from_bytes(head[8:16], "big") if size == 1 else size
        if size < 8:
            break
        at += size
    return b""


def _is_part_of_a_frame(codec: str, last: Packet[AudioStream]) -> bool:
    wanted = streamed.frame_length(codec, bytes(last)[:8])
    return wanted > last.size
