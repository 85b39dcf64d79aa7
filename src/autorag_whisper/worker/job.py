"""A job as the parent keeps it: what is left of it, what is done, and who may be at fault for a death."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from autorag_whisper.device.placement import hint_text
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.transcriber.outcome import Progress
from autorag_whisper.worker.messages import Load, Start
from autorag_whisper.worker.spool import Spool, refused
from autorag_whisper.worker.supervision import Round, Standing, next_round, probation

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.device import CpuPin
    from autorag_whisper.domain.transcript import Segment
    from autorag_whisper.transcriber.kept_chunks import KeptChunks, Written
    from autorag_whisper.worker.supervision import Limits


START = -1
"""In place of a file: what a job does before its first one is opened. A model that is loaded may kill a process too."""


@dataclass(frozen=True, slots=True)
class FileInHand:
    """A file that a process has opened, when (nanoseconds since the epoch), and how much of it is recognised."""

    source: MediaSource
    begun_ns: int
    audio_s: float


@dataclass(slots=True)
class WorkerJob:
    """Files to transcribe, in rounds: what a process leaves undone goes to the next. Without files: a model to load.

    Of jobs on the same model the one with the highest `priority` goes first.

    A file is counted by its place in `files`; a process counts those of its round.

    `kept`, of a job that is one file, has the chunks that are done already, and is given each that is done.

    Who is at fault for a death is known only where nothing else was in hand: that is a strike. All that was in hand is
    suspect, until it has got on (`supervision.probation`).
    """

    files: tuple[MediaSource, ...]
    options: TranscribeOptions | None
    model: str
    device_hint: str | None
    priority: int = 0
    kept: KeptChunks | None = None
    error: BaseException | None = None
    spool: Spool | None = None
    last_death: str = ""
    _sent: tuple[MediaSource, ...] = ()
    _left: list[int] = field(default_factory=list)
    _round: Round = field(default_factory=lambda: Round(()))
    _in_hand: set[int] = field(default_factory=set)
    _strikes: dict[int, int] = field(default_factory=dict)
    _deaths: dict[int, int] = field(default_factory=dict)
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _done: dict[int, dict[int, Written]] = field(default_factory=dict)
    _segments: int = 0
    _begun_ns: dict[int, int] = field(default_factory=dict)
    _furthest_s: dict[int, float] = field(default_factory=dict)
    _loaded: bool = False
    _is_on: bool = False
    _has_opened: bool = False
    _crashes: dict[int, int] = field(default_factory=dict)
    _suspects: dict[int, int] = field(default_factory=dict)
    _was_on_trial: bool = False
    _displaced: int = 0  # processes in a row that were replaced before they had done anything

    def __post_init__(self) -> None:
        self._left = list(range(len(self.files)))
        self._loaded = bool(self.files)
        if self.kept is not None and (done := self.kept.done()):
            self._done[0] = dict(done)

    def carry(self, check: Callable[[], object]) -> None:
        """Put audio that has no path where another process can read it. In the caller's thread: it may be his."""
        if all(source.path is not None for source in self.files):
            return
        try:
            self.spool = spool = Spool()
        except OSError as error:  # no room, no folder for temporary files, too many open ones
            self._sent = tuple(source if source.path is not None else refused(source, error) for source in self.files)
            return
        self._sent = tuple(source if source.path is not None else spool.add(source, check) for source in self.files)

    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return not self._left and self._loaded

    def next_round(self, limits: Limits) -> tuple[FileInHand, ...]:
        """Choose the files that go next; what comes back are those that go no more: they are poison."""
        self._round = next_round(tuple(self._left), self._strikes, self._deaths, limits, self._suspects)
        for file in self._round.poisoned:
            self._forget(file)
        return tuple(self._as_begun(file) for file in self._round.poisoned)

    def in_hand(self) -> tuple[FileInHand, ...]:
        """The files that the process has opened and not ended."""
        return tuple(self._as_begun(file) for file in sorted(self._in_hand))

    def message(self, number: int, pin: CpuPin | None, unread: int = 0) -> Start | Load:
        """What a process is told. `unread`: what the job's caller has not read of what earlier ones told."""
        self._is_on, self._has_opened = True, False
        if not self.files:
            return Load(number, self.model, hint_text(self.device_hint), pin)
        sent = self._sent or self.files
        files = tuple(_absolute(sent[file]) for file in self._round.files)
        done = {n: self._done[file] for n, file in enumerate(self._round.files) if file in self._done}
        options, hint = self.options or TranscribeOptions(), hint_text(self.device_hint)
        one = len(self.files) == 1
        return Start(
            number,
            files,
            options,
            self.model,
            hint,
            done,
            pin,
            has_spool=self.spool is not None,
            streams=one,
            priority=self.priority,
            told=self._segments if one else 0,
            unread=unread,
        )

    def begun(self, at: int, now_ns: int) -> None:
        """The process has opened a file."""
        file = self._round.files[at]
        self._has_opened = True
        self._clear(START)
        self._in_hand.add(file)
        self._begun_ns.setdefault(file, now_ns)

    def noted(self, at: int, chunk: int, written: Written) -> None:
        """A chunk is done, and need not be done again."""
        file = self._round.files[at]
        header, line = written
        header = self._headers.setdefault(header, header)  # the same object, also in the next process's message
        self._done.setdefault(file, {})[chunk] = (header, line)
        if self.kept is not None:
            self.kept.add(chunk, (header, line))
        self._strikes.pop(file, None)
        self._displaced = 0
        if file in self._suspects:
            self._suspects[file] -= 1
            if self._suspects[file] <= 0:
                self._clear(file)

    def over(self, at: int) -> MediaSource:
        """A file has its outcome."""
        file = self._round.files[at]
        self._displaced = 0
        self._forget(file)
        return self.files[file]

    def is_new(self, segment: Segment) -> bool:
        """Whether this segment was not told by an earlier process: they come in order, and the same each time."""
        new = segment.index >= self._segments
        self._segments = max(self._segments, segment.index + 1)
        return new

    def further(self, at: int, told: Progress) -> Progress:
        """How far a file is. A process that begins a file again starts behind what an earlier one has told."""
        file = self._round.files[at]
        audio_s = self._furthest_s[file] = max(told.audio_s, self._furthest_s.get(file, 0.0))
        total_s = None if told.total_s is None else max(told.total_s, audio_s)
        return Progress(self.files[file], audio_s, total_s)

    def ended(self, error: BaseException | None) -> None:
        """The process is done with the round."""
        self.error = error
        self._loaded = True
        self._clear(START)
        self._is_on = self._was_on_trial = False
        self._in_hand.clear()

    @property
    def in_flight(self) -> tuple[int, ...]:
        """What may be at fault if the process dies now: files, or `START`."""
        if not self._is_on:
            return ()
        return tuple(sorted(self._in_hand)) if self._has_opened else (START,)

    def standing(self, on_s: float = 0.0) -> Standing:
        """How it stands with the process, in which it has been on for so long."""
        tried = {*self._round.files, START} if self._is_on and self._suspects else self._suspects.keys()
        is_suspect = not self._suspects.keys().isdisjoint(tried)
        return Standing(self._is_on, is_suspect, self._was_on_trial, on_s)

    def died(self, reason: str, *, alone: bool, ready: bool) -> None:
        """The process has ended. `alone`: nothing was in it but one thing of this job's.

        `ready`: it had taken jobs; one that had not is nobody's fault, and not begun for ever.
        """
        self.last_death = reason
        self._was_on_trial = self.standing().is_suspect
        if not ready:
            self._strikes[START] = self._strikes.get(START, 0) + 1
        for file in self.in_flight if ready else ():
            crashes = self._crashes[file] = self._crashes.get(file, 0) + 1
            self._suspects[file] = probation(crashes)
            if alone:
                self._strikes[file] = self._strikes.get(file, 0) + 1
                self._deaths[file] = self._deaths.get(file, 0) + 1
        self._is_on = False
        self._in_hand.clear()

    def displaced(self, reason: str) -> None:
        """Its process was replaced before it had done anything, of any job."""
        self.last_death = reason
        self._displaced += 1

    def cannot_begin(self, limits: Limits) -> bool:
        """Whether processes die before they have opened a file, or are over a limit before they have done anything: no
        file is at fault."""
        return max(self._strikes.get(START, 0), self._displaced) >= limits.strikes

    def _as_begun(self, file: int) -> FileInHand:
        return FileInHand(self.files[file], self._begun_ns.get(file, 0), self._furthest_s.get(file, 0.0))

    def _clear(self, file: int) -> None:
        """It is no suspect any more."""
        self._suspects.pop(file, None)
        if file == START:
            self._strikes.pop(START, None)

    def _forget(self, file: int) -> None:
        self._left.remove(file)
        self._clear(file)
        self._in_hand.discard(file)
        self._done.pop(file, None)


def _absolute(source: MediaSource) -> MediaSource:
    """The other process has a folder of its own."""
    return source if source.path is None else replace(source, path=source.path.absolute())
