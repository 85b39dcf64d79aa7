"""What the reader of a result should know, though nothing failed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NoteKind(StrEnum):
    """What a note is about; programs may depend on these values."""

    OTHER_AUDIO_STREAMS = "other_audio_streams"
    """The file has audio streams besides the one that was transcribed."""


@dataclass(frozen=True, slots=True)
class Note:
    """One fact about a result: `kind` for programs, `text` for people, one line without a full stop."""

    kind: NoteKind
    text: str
