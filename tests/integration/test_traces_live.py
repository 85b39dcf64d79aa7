"""The traces of the service as it is started, at a collector: from the client down to the worker process."""

from __future__ import annotations

import gzip
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from served import KEY, Served

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector(ThreadingHTTPServer):
    """Takes spans over OTLP, on a free port."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        super().__init__(("127.0.0.1", 0), Taking)


class Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        told = ExportTraceServiceRequest.FromString(body)
        assert isinstance(self.server, Collector)
        self.server.spans += [s for r in told.resource_spans for scope in r.scope_spans for s in scope.spans]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.mark.slow
def test_a_collector_gets_one_trace_from_the_client_down_to_the_worker_and_nothing_that_was_said(
    tmp_path: Path, demo_sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collector() as collector, ThreadPoolExecutor(1) as threads:
        threads.submit(collector.serve_forever)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        server = Served(tmp_path)
        trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
        with demo_sample.open("rb") as file:
            answer = httpx.post(
                f"{server.base}/v1/audio/transcriptions?prompt=Geheimnis",
                files={"file": file},
                data={"prompt": "Geheimnis"},
                headers={"Authorization": f"Bearer {KEY}", "traceparent": f"00-{trace}-{parent}-01"},
                timeout=120,
            )
        assert server.end() == 143
        collector.shutdown()
    ours = {span.name: span for span in collector.spans if span.trace_id.hex() == trace}
    request = ours.pop("POST /v1/audio/transcriptions")
    assert request.parent_span_id.hex() == parent
    assert ours.keys() == {f"autorag.whisper.{name}" for name in ("load_audio", "ct2_transcribe", "align")}
    assert {span.parent_span_id for span in ours.values()} == {request.span_id}
    assert "tickets" in answer.text
    assert "Geheimnis" not in str(collector.spans)
    assert "tickets" not in str(collector.spans)
