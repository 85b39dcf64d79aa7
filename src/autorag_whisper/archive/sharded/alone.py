"""Recordings that were in hand when a process died: each alone, in a worker process where there may be one.

A worker that dies takes nothing else with it. A recording with which two workers die fails, and the run goes on. Where
there are no workers (in Ray's actors, on Windows) the run's own process recognises it, and may die of it.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from autorag_whisper.domain.archive_errors import RecordingKills
from autorag_whisper.domain.errors import (
    AutoragWhisperError,
    Cancelled,
    ExtraNotInstalled,
    InvalidOption,
    PoisonedFile,
    WorkerDied,
)
from autorag_whisper.domain.faults import engine_error
from autorag_whisper.domain.interruptions import let_signals_through
from autorag_whisper.transcriber.cancellation import CancelToken
from autorag_whisper.transcriber.checkpoint_format import HEADER, CheckpointReader, dumps
from autorag_whisper.transcriber.run_request import RunControl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from autorag_whisper.archive.checkpoints import CheckpointFolder
    from autorag_whisper.archive.request import BatchRequest
    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.transcriber.kept_chunks import Written
    from autorag_whisper.transcriber.outcome import OnProgress
    from autorag_whisper.transcriber.protocol import ModelHandle, ResumableTranscriber

_log = logging.getLogger(__name__)

_OF_THE_RUN = (WorkerDied, Cancelled, InvalidOption, ExtraNotInstalled)


class Alone:
    """A transcriber for one recording after the other, begun for the first. A context manager that ends it."""

    def __init__(
        self, begin: Callable[[], AbstractContextManager[ResumableTranscriber]], request: BatchRequest
    ) -> None:
        self._begin, self._request = begin, request
        self._begun: tuple[ResumableTranscriber, ModelHandle] | None = None
        self._stack = ExitStack()

    def prepare(self) -> None:
        """Have the model loaded, so that a death from now on is a recording's. Raises the Model* errors, WorkerDied."""
        self._ready()

    def recognise(
        self, source: MediaSource, checkpoints: CheckpointFolder, number: int, on_progress: OnProgress
    ) -> Transcript | AutoragWhisperError:
        """The transcript, or why there is none: RecordingKills where workers died of it.

        An exception that nobody expects is an EngineError: nothing else was in hand. `number`: the file's in
        `checkpoints`. Raises what ends a run.
        """
        transcriber, model = self._ready()
        kept, control = _Kept(checkpoints, number), RunControl(CancelToken(), on_progress)
        try:
            with transcriber.resume(source, kept, self._request.options, model=model, control=control) as stream:
                return stream.result()
        except _OF_THE_RUN:
            raise
        except PoisonedFile as error:
            return RecordingKills(error.name, error.reason)
        except AutoragWhisperError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever it is, this recording has it alone
            let_signals_through(error)
            _log.exception("%s: the engine failed", source.name)
            return engine_error("recognition", error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._begun = None
        self._stack.close()

    def _ready(self) -> tuple[ResumableTranscriber, ModelHandle]:
        if self._begun is None:
            transcriber = self._stack.enter_context(self._begin())
            model = transcriber.model(self._request.model, self._request.device)
            transcriber.load(model)
            self._begun = transcriber, model
        return self._begun


class _Kept:
    """The finished chunks of one file of a `CheckpointFolder`: a `transcriber.kept_chunks.KeptChunks`."""

    def __init__(self, checkpoints: CheckpointFolder, number: int) -> None:
        self._checkpoints, self._number = checkpoints, number

    def done(self) -> Mapping[int, Written]:
        done = self._checkpoints.done(self._number)
        return {index: (HEADER.encode(), dumps(checkpoint).encode()) for index, checkpoint in done.items()}

    def add(self, chunk: int, written: Written) -> None:  # noqa: ARG002 - it is in the line
        header, line = written
        self._checkpoints.add(self._number, CheckpointReader(header).read(line))
