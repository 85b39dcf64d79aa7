"""What `/metrics` tells, for Prometheus. No label has values without bound: routes by their pattern, never a path.

What the engine tells of itself comes by `CountedTelemetry`, which the transcriber is given; what is so at the moment
(jobs in their states, requests in work) is asked when somebody looks.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from autorag_whisper import __version__
from autorag_whisper import telemetry as names
from autorag_whisper.domain.job_errors import StoreUnavailable
from autorag_whisper.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client.core import Metric

    from autorag_whisper.jobs.job import Usage
    from autorag_whisper.telemetry import AttributeValue

_log = logging.getLogger(__name__)

PROBES = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds: no spans, lines in the log only when they fail; their "not now" turns nobody away."""
CONTENT_TYPE = CONTENT_TYPE_LATEST

_PREFIX = "autorag_whisper_"
_SHORT_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_REASONS = {401: "no_key", 403: "foreign_page", 413: "too_large", 429: "over_quota", 503: "not_now"}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_HISTOGRAMS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    names.JOB_DURATION: ("file_seconds", "Wall time of one file", (names.OUTCOME,)),
    names.STAGE_DURATION: ("stage_seconds", "Engine time of one stage of one file", (names.STAGE,)),
    names.MODEL_LOAD_DURATION: ("model_load_seconds", "Time to load a model", ()),
    names.LEASE_WAIT: ("gpu_lease_wait_seconds", "Wait for a lease of a GPU", (names.OUTCOME,)),
}
_COUNTERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    names.AUDIO_SECONDS: ("audio_seconds", "Audio that was transcribed", (names.MODEL_DEVICE,)),
    names.BATCHES: ("engine_batches", "Batches that the engine has done", (names.MODEL_DEVICE,)),
    names.BATCH_ROWS: ("engine_batch_rows", "Chunks in these batches", (names.MODEL_DEVICE,)),
    names.DEVICE_FALLBACKS: ("device_fallbacks", "Steps of the device fallback", (names.STAGE, names.STEP)),
    names.ALIGNER_FALLBACKS: ("aligner_fallbacks", "Steps of the aligner fallback", (names.ALIGN_FROM, names.ALIGN_TO)),
    names.OFFLOADS: ("offloads", "Times that models left a GPU for another tenant", (names.OUTCOME,)),
}
"""Name of ours -> Prometheus's (behind the prefix), what it is, the attributes that are labels."""


def _label(attribute: str) -> str:
    return attribute.rpartition(".")[2]


class Metrics:
    """One registry, for one service. Thread-safe."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            f"{_PREFIX}http_requests", "Requests that were answered", ["method", "route", "status"], registry=registry
        )
        self.seconds = Histogram(
            f"{_PREFIX}http_request_seconds", "From a request's head to the end of its answer", ["route"],
            buckets=_SHORT_S, registry=registry,
        )  # fmt: skip
        self.in_flight = Gauge(f"{_PREFIX}http_requests_in_flight", "Requests that are not answered", registry=registry)
        self.rejected = Counter(
            f"{_PREFIX}http_rejected", "Requests that were turned away", ["reason"], registry=registry
        )
        self.received = Counter(
            f"{_PREFIX}http_received_bytes", "Bytes of requests' bodies", ["route"], registry=registry
        )
        self.sent = Counter(f"{_PREFIX}http_sent_bytes", "Bytes of answers' bodies", ["route"], registry=registry)
        self.unlogged = Counter(f"{_PREFIX}access_log_dropped", "Lines that nobody took in time", registry=registry)
        self.wyoming = Counter(f"{_PREFIX}wyoming_requests", "Wyoming's requests", ["outcome"], registry=registry)
        info = Gauge(f"{_PREFIX}info", "What this is", ["version"], registry=registry)
        info.labels(__version__).set(1)
        for reason in _REASONS.values():  # from nought on, so that the first one is an increase
            self.rejected.labels(reason)
        self._histograms = {
            name: Histogram(_PREFIX + ours, what, [_label(a) for a in labels], buckets=_SHORT_S, registry=registry)
            for name, (ours, what, labels) in _HISTOGRAMS.items()
        }
        self._counters = {
            name: Counter(_PREFIX + ours, what, [_label(a) for a in labels], registry=registry)
            for name, (ours, what, labels) in _COUNTERS.items()
        }
        ProcessCollector(f"{_PREFIX}server", registry=registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request is over."""
        self.requests.labels(method if method in _METHODS else "OTHER", route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)
        if status in _REASONS and route not in PROBES:
            self.rejected.labels(_REASONS[status]).inc()

    def duration(self, name: str, value_s: float, attributes: Mapping[str, AttributeValue]) -> None:
        """Seconds of one of the telemetry's histograms."""
        if name in self._histograms:
            labels = [str(attributes.get(a, "")) for a in _HISTOGRAMS[name][2]]
            found = self._histograms[name]
            (found.labels(*labels) if labels else found).observe(value_s)

    def count(self, name: str, value: float, attributes: Mapping[str, AttributeValue]) -> None:
        """More of one of the telemetry's counters."""
        if name in self._counters:
            self._counters[name].labels(*(str(attributes.get(a, "")) for a in _COUNTERS[name][2])).inc(value)

    def gauge(self, name: str, what: str, value: Callable[[], float]) -> None:
        """A figure that is asked for when somebody looks."""
        Gauge(_PREFIX + name, what, registry=self.registry).set_function(value)

    def watch_process(self, name: str, process_id: Callable[[], int | None]) -> None:
        """Memory, processor time and files of another process; none where there is no such process."""

        def pid() -> int:
            if (found := process_id()) is None:
                raise ProcessLookupError
            return found

        self.registry.register(_OtherProcess(ProcessCollector(_PREFIX + name, pid=pid, registry=None)))

    def watch_jobs(self, usage: Callable[[], Usage]) -> None:
        """Durable jobs in their states, and the bytes that they take."""
        self.registry.register(_Jobs(usage))

    def text(self) -> bytes:
        """All of it, as Prometheus reads it. It may ask a disk: not for the event loop's thread."""
        return generate_latest(self.registry)


class _OtherProcess(Collector):
    def __init__(self, collector: ProcessCollector) -> None:
        self._collector = collector

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        try:
            return list(self._collector.collect())
        except OSError:
            return []


class _Jobs(Collector):
    def __init__(self, usage: Callable[[], Usage]) -> None:
        self._usage = usage

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        try:
            usage = self._usage()
        except StoreUnavailable as error:  # the runner has said so
            _log.debug("the jobs are not counted: %s", error)
            return
        except Exception:  # noqa: BLE001 - a store that fails hides no other figure
            _log.exception("the jobs could not be counted")
            return
        states = GaugeMetricFamily(f"{_PREFIX}jobs", "Durable jobs", labels=["state"])
        for state, count in usage.jobs.items():
            states.add_metric([state.value], count)
        yield states
        yield GaugeMetricFamily(f"{_PREFIX}jobs_bytes", "Disk that durable jobs take", usage.kept_bytes)


class CountedTelemetry(Telemetry):
    """A `Telemetry` that counts for `/metrics` too."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__()
        self._metrics = metrics

    def duration(self, name: str, value_s: float, attributes: Mapping[str, AttributeValue]) -> None:
        super().duration(name, value_s, attributes)
        self._metrics.duration(name, value_s, attributes)

    def count(self, name: str, value: float, attributes: Mapping[str, AttributeValue]) -> None:
        super().count(name, value, attributes)
        self._metrics.count(name, value, attributes)
