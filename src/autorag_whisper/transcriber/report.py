"""Spans, metrics and charges of a run's files, made when each is over."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING

from autorag_whisper import telemetry as names
from autorag_whisper.telemetry import Stretch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autorag_whisper.domain.device import CpuPin
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import DeviceFallbackStep, Transcript
    from autorag_whisper.engines.base import RecognizerSpec
    from autorag_whisper.recognition.chunk_result import ChunkResult
    from autorag_whisper.telemetry import Telemetry
    from autorag_whisper.transcriber.file import RunFile


class Report:
    """What one run tells about its files. Spans join `context`, in which it is made.

    `note` and `fell_back` are the scheduler's to call, all else is for the thread that iterates the run.
    """

    def __init__(self, telemetry: Telemetry, options: TranscribeOptions) -> None:
        self._telemetry, self._options = telemetry, options
        self.context = telemetry.current()
        self._zero_ns = telemetry.clock_ns() - round(time.perf_counter() * 1e9)

    def note(self, file: RunFile, result: ChunkResult) -> None:
        """A chunk's final result: when its file's alignment began, and whether the aligner held."""
        turned = self._zero_ns + round(result.time.turned * 1e9)
        file.moments.aligned_from = min(file.moments.aligned_from or turned, turned)
        if result.aligned.source is not None:
            file.methods.add(result.aligned.source)
        if result.aligned.letters is not None:
            file.letters.add(result.aligned.letters)
        for before, after in result.aligned.fallbacks:
            step = {names.ALIGN_FROM: before.value, names.ALIGN_TO: after.value}
            with self._telemetry.attached(self.context):
                self._telemetry.count(names.ALIGNER_FALLBACKS, 1, step)

    def fell_back(self, step: DeviceFallbackStep) -> None:
        """A step of the device fallback was taken."""
        attributes = {names.STAGE: step.stage, names.CAUSE: step.cause, names.STEP: step.step}
        with self._telemetry.attached(self.context):
            self._telemetry.count(names.DEVICE_FALLBACKS, 1, attributes)

    def complete(self, file: RunFile, transcript: Transcript, pin: CpuPin | None) -> None:
        """The spans and metrics of a file that is done; `pin`: why the process stays on the CPU, if it does."""
        more: dict[str, names.AttributeValue] = {}
        if transcript.device_fallbacks:
            more[names.DEVICE_FALLBACK_STEPS] = ",".join(step.step for step in transcript.device_fallbacks)
            if file.batch_size_since < file.batch_size:
                more[names.AUDIO_BATCH_SIZE_FINAL] = file.batch_size_since or file.batch_size
        if pin is not None:
            more[names.CPU_PIN_CAUSE] = pin.cause.value
            more[names.CPU_PIN_LASTS] = "cool-down" if pin.until_s is not None else "life"
        duration_s = transcript.duration_s
        self._loaded(file, duration_s)
        self._recognised(file, duration_s, transcript.device, more)
        self._aligned(file, transcript.language, transcript.device)
        self._over(file, "done")

    def ended(self, file: RunFile, kind: str, spec: RecognizerSpec) -> None:
        """The spans and metrics of a file that failed or was cancelled: of each stage that had begun, what was done.

        `kind` is what ended it; the spans of the stages that were not through have it as their error.
        """
        read_s = file.read.audio_s if file.read is not None else 0.0
        self._loaded(file, read_s, "" if file.moments.decoded else kind, {names.OUTCOME: kind})
        device = str(spec.device)
        if file.moments.submitted or file.moments.decoded:
            done_s = file.progress.audio_s if file.read is not None else 0.0
            self._recognised(file, done_s, device, error=kind)
        if file.moments.aligned_from:
            self._aligned(file, file.assembly.main_language, device, kind)
        self._over(file, kind)

    def _loaded(
        self,
        file: RunFile,
        duration_s: float,
        error: str = "",
        more: Mapping[str, names.AttributeValue] = MappingProxyType({}),
    ) -> None:
        when = Stretch(file.moments.opened, file.moments.decoded or file.moments.finished)
        attributes: dict[str, names.AttributeValue] = {
            names.AUDIO_PATH: file.source.name,
            names.AUDIO_DURATION_S: round(duration_s, 3),
            **more,
        }
        self._telemetry.span(names.LOAD_AUDIO, when, attributes, parent=self.context, error=error)

    def _recognised(
        self,
        file: RunFile,
        audio_s: float,
        device: str,
        more: Mapping[str, names.AttributeValue] = MappingProxyType({}),
        error: str = "",
    ) -> None:
        recognise_s, align_s = file.assembly.recognise_s, file.assembly.align_s
        attributes: dict[str, names.AttributeValue] = {
            names.AUDIO_BATCH_SIZE: file.batch_size,
            names.MODEL_DEVICE: device,
            names.LANGUAGE: self._options.language or "auto",
            names.REALTIME_FACTOR: round(audio_s / recognise_s, 3) if recognise_s else 0.0,
            **more,
        }
        when = Stretch(_submitted(file), file.moments.finished)
        self._telemetry.span(names.CT2_TRANSCRIBE, when, attributes, parent=self.context, error=error)
        for stage, seconds in (("recognise", recognise_s), ("align", align_s)):
            self._telemetry.duration(names.STAGE_DURATION, seconds, {names.STAGE: stage})
        self._telemetry.count(names.AUDIO_SECONDS, audio_s, {names.MODEL_DEVICE: device})

    def _aligned(self, file: RunFile, language: str, device: str, error: str = "") -> None:
        attributes: dict[str, names.AttributeValue] = {
            names.ALIGN_METHOD: file.method,
            names.ALIGN_LANGUAGE: language,
            names.ALIGN_DEVICE: device,
            names.SEGMENTS_COUNT: len(file.assembly.segments),
        }
        if file.letters:
            attributes[names.ALIGN_LETTERS] = "+".join(sorted(file.letters))
        when = Stretch(file.moments.aligned_from or _submitted(file), file.moments.finished)
        self._telemetry.span(names.ALIGN, when, attributes, parent=self.context, error=error)

    def _over(self, file: RunFile, outcome: str) -> None:
        took_s = Stretch(file.moments.opened, file.moments.finished).duration_s
        self._telemetry.duration(names.JOB_DURATION, took_s, {names.OUTCOME: outcome})


def _submitted(file: RunFile) -> int:
    return file.moments.submitted or file.moments.finished
