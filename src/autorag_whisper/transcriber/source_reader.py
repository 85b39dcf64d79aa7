"""The thread of a run that reads its files, one after the other, a step at a time and each when it is told to.

A pipe that gives nothing holds up this thread alone. It is a daemon: no call can end a read that is blocked, and
whoever leaves its run does not wait for that for longer than `PATIENCE_S`; it ends, and closes the file, when the read
comes back.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from autorag_whisper.audio.faults import fault_of
from autorag_whisper.transcriber.own_threads import mark_as_ours
from autorag_whisper.transcriber.reading import Reader, ReadSoFar, chunking_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.errors import AutoragWhisperError
    from autorag_whisper.engines.base import RecognizerSpec
    from autorag_whisper.isolation.decoder import Decoder
    from autorag_whisper.transcriber.checkpoint import Checkpoint
    from autorag_whisper.transcriber.run_request import RunRequest

PATIENCE_S = 1.0
_STEP_S = 0.1
"""Wall time after which a step ends without a chunk: progress is told, and whoever is to leave leaves."""


@dataclass(frozen=True, slots=True)
class Given:
    """A source as the caller's thread gives it, with the chunks of it that an earlier run has done.

    `is_last`: it is known that no other comes.
    """

    source: MediaSource
    checkpoints: Mapping[int, Checkpoint] = field(default_factory=dict)
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class FileBegun:
    """A file is about to be opened; `index` counts those of the run."""

    index: int
    given: Given


@dataclass(frozen=True, slots=True)
class FileRead:
    """A step: the chunks that it closed; `decoder` with the last of the file, which is closed by then."""

    index: int
    chunks: list[SpeechChunk]
    so_far: ReadSoFar
    decoder: Decoder | None = None


@dataclass(frozen=True, slots=True)
class FileUnreadable:
    """A file that failed while it was read."""

    index: int
    error: AutoragWhisperError


@dataclass(frozen=True, slots=True)
class ReadingOver:
    """Nothing more is read: all was (`error` None), or an exception of the program's own ended it."""

    error: BaseException | None = None


ReadingEvent = FileBegun | FileRead | FileUnreadable | ReadingOver


class _Stopped(Exception):  # noqa: N818 - no error: the run is left
    pass


class SourceReader:
    """Reads for one run; `post` is told what came of it, `ask` that a source is wanted.

    `grant`, `skip` and `stop` are for the scheduler's thread, `give` and `join` for the one that iterates the run.
    `last` is the file that was begun last.
    """

    def __init__(
        self,
        request: RunRequest,
        spec: RecognizerSpec,
        post: Callable[[ReadingEvent], object],
        ask: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._request, self._post, self._ask, self._clock = request, post, ask, clock
        self._rules = chunking_rules(spec, request.options)
        self._context = request.telemetry.current()
        self._grants: SimpleQueue[bool] = SimpleQueue()
        self._given: SimpleQueue[Given | None] = SimpleQueue()
        self._skipped: set[int] = set()
        self._stopped = False
        self.wants_source = False
        self.last: FileBegun | None = None
        self._thread = Thread(target=self._serve, name="autorag-whisper-reader", daemon=True)

    def start(self) -> None:
        """Begin with a first step, for which no grant is needed."""
        self.grant()
        self._thread.start()

    def grant(self) -> None:
        """One more step."""
        self._grants.put(item=True)

    def skip(self, index: int) -> None:
        """A file has failed: no more of it is wanted."""
        self._skipped.add(index)

    def stop(self) -> None:
        """End at the next block."""
        self._stopped = True
        self._grants.put(item=False)
        self._given.put(None)

    def give(self, given: Given | None) -> None:
        """The source that was wanted; None where there is no other."""
        self.wants_source = False
        self._given.put(given)

    def join(self) -> None:
        """Wait until it has ended, but not for a read that is blocked."""
        if self._thread.ident is not None:
            self._thread.join(PATIENCE_S)

    # ------------------------------------------------------------ its own thread

    def _serve(self) -> None:
        mark_as_ours()
        try:
            with self._request.telemetry.attached(self._context):
                self._read_all()
        except _Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - the program's own: it ends the run, in the caller's thread
            self._post(ReadingOver(error))

    def _read_all(self) -> None:
        index = 0
        while (given := self._next_source()) is not None:
            self.last = FileBegun(index, given)
            self._post(self.last)
            try:
                self._read(index, given.source)
            except _Stopped:
                raise
            except Exception as error:
                if (fault := fault_of(error, given.source.name)) is None:
                    raise
                self._post(FileUnreadable(index, fault))
            if given.is_last:
                break
            index += 1
        self._post(ReadingOver())

    def _next_source(self) -> Given | None:
        self._wait()
        self.wants_source = True
        self._ask()
        given = self._given.get()
        if self._stopped:
            raise _Stopped
        return given

    def _read(self, index: int, source: MediaSource) -> None:
        with closing(Reader(source, self._request.options, self._request.voice, self._rules)) as reader:
            found: list[SpeechChunk] = []
            began = self._clock()
            for chunks in reader.steps():
                if self._stopped:
                    raise _Stopped
                found += chunks
                if reader.is_through or (not found and self._clock() - began < _STEP_S):
                    continue
                self._post(FileRead(index, found, reader.so_far))
                self._wait()
                if index in self._skipped:
                    self._grants.put(item=True)  # it was for a step of this file
                    return
                found, began = [], self._clock()
        self._post(FileRead(index, found, reader.so_far, reader.decoder))

    def _wait(self) -> None:
        """Until the next step is granted."""
        if not self._grants.get() or self._stopped:
            raise _Stopped
