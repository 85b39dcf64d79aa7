"""Whether a file of unknown name is media: by its first bytes, and then by decoding the first of its audio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.audio.faults import fault_of
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.domain.errors import MediaError
from autorag_whisper.domain.interruptions import let_signals_through

if TYPE_CHECKING:
    from pathlib import Path

_LOOK_BYTES = 4096
_LEAST_SAMPLES = SAMPLE_RATE_HZ // 10
"""Of less FFmpeg finds some in files that are no media at all."""

_OTHERS = (
    b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ",
    b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd", b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"SQLite format 3", b"II*\x00",
    b"MM\x00*", b"\xd0\xcf\x11\xe0", b"BM", b"\x00asm", b"\x80\x02", b"\x80\x04", b"\x93NUMPY", b"GGUF", b"MThd",
)  # fmt: skip
"""How files begin that are no media and are common. To FFmpeg many of them look like a damaged MP3."""


def holds_audio(path: Path) -> bool:
    """Whether audio can be decoded from the file at `path`, undamaged at its beginning.

    Raises nothing of its own; what a signal handler raises meanwhile goes through.
    """
    source = MediaSource.from_path(path)
    try:
        with source.open() as file:
            start = file.read(_LOOK_BYTES)
            if start.startswith(_OTHERS) or _is_text(start):
                return False
            file.seek(0)
            from autorag_whisper.audio.decode import MediaDecoder

            with MediaDecoder(file, source.name) as decoder:
                heard = 0
                for block in decoder:
                    heard += len(block)
                    if heard >= _LEAST_SAMPLES:
                        break
                return heard >= _LEAST_SAMPLES and not decoder.damage
    except (MediaError, OSError) as error:
        let_signals_through(error)
        return False
    except Exception as error:
        if fault_of(error, source.name) is None:
            raise
        return True  # it is transcribed, and so the user is told what is wrong with it


def _is_text(start: bytes) -> bool:
    """Whether there is nothing in it but what text is made of."""
    if b"\0" in start:
        return False
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return error.start > len(start) - 4  # a letter that is cut off
    return True
