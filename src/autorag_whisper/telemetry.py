"""Every span, metric and attribute name, once; OpenTelemetry's API alone. Without an SDK all of it is free.

Spans are made when what they describe is over, from noted times, by the thread that owns the run and outside every
lock: an exporter can never hold up an engine.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from opentelemetry import context, metrics, trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

TRACER = "autorag.whisper"
PREFIX = "autorag.whisper."

LOAD_MODEL = PREFIX + "load_model"
LOAD_AUDIO = PREFIX + "load_audio"
CT2_TRANSCRIBE = PREFIX + "ct2_transcribe"
ALIGN = PREFIX + "align"
GET_ALIGN_MODEL = PREFIX + "get_align_model"
OFFLOAD_ALIGN = PREFIX + "offload_align"
JOB = PREFIX + "job"
"""A durable job at work: in the trace of the request that added it."""

MODEL_SIZE, MODEL_DEVICE, MODEL_COMPUTE_TYPE = "model.size", "model.device", "model.compute_type"
LOAD_REASON = "load.reason"
AUDIO_PATH, AUDIO_DURATION_S = "audio.path", "audio.duration_s"
AUDIO_BATCH_SIZE, AUDIO_BATCH_SIZE_FINAL = "audio.batch_size", "audio.batch_size_final"
LANGUAGE, REALTIME_FACTOR = "language", "transcribe.realtime_factor"
ALIGN_METHOD, ALIGN_LANGUAGE, ALIGN_DEVICE = "align.method", "align.language", "align.device"
ALIGN_LETTERS = "align.letters"
ALIGN_RESTORED_FROM = "align.restored_from"
ALIGN_FROM, ALIGN_TO = "align.from", "align.to"
SEGMENTS_COUNT = "segments.count"
DEVICE_FALLBACK_STEPS = "device_fallback.steps"
CPU_PIN_CAUSE, CPU_PIN_LASTS = "cpu_pin.cause", "cpu_pin.lasts"
JOB_ID = "job.id"
STAGE, CAUSE, STEP, OUTCOME = "stage", "cause", "step", "outcome"

JOB_DURATION = PREFIX + "job.duration"
AUDIO_SECONDS = PREFIX + "audio.seconds"
STAGE_DURATION = PREFIX + "stage.duration"
MODEL_LOAD_DURATION = PREFIX + "model.load.duration"
DEVICE_FALLBACKS = PREFIX + "device_fallbacks"
ALIGNER_FALLBACKS = PREFIX + "aligner_fallbacks"
LEASE_WAIT = PREFIX + "lease.wait"
OFFLOADS = PREFIX + "offloads"
BATCHES = PREFIX + "batches"
BATCH_ROWS = PREFIX + "batch.rows"

AttributeValue = str | int | float | bool

_w3c = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class Stretch:
    """When something began and ended, in nanoseconds since the epoch."""

    start_ns: int
    end_ns: int

    @property
    def duration_s(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


def traceparent() -> str:
    """The W3C header that links what somebody else does to the current span; "" where there is none."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier)
    return carrier.get("traceparent", "")


class Telemetry:
    """Where spans and metrics go: the providers given, or the process's own."""

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._tracer = trace.get_tracer(TRACER, tracer_provider=tracer_provider)
        meter = metrics.get_meter(TRACER, meter_provider=meter_provider)
        self._durations = {
            JOB_DURATION: meter.create_histogram(JOB_DURATION, "s", "Wall time of one file"),
            STAGE_DURATION: meter.create_histogram(STAGE_DURATION, "s", "Time of one stage of one file"),
            MODEL_LOAD_DURATION: meter.create_histogram(MODEL_LOAD_DURATION, "s", "Time to load a model"),
            LEASE_WAIT: meter.create_histogram(LEASE_WAIT, "s", "Wait for a lease of a GPU"),
        }
        self._counts = {
            AUDIO_SECONDS: meter.create_counter(AUDIO_SECONDS, "s", "Audio that was transcribed"),
            DEVICE_FALLBACKS: meter.create_counter(DEVICE_FALLBACKS, "1", "Steps of the device fallback"),
            ALIGNER_FALLBACKS: meter.create_counter(ALIGNER_FALLBACKS, "1", "Steps of the aligner fallback"),
            OFFLOADS: meter.create_counter(OFFLOADS, "1", "Times that models left a GPU for another tenant"),
            BATCHES: meter.create_counter(BATCHES, "1", "Batches that an engine has done"),
            BATCH_ROWS: meter.create_counter(BATCH_ROWS, "1", "Chunks in the batches that an engine has done"),
        }
        self.clock_ns = clock_ns

    def current(self) -> Context:
        """The caller's context, for spans that are made later or by another thread."""
        return context.get_current()

    def span(
        self,
        name: str,
        when: Stretch,
        attributes: Mapping[str, AttributeValue],
        *,
        parent: Context | None = None,
        error: str = "",
    ) -> None:
        """A span of what is over. `error` is a type's name or a cause, never a path or a text of the user's."""
        made = self._tracer.start_span(name, parent, SpanKind.INTERNAL, dict(attributes), start_time=when.start_ns)
        if error:
            made.set_status(Status(StatusCode.ERROR, error))
        made.end(when.end_ns)

    @contextmanager
    def around(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue],
        carrier: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[Span]:
        """A span of what this thread or task does in the `with`. `carrier`: the W3C headers of whoever asked for it."""
        parent = _w3c.extract(dict(carrier))
        with self._tracer.start_as_current_span(
            name, parent, kind, dict(attributes), record_exception=False, set_status_on_exception=False
        ) as span:
            yield span

    @contextmanager
    def load_model(self, attributes: Mapping[str, AttributeValue]) -> Iterator[Span]:
        """A span around a load, in the context of the thread that loads."""
        start_ns = self.clock_ns()
        with self._tracer.start_as_current_span(
            LOAD_MODEL, attributes=dict(attributes), record_exception=False
        ) as span:
            yield span
        self.duration(MODEL_LOAD_DURATION, (self.clock_ns() - start_ns) / 1e9, {})

    @contextmanager
    def attached(self, parent: Context) -> Iterator[None]:
        """Work in `parent`'s context in this thread: spans join the caller's trace."""
        token = context.attach(parent)
        try:
            yield
        finally:
            context.detach(token)

    def duration(self, name: str, value_s: float, attributes: Mapping[str, AttributeValue]) -> None:
        """Record seconds in one of the histograms."""
        self._durations[name].record(value_s, dict(attributes))

    def count(self, name: str, value: float, attributes: Mapping[str, AttributeValue]) -> None:
        """Add to one of the counters."""
        self._counts[name].add(value, dict(attributes))
