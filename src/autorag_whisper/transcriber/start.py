"""How a run starts: while the engine reads the weights, without Python's lock, what else a run needs is imported."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from contextlib import AbstractContextManager

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.device.model_session import ModelSession
    from autorag_whisper.domain.device import Device
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import Segment
    from autorag_whisper.engines.aligners import AlignmentModel
    from autorag_whisper.engines.base import VoiceActivity
    from autorag_whisper.telemetry import Telemetry
    from autorag_whisper.transcriber.cancellation import CancelToken
    from autorag_whisper.transcriber.checkpoint import Supervised
    from autorag_whisper.transcriber.outcome import FileOutcome, OnProgress
    from autorag_whisper.transcriber.run import Run


@dataclass(frozen=True, slots=True)
class RunParts:
    """What a run works with. `cancel` ends it; `supervised`: it may have to be begun again elsewhere."""

    session: ModelSession
    voice: VoiceActivity
    telemetry: Telemetry
    cancel: CancelToken
    on_progress: OnProgress | None = None
    lease_ctc: Callable[[str, Device], AbstractContextManager[AlignmentModel]] | None = None
    supervised: Supervised | None = None


def events(
    sources: Iterable[MediaSource], options: TranscribeOptions, parts: RunParts
) -> Generator[Segment | FileOutcome]:
    """`Run.events`, after the load. Raises the Model* errors and EngineError of the load too."""
    parts.cancel.check()
    with ThreadPoolExecutor(1, thread_name_prefix="autorag-whisper-start") as pool:
        run = pool.submit(_import_run)
        pool.submit(parts.voice.stream)  # where it fails, it fails each file in turn
        spec = parts.session.prepare()
    yield from run.result()(sources, options, parts, spec).events()


def _import_run() -> type[Run]:
    from autorag_whisper.transcriber.run import Run

    return Run
