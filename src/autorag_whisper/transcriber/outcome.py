"""What a run tells its caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.errors import AutoragWhisperError
    from autorag_whisper.domain.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one file is: seconds of audio finished, of how many by its header (None if that says nothing)."""

    name: str
    audio_s: float
    total_s: float | None


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """One file of `transcribe_many`: its transcript, or the error that it failed with."""

    source: MediaSource
    transcript: Transcript | None = None
    error: AutoragWhisperError | None = None


OnProgress = Callable[[Progress], None]
"""Called in the thread that iterates, never while a lock is held."""
