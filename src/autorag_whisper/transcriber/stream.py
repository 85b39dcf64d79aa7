"""`TranscriptStream`: the segments of one file as they come."""

from __future__ import annotations

from inspect import GEN_RUNNING, getgeneratorstate
from threading import RLock
from typing import TYPE_CHECKING, Self

from autorag_whisper.domain.errors import AutoragWhisperError, Cancelled
from autorag_whisper.domain.transcript import Segment

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import TracebackType

    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.transcriber.cancellation import CancelToken
    from autorag_whisper.transcriber.outcome import FileOutcome


class TranscriptStream:
    """Segments of one file in order, each as soon as it is ready, while later ones are still being computed.

    Closing it (or leaving its `with`) before the end stops the work and frees everything it holds; from then on
    iterating and `result` raise Cancelled. One thread reads it, any may close it: `close` then does not wait, and the
    thread that reads gets Cancelled after the batch in flight, if not before. An exception that ends a read early, out
    of a signal handler or of `on_progress`, closes it.
    """

    def __init__(self, events: Generator[Segment | FileOutcome], cancel: CancelToken) -> None:
        self._events, self._cancel = events, cancel
        self._reading = RLock()
        self._outcome: FileOutcome | None = None
        self._error: AutoragWhisperError | None = None

    def __iter__(self) -> Iterator[Segment]:
        return self

    def __next__(self) -> Segment:
        """The next segment. Raises what went wrong with the file, in its turn, and Cancelled."""
        try:
            segment = self._next()
        except BaseException as error:
            self._error = error if isinstance(error, AutoragWhisperError) else None
            self.close()
            raise
        if segment is None:
            raise StopIteration
        return segment

    def result(self) -> Transcript:
        """The whole transcript, after what is left of it. Raises as iterating does; Cancelled if it was closed."""
        for _ in self:
            pass
        assert self._outcome is not None
        assert self._outcome.transcript is not None
        return self._outcome.transcript

    def close(self) -> None:
        """Stop. Again is fine, and from any thread, a signal handler and `on_progress` too."""
        self._cancel.cancel()
        if not self._reading.acquire(blocking=False):
            return  # whoever reads is woken, and ends it
        try:
            if getgeneratorstate(self._events) != GEN_RUNNING:
                self._events.close()
        finally:
            self._reading.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _next(self) -> Segment | None:
        """The next segment, None after the last one."""
        if self._error is not None:
            raise self._error
        if self._outcome is not None:
            return None
        self._cancel.check()
        with self._reading:
            for event in self._events:
                if isinstance(event, Segment):
                    return event
                self._outcome = event
        if self._outcome is None:
            raise Cancelled
        if self._outcome.error is not None:
            raise self._outcome.error
        return None
