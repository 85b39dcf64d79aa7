"""What the two processes say to each other, pickled over a socket that only they have.

The socket is a pair made by the parent, one end inherited by the child: nobody else can write to it, which is what
makes pickle acceptable here. What the parent only keeps (chunks that are done) it keeps as bytes, unread.

```
  parent  Start ------------------------------------------------> child
          Stop (at the next batch) -------------------------->
          Quit -------------------------------------------->
  child   Ready; then of a job: Begun, Noted, Told, Ready again at its end; all the time Beat
```
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from autorag_whisper.domain.device import CpuPin
    from autorag_whisper.domain.errors import AutoragWhisperError
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import Segment, Transcript
    from autorag_whisper.telemetry import Stretch
    from autorag_whisper.transcriber.outcome import Progress


@dataclass(frozen=True, slots=True)
class Start:
    """Do these files. `done`: file -> chunk -> what an earlier process pickled of it (`transcriber.book.Finished`)."""

    job: int
    files: tuple[Path, ...]
    options: TranscribeOptions
    model: str
    device_hint: str | None
    done: Mapping[int, Mapping[int, bytes]]
    pin: CpuPin | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """Make the model resident: a job without files."""

    job: int
    model: str
    device_hint: str | None
    pin: CpuPin | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """End the job at the next batch."""

    job: int


@dataclass(frozen=True, slots=True)
class Quit:
    """End the process, after the batch in flight."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Nothing is being done. `error`: what ended the last job before its files had their outcomes."""

    job: int = 0
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A file was opened: from now on it may be the one that kills the process."""

    job: int
    file: int


@dataclass(frozen=True, slots=True)
class Noted:
    """A chunk is done."""

    job: int
    file: int
    chunk: int
    finished: bytes


@dataclass(frozen=True, slots=True)
class Told:
    """What the run told of a file: a segment, its end, or how far it is."""

    job: int
    file: int
    what: Segment | Over | Progress


@dataclass(frozen=True, slots=True)
class Over:
    """A file's end."""

    transcript: Transcript | None = None
    error: AutoragWhisperError | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """The process is alive: its memory, and the pin that it stays on the CPU under, if any."""

    resident_bytes: int
    pin: CpuPin | None = None
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class SpanMade:
    """A span that the caller's process makes in its own trace."""

    name: str
    when: Stretch
    attributes: Mapping[str, Any]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """A value for one of the metrics: `kind` is `duration` or `count`."""

    kind: str
    name: str
    value: float
    attributes: Mapping[str, Any] = field(default_factory=dict)


FromParent = Start | Load | Stop | Quit
FromChild = Ready | Begun | Noted | Told | Beat | SpanMade | Measured
