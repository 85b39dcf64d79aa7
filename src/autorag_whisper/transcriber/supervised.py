"""A transcriber in a process that another one supervises."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from autorag_whisper.transcriber.arguments import source_of
from autorag_whisper.transcriber.cancellation import CancelToken
from autorag_whisper.transcriber.checkpoint import Supervised
from autorag_whisper.transcriber.kept_chunks import ChunksOfOneFile
from autorag_whisper.transcriber.stream import TranscriptStream
from autorag_whisper.transcriber.transcriber import Transcriber

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from autorag_whisper.audio.source import Media, MediaSource
    from autorag_whisper.domain.device import CpuPin
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import Segment
    from autorag_whisper.transcriber.kept_chunks import KeptChunks
    from autorag_whisper.transcriber.outcome import FileOutcome
    from autorag_whisper.transcriber.protocol import Model
    from autorag_whisper.transcriber.run_request import RunControl


class SupervisedTranscriber(Transcriber):
    """A `Transcriber` with what its supervision needs: a pin that outlives its process, runs that go on in another."""

    @property
    def pin(self) -> CpuPin | None:
        """Why, and for how long, this process stays on the CPU."""
        return self._parts.policy.pin

    def adopt(self, pin: CpuPin) -> None:
        """Stay on the CPU as long as the process did that this one follows."""
        self._parts.policy.adopt(pin)

    def events(
        self, sources: Iterable[MediaSource], options: TranscribeOptions, model: Model, control: RunControl
    ) -> Generator[Segment | FileOutcome]:
        """One run: segments of all files, each file's in order, and outcomes. Close it to stop."""
        return self._events(sources, options, model, control)

    def resume(
        self,
        media: Media,
        kept: KeptChunks,
        options: TranscribeOptions | None = None,
        *,
        model: Model = "base",
        control: RunControl,
    ) -> TranscriptStream:
        """As `stream`, of a file of which chunks may be done already; `kept` is given each that is done."""
        own = CancelToken(control.cancel)
        supervised = Supervised(ChunksOfOneFile(kept), linger=lambda wait: wait())
        control = replace(control, cancel=own, supervised=supervised)
        return TranscriptStream(self._events([source_of(media)], options, model, control), own)
