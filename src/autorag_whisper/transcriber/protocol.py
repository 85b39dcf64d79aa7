"""What every transcriber does, in this process (`Transcriber`) or in another (`WorkerTranscriber`).

Whoever takes a `TranscriberProtocol` works with both; `tests/contract/test_transcriber.py` holds them to it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from autorag_whisper.audio.source import Media
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.transcriber.cancellation import CancelToken
    from autorag_whisper.transcriber.kept_chunks import KeptChunks
    from autorag_whisper.transcriber.outcome import FileOutcome, OnProgress
    from autorag_whisper.transcriber.run_request import RunControl
    from autorag_whisper.transcriber.stream import TranscriptStream


class ModelHandle(Protocol):
    """A name for a model under a device hint. It owns nothing, and a transcriber takes those of any other."""

    @property
    def size(self) -> str:
        """A size, hub id or folder."""
        ...

    @property
    def device_hint(self) -> str | None:
        """None or "auto", "cpu", "cuda", "cuda:N"; anything else is the CPU."""
        ...

    @property
    def device(self) -> str:
        """Where it would run now: `"cpu"`, `"cuda"` or `"cuda:N"`."""
        ...

    @property
    def compute_type(self) -> str:
        """The compute type that would be asked of the engine now."""
        ...


Model = str | os.PathLike[str] | ModelHandle
"""A model by its size, hub id or folder, or by a handle."""


class TranscriberProtocol(Protocol):
    """Transcribes files. Thread-safe.

    Paths are made absolute when a method is called (those of an iterator when they are taken from it). `cancel` stops a
    call, which then raises Cancelled. Of calls on one model those of a higher `priority` go first. Every method raises
    RequestError for the caller's faults (`domain.errors`), UnavailableError for what is not now.
    """

    def model(self, size: str | os.PathLike[str], device_hint: str | None = None) -> ModelHandle:
        """A handle for a size, hub id or folder; the same object for arguments that mean the same. Loads nothing.

        Raises the Model* errors.
        """
        ...

    def load(self, model: Model = "base") -> None:
        """Make sure that the model is resident where it would run now."""
        ...

    def resolved_device(self) -> str:
        """`"cuda"` or `"cpu"`: used last, or what would be used. For display alone."""
        ...

    def stream(
        self,
        media: Media,
        options: TranscribeOptions | None = None,
        *,
        model: Model = "base",
        on_progress: OnProgress | None = None,
        cancel: CancelToken | None = None,
        priority: int = 0,
    ) -> TranscriptStream:
        """Start on one file. Nothing is opened before the first segment is asked for."""
        ...

    def transcribe(
        self,
        media: Media,
        options: TranscribeOptions | None = None,
        *,
        model: Model = "base",
        on_progress: OnProgress | None = None,
        cancel: CancelToken | None = None,
        priority: int = 0,
    ) -> Transcript:
        """One file, whole."""
        ...

    def transcribe_many(
        self,
        sources: Iterable[Media],
        options: TranscribeOptions | None = None,
        *,
        model: Model = "base",
        on_progress: OnProgress | None = None,
        cancel: CancelToken | None = None,
        priority: int = 0,
    ) -> Iterator[FileOutcome]:
        """Many files in one run, each as it completes, in any order: batches are filled across files.

        A file that fails gives an outcome with its error and never stops the others.
        """
        ...

    def close(self) -> None:
        """End what it holds: models, or the process. Runs must have ended."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


class ResumableTranscriber(TranscriberProtocol, Protocol):
    """One that goes on behind chunks which an earlier run, perhaps of another process or version, has done."""

    def resume(
        self,
        media: Media,
        kept: KeptChunks,
        options: TranscribeOptions | None = None,
        *,
        model: Model = "base",
        control: RunControl,
    ) -> TranscriptStream:
        """As `stream`, of a file of which chunks may be done already; `kept` is given each that is done.

        Chunks that this version does not read, or of which the file is cut differently now, are done again.
        """
        ...
