"""What a run tells its caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.errors import AutoragWhisperError
    from autorag_whisper.domain.transcript import Segment, Transcript


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one file is, in seconds of its own timeline.

    `audio_s`: everything before it is recognised, or was found to be silent; it never decreases, and the last value of
    a file that succeeds is its duration. `total_s`: how much there will be, by the header or by what was read if that
    is more; None while the header says nothing. `source` tells the files of a run apart, `name` is for people.
    """

    source: MediaSource
    audio_s: float
    total_s: float | None

    @property
    def name(self) -> str:
        """The source's name: two files of a run may have the same."""
        return self.source.name


@dataclass(frozen=True, slots=True)
class FileDone:
    """One file of `transcribe_many` that was transcribed."""

    source: MediaSource
    transcript: Transcript
    error: None = field(default=None, init=False)

    def result(self) -> Transcript:
        """The transcript."""
        return self.transcript


@dataclass(frozen=True, slots=True)
class FileFailed:
    """One file of `transcribe_many` that failed; the others go on."""

    source: MediaSource
    error: AutoragWhisperError
    transcript: None = field(default=None, init=False)

    def result(self) -> NoReturn:
        """Raises the error."""
        raise self.error


FileOutcome = FileDone | FileFailed
"""One file of `transcribe_many`: exactly one of `transcript` and `error` is not None; `result()` returns or raises."""

OnProgress = Callable[[Progress], None]
"""Called in the thread that iterates, never while a lock is held."""

OnSegment = Callable[["MediaSource", "Segment"], None]
"""Called as `OnProgress` is, with each segment of each file, of one file in order."""
