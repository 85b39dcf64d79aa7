"""What the two processes say to each other, pickled over a socket that only they have.

The socket is a pair made by the parent, one end inherited by the child: nobody else can write to it, which is what
makes pickle acceptable here. Checkpoints, which the parent only keeps for the next process, are bytes of their own
format (`transcriber.checkpoint_format`): a package that was upgraded in between reads them, or refuses them by name.

```
  parent  Start or Load --------------------------------------> child
          Credit (the caller has read so many)
          Stop (end the job now) ------------------------------->
          Ask (at any time; Answer comes back)
          Quit ------------------------------------------------>
  child   Ready; of a job: FileStarted, ChunkDone, Event, SpanMade, Measured, at its end Ready again; always Heartbeat
```

Any number of jobs is on at once. Every message of a job has its number: what comes of another job is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.device import CpuPin
    from autorag_whisper.domain.errors import AutoragWhisperError
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import Segment, Transcript
    from autorag_whisper.telemetry import Stretch
    from autorag_whisper.transcriber.kept_chunks import Written
    from autorag_whisper.transcriber.outcome import Progress

UNREAD_SEGMENTS, UNREAD_OUTCOMES = 256, 16
"""What a child has told of a job of one file, or of several, and its caller has not read, at most: it waits then."""


@dataclass(frozen=True, slots=True)
class Start:
    """Do these files. `done`: file -> chunk -> its checkpoint, as an earlier process has written it.

    `streams`: segments are told, of a job that is one file; the first `told` of them an earlier process has told.
    `unread`: what the caller has not read of that and of outcomes.

    `has_spool`: an open file comes behind this message, of which some of the `files` are parts (`worker.spool`);
    `spool` is it in the process that has it.
    """

    job: int
    files: tuple[MediaSource, ...]
    options: TranscribeOptions
    model: str
    device_hint: str | None
    done: Mapping[int, Mapping[int, Written]]
    pin: CpuPin | None = None
    has_spool: bool = False
    spool: int = -1
    streams: bool = False
    priority: int = 0
    told: int = 0
    unread: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """Make the model resident: a job without files."""

    job: int
    model: str
    device_hint: str | None
    pin: CpuPin | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """End the job now; batches in flight end in the background."""

    job: int


@dataclass(frozen=True, slots=True)
class Credit:
    """So many segments or outcomes more may be told."""

    job: int
    count: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Where `model` would run now; None: where anything would. Answered at any time, also while a job is on."""

    number: int
    model: str | None = None
    device_hint: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """To an `Ask` of that number. `error`: why there is no such model."""

    number: int
    device: str = ""
    compute_type: str = ""
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Quit:
    """End the process, after the batch in flight."""


@dataclass(frozen=True, slots=True)
class Ready:
    """That job is over; with 0: the process takes jobs. `error`: what ended it before its files had their outcomes.

    `lingers`: it was stopped, and batches of it are still in the engine; `Settled` says when they are not.
    """

    job: int = 0
    error: BaseException | None = None
    lingers: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing of a job that was stopped is in the engine any more."""

    job: int


@dataclass(frozen=True, slots=True)
class FileStarted:
    """A file was opened: from now on it may be the one that kills the process."""

    job: int
    file: int


@dataclass(frozen=True, slots=True)
class ChunkDone:
    """A chunk is done. `written`: its checkpoint."""

    job: int
    file: int
    chunk: int
    written: Written


@dataclass(frozen=True, slots=True)
class Event:
    """Something for the caller, of a file: a segment, its end, or how far it is."""

    job: int
    file: int
    what: Segment | FileEnded | Progress


@dataclass(frozen=True, slots=True)
class FileEnded:
    """A file's end."""

    transcript: Transcript | None = None
    error: AutoragWhisperError | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The process is alive: its memory, and the pin that it stays on the CPU under, if any.

    `waiting`: jobs that do nothing until their callers have read what they were told.
    """

    resident_bytes: int
    pin: CpuPin | None = None
    device: str = "cpu"
    waiting: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SpanMade:
    """A span that the caller's process makes in its own trace. `job` 0: it is no job's."""

    job: int
    name: str
    when: Stretch
    attributes: Mapping[str, Any]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """A value for one of the metrics: `kind` is `duration` or `count`. `job` 0: it is no job's."""

    job: int
    kind: str
    name: str
    value: float
    attributes: Mapping[str, Any] = field(default_factory=dict)


FromParent = Start | Load | Credit | Stop | Ask | Quit
FromChild = Ready | Settled | FileStarted | ChunkDone | Event | Heartbeat | SpanMade | Measured | Answer
