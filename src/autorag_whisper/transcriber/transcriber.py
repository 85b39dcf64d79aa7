"""`Transcriber`: the package's face for Python, over runs."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Self

from autorag_whisper.device.model_session import ModelSession
from autorag_whisper.device.placement import hint_text, meaning_of
from autorag_whisper.domain.process_errors import ForkedProcess, TranscriberClosed
from autorag_whisper.domain.request import Aligner
from autorag_whisper.domain.transcript import Segment
from autorag_whisper.gpu.card_sharing import CardSharing
from autorag_whisper.per_process import PerProcess, in_one_process
from autorag_whisper.recognition.shares import LEAST_SHARE
from autorag_whisper.transcriber import start
from autorag_whisper.transcriber.arguments import (
    name_of,
    options_of,
    require_callback,
    require_model,
    require_priority,
    source_of,
    sources_of,
    token_of,
)
from autorag_whisper.transcriber.cancellation import CancelToken
from autorag_whisper.transcriber.run_request import RunControl, RunRequest
from autorag_whisper.transcriber.schedulers import Schedulers
from autorag_whisper.transcriber.stream import TranscriptStream

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from types import TracebackType

    from autorag_whisper.audio.source import Media, MediaSource
    from autorag_whisper.device.device_fallback import DevicePolicy
    from autorag_whisper.domain.device import Device, ModelKey, Placement
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.engines.base import VoiceActivity
    from autorag_whisper.models.store import ModelFiles
    from autorag_whisper.recognition.recognizer import Recognizer
    from autorag_whisper.residency.alignment_models import AlignmentModels
    from autorag_whisper.residency.idle import IdleTimer
    from autorag_whisper.residency.recognition_models import RecognitionModels
    from autorag_whisper.telemetry import Telemetry
    from autorag_whisper.transcriber.outcome import FileOutcome, OnProgress
    from autorag_whisper.transcriber.protocol import Model


@dataclass(frozen=True, slots=True)
class TranscriberParts:
    """What a transcriber is put together from; `bootstrap` knows the real ones.

    `find_model`: a name to files (cached by its maker). The residency's loader finds the same files by their folder.
    `alignment_models`: for alignment by CTC; None has none. `sharing`: leases of the cards; None shares none. `idle`:
    what leaves when nothing was asked for a while; None lets all of it stay. `auto_aligner`: what `Aligner.AUTO` means.
    `lower_share`: of the engine, what runs of lower priorities have at least (`recognition.shares`).
    """

    find_model: Callable[[str], ModelFiles]
    policy: DevicePolicy
    residency: RecognitionModels[Recognizer]
    voice: VoiceActivity
    telemetry: Telemetry
    alignment_models: AlignmentModels | None = None
    sharing: CardSharing | None = None
    idle: IdleTimer | None = None
    auto_aligner: Aligner = Aligner.AUTO
    lower_share: float = LEAST_SHARE


class _Own:
    """What a transcriber has in one process."""

    def __init__(self, parts: TranscriberParts) -> None:
        self.parts, self.sharing = parts, parts.sharing or CardSharing(None, parts.telemetry)
        self.lock = Lock()
        self.schedulers = Schedulers()
        self.handles: dict[tuple[str, str], LoadedModel] = {}
        self.closed = False


class LoadedModel:
    """A name for a model of `size` under a device hint. It owns nothing, so nothing can take it away.

    After a CPU pin, an offload or a release it stays usable: `device` and `compute_type` say where it would run now.
    """

    __slots__ = ("_files", "_policy", "device_hint", "size")

    def __init__(
        self, size: str, device_hint: str | None, files: ModelFiles, policy: Callable[[], DevicePolicy]
    ) -> None:
        """`policy`: that of the process which asks; a forked child has its own."""
        self.size, self.device_hint = size, device_hint
        self._files, self._policy = files, policy

    @property
    def _placement(self) -> Placement:
        return self._policy().place(self.device_hint)

    @property
    def device(self) -> str:
        """`"cpu"`, `"cuda"` or `"cuda:N"`."""
        return str(self._placement.device)

    @property
    def compute_type(self) -> str:
        """The compute type as asked of the engine."""
        return self._placement.compute_type

    def __repr__(self) -> str:
        return f"LoadedModel(size={self.size!r}, device={self.device!r}, compute_type={self.compute_type!r})"


class Transcriber:
    """Transcribes files on resident models: a `TranscriberProtocol`. Thread-safe: each call is a run of its own.

    Every method raises RequestError for the caller's faults (`domain.errors`), UnavailableError for what is not now.

    In a forked child it goes on with parts of its own, which `remake` gives: nothing is loaded there yet, and what the
    parent has is not touched. Without `remake`, and in a stream that was begun before the fork: ForkedProcess.
    """

    def __init__(self, parts: TranscriberParts, remake: Callable[[], TranscriberParts] | None = None) -> None:
        first = [parts]

        def make() -> _Own:
            if not first and remake is None:
                raise ForkedProcess("this transcriber")
            return _Own(first.pop() if first or remake is None else remake())

        self._own = PerProcess(make)
        self._own.get()

    @property
    def _parts(self) -> TranscriberParts:
        return self._own.get().parts

    @property
    def _sharing(self) -> CardSharing:
        return self._own.get().sharing

    def model(self, size: str | os.PathLike[str], device_hint: str | None = None) -> LoadedModel:
        """A handle for a size, hub id or folder; the same object for arguments that mean the same. Loads nothing.

        `device_hint`: None or "auto" (the policy's choice), "cpu", "cuda", "cuda:N"; anything else, "" and what is no
        string too, is the CPU, with a warning.
        """
        name = name_of(size)
        files, hint = self._parts.find_model(name), hint_text(device_hint)
        own = self._own.get()
        with own.lock:
            made = LoadedModel(name, hint, files, lambda: self._parts.policy)
            return own.handles.setdefault((name, meaning_of(hint)), made)

    def load(self, model: Model = "base") -> None:
        """Make sure that the model is resident where it would run now; on the CPU where CUDA fails at it."""
        self._session(model).prepare()

    def resolved_device(self) -> str:
        """`"cuda"` or `"cpu"`: used last, or what would be used. For display alone."""
        return self._parts.policy.resolved_device()

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
        own = CancelToken(token_of(cancel))
        source = source_of(media)
        control = RunControl(own, on_progress, priority)
        return TranscriptStream(self._events([source], options, model, control), own)

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
        with self.stream(
            media, options, model=model, on_progress=on_progress, cancel=cancel, priority=priority
        ) as stream:
            return stream.result()

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

        A file that fails gives an outcome with its error and never stops the others; Cancelled ends them all. So do
        three files in a row at which the engine raises what nobody expects, with nothing recognised in between, and a
        model that does not load again behind such a one: EngineError.
        """
        control = RunControl(token_of(cancel), on_progress, priority)
        return outcomes_of(self._events(sources_of(sources), options, model, control))

    def close(self) -> None:
        """Release every model. Runs must have ended; a later one raises TranscriberClosed.

        A forked child that has used none of it has nothing to release.
        """
        if not self._own.is_made:
            return
        self._own.get().closed = True
        if self._parts.idle is not None:
            self._parts.idle.close()
        self._parts.residency.close()
        if self._parts.alignment_models is not None:
            self._parts.alignment_models.close()
        self._sharing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _events(
        self, sources: Iterable[MediaSource], options: TranscribeOptions | None, model: Model, control: RunControl
    ) -> Generator[Segment | FileOutcome]:
        """What `stream` and `transcribe_many` are made of: segments of all files, each file's in order, and outcomes.

        Close it to stop.
        """
        require_callback(control.on_progress)
        require_priority(control.priority)
        options = options_of(options)
        if options.aligner is Aligner.AUTO:
            options = replace(options, aligner=self._parts.auto_aligner)
        aligners = self._parts.alignment_models
        request = RunRequest(
            sources,
            options,
            self._session(model),
            meaning_of(None if isinstance(model, str | os.PathLike) else hint_text(model.device_hint)),
            self._parts.voice,
            self._parts.telemetry,
            control,
            aligners.lease if aligners is not None else None,
            self._parts.lower_share,
        )
        events = start.events(request, self._own.get().schedulers)
        events = events if self._parts.idle is None else _busy(self._parts.idle, events)
        return in_one_process(events, "a stream")

    def _session(self, model: Model) -> ModelSession:
        require_model(model)
        if self._own.get().closed:
            raise TranscriberClosed
        handle = self.model(model) if isinstance(model, str | os.PathLike) else model
        files = self._parts.find_model(handle.size)
        return ModelSession(
            files, handle.device_hint, self._parts.policy, self._parts.residency, self._sharing, self._free_others
        )

    def _free_others(self, device: Device, but: ModelKey) -> int:
        """Free what other models of ours hold on `device`: how many gave it up."""
        aligners = self._parts.alignment_models
        moved = aligners.offload_idle(device).went if aligners is not None else 0
        return moved + self._parts.residency.free_others(device, but)


def _busy(idle: IdleTimer, events: Generator[Segment | FileOutcome]) -> Generator[Segment | FileOutcome]:
    with idle.busy():
        yield from events


def outcomes_of(events: Generator[Segment | FileOutcome]) -> Iterator[FileOutcome]:
    """The outcomes alone; an exception that ends a read early ends the run."""
    with closing(events):
        for event in events:
            if not isinstance(event, Segment):
                yield event
