"""Where the spans of `serve` go: to a collector, by the standard OTEL_* variables (extra `[otel]`).

This is the process's edge, which sets up OpenTelemetry's SDK; all other modules know the API alone. Where somebody has
set one up already (`opentelemetry-instrument`), that stays.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import ExtraNotInstalled, InvalidOption
from autorag_whisper.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"
_FLUSH_S = 3.0
"""At the end, for what is not sent yet; a collector that does not answer holds up nothing longer."""


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether spans are to be sent: an exporter is named, or an address of a collector is.

    Raises InvalidOption for an exporter or a protocol that there is not.
    """
    values = {name: value.strip() for name, value in environ.items() if name.startswith("OTEL_")}
    if values.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = values.get("OTEL_TRACES_EXPORTER", "").lower()
    if exporter not in ("", "otlp", "none"):
        raise InvalidOption("OTEL_TRACES_EXPORTER", exporter, "otlp or none")
    if exporter == "none" or not (exporter or any(values.get(name) for name in _ENDPOINTS)):
        return False
    for name in _PROTOCOLS:
        if values.get(name, _HTTP) not in ("", _HTTP):
            raise InvalidOption(name, values[name], f"{_HTTP}, at the collector's port for it (mostly 4318)")
    return True


@contextlib.contextmanager
def traces(environ: Mapping[str, str]) -> Iterator[None]:
    """Send this process's spans for the length of a `with`, where the variables ask for it.

    Raises InvalidOption as `is_wanted`, ExtraNotInstalled.
    """
    if not is_wanted(environ):
        yield
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ExtraNotInstalled("OpenTelemetry's SDK or its exporter", "otel", str(error)) from error
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        yield
        return
    told = Resource.create().attributes.get(SERVICE_NAME, "")
    name = "autorag-whisper" if str(told).startswith("unknown_service") else told
    resource = Resource.create({SERVICE_NAME: name, "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        ending = threading.Thread(target=provider.shutdown, name="autorag-whisper-traces", daemon=True)
        ending.start()
        ending.join(_FLUSH_S)
