"""What an operator sees of the service: figures, a line for each request, and traces that go on in the engine."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from prometheus_client.parser import text_string_to_metric_families

from autorag_whisper.cli.tracing import is_wanted
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.jobs.job import JobRequest
from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.jobs.runner import JobRunner
from autorag_whisper.server import keys
from autorag_whisper.server.access_log import AccessLog, to_file
from autorag_whisper.server.app import Engine, create_app
from autorag_whisper.server.metrics import CountedTelemetry, Metrics
from autorag_whisper.server.observing import Observers
from autorag_whisper.server.settings import ServerSettings
from autorag_whisper.telemetry import Telemetry, traceparent
from autorag_whisper.testing import speech_samples, write_speech
from http_world import until
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

TRANSCRIPTIONS = "/v1/audio/transcriptions"
ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-secret-1"


class Observed:
    """The application over fakes, with all that is told of it. `log` has what the access log was given."""

    def __init__(self, telemetry: Telemetry | None = None, **settings: Any) -> None:
        self.metrics, self.log = Metrics(), list[str]()
        told = CountedTelemetry(self.metrics) if telemetry is None else telemetry
        self.world = World(telemetry=told)
        self._access = AccessLog(self.log.append, self.metrics.unlogged.inc)
        named = {keys.client_id(keys.digest(KEY)): "anna"}
        observers = Observers(
            self.metrics, time.monotonic, lambda: 1_700_000_000.0, told, self._access, lambda one: named.get(one, one)
        )
        engine = Engine(self.world.transcriber, lambda: ["base"], lambda: 0.0)
        self.app = create_app(engine, ServerSettings(**settings), observers=observers)
        self.client = TestClient(self.app, base_url="http://localhost", raise_server_exceptions=False)

    def __enter__(self) -> Observed:
        self._access.__enter__()
        self.client.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.__exit__(None, None, None)
        self._access.__exit__(None, None, None)
        self._access._thread.join(60)  # an end that is asked for waits for it no longer than some seconds
        self.world.transcriber.close()

    def post(self, speech: bytes, path: str = TRANSCRIPTIONS, **given: Any) -> Any:
        return self.client.post(path, files={"file": ("talk.mp3", speech)}, **given)

    def figures(self) -> dict[tuple[str, ...], float]:
        """Of each sample its name and its labels' values, and its value."""
        text = self.client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"}).text
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def lines(self) -> list[dict[str, Any]]:
        """What the access log was given, once it is closed."""
        return [json.loads(line) for text in self.log for line in text.splitlines()]


@pytest.fixture
def speech(tmp_path: Path) -> bytes:
    return write_speech(tmp_path / "talk.wav", speech_samples(5)).read_bytes()


def test_requests_are_counted_by_route_and_status_and_the_engine_by_what_it_did(speech: bytes) -> None:
    with Observed(key_digests=[keys.digest(KEY)], max_upload_bytes=1_000_000) as observed:
        key = {"Authorization": f"Bearer {KEY}"}
        until(lambda: observed.app.state.service.health.warm)
        assert observed.post(speech, headers=key).status_code == 200
        assert observed.post(speech).status_code == 401
        assert observed.post(bytes(2_000_000), headers=key).status_code == 413
        assert observed.post(b"no media", headers=key).status_code == 400
        assert observed.client.get("/v1/models/base", headers=key).status_code == 200
        observed.app.state.service.health.draining = True
        assert observed.client.get("/readyz").status_code == 503  # which turns nobody away
        observed.app.state.service.health.draining = False
        found = observed.figures()
    requests = {key[1:]: value for key, value in found.items() if key[0] == "autorag_whisper_http_requests_total"}
    assert {("POST", TRANSCRIPTIONS, str(status)): 1 for status in (200, 400, 401, 413)} | {
        ("GET", "/v1/models/{name:path}", "200"): 1,
        ("GET", "/readyz", "503"): 1,
    } == requests
    assert found["autorag_whisper_http_rejected_total", "not_now"] == 0
    assert found["autorag_whisper_http_rejected_total", "no_key"] == 1
    assert found["autorag_whisper_http_rejected_total", "too_large"] == 1
    assert found["autorag_whisper_http_request_seconds_count", TRANSCRIPTIONS] == 4
    assert found["autorag_whisper_http_received_bytes_total", TRANSCRIPTIONS] > len(speech)
    assert found["autorag_whisper_audio_seconds_total", "cpu"] >= 5.0
    assert found["autorag_whisper_engine_batches_total", "cpu"] >= 1
    assert (
        found["autorag_whisper_engine_batch_rows_total", "cpu"] >= found["autorag_whisper_engine_batches_total", "cpu"]
    )
    assert found["autorag_whisper_file_seconds_count", "done"] >= 1
    assert (found["autorag_whisper_ready",], found["autorag_whisper_requests_in_work",]) == (1, 0)
    assert found["autorag_whisper_http_requests_in_flight",] == 1  # this one


def test_no_label_takes_values_from_a_client() -> None:
    with Observed() as observed:
        before = set(observed.figures())
        for number in range(20):
            observed.client.get(f"/nothing/{number}")
            observed.client.get(f"/v1/models/model-{number}")
            observed.client.request(
                f"VERB{number}", f"/v1/models/model-{number}", headers={"X-Request-Id": str(number)}
            )
        more = {key[1:] for key in set(observed.figures()) - before if key[0].endswith("requests_total")}
    assert more == {
        ("GET", "other", "404"), ("GET", "/v1/models/{name:path}", "404"), ("OTHER", "/v1/models/{name:path}", "405"),
        ("GET", "/metrics", "200"),
    }  # fmt: skip


def test_durable_jobs_are_counted_in_their_states_and_a_store_that_fails_hides_nothing_else() -> None:
    store, metrics = MemoryJobStore(), Metrics()
    for _ in range(3):
        store.add(JobRequest("/in/a.wav", "a.wav", media_bytes=7), 0.0)
    store.claim(30.0, 1.0)
    metrics.watch_jobs(store.usage)
    text = metrics.text().decode()
    assert 'autorag_whisper_jobs{state="queued"} 2.0' in text
    assert 'autorag_whisper_jobs{state="running"} 1.0' in text
    assert "autorag_whisper_jobs_bytes 21.0" in text

    def fails() -> Any:
        raise RuntimeError("the disk is gone")

    broken = Metrics()
    broken.watch_jobs(fails)
    assert "autorag_whisper_info" in broken.text().decode()


def test_a_process_that_is_not_there_has_no_figures_and_one_that_is_has_its_own() -> None:
    metrics, there = Metrics(), list[int]()
    metrics.watch_process("worker", lambda: there[0] if there else None)
    assert "worker_process_resident_memory_bytes" not in metrics.text().decode()
    there.append(1)
    assert "autorag_whisper_worker_process_resident_memory_bytes" in metrics.text().decode()


def test_the_documented_figures_are_those_that_there_are() -> None:
    metrics = Metrics()
    metrics.watch_jobs(MemoryJobStore().usage)
    metrics.watch_process("worker", lambda: 1)
    metrics.gauge("requests_in_work", "", lambda: 0.0)
    metrics.gauge("ready", "", lambda: 1.0)
    families = {family.name for family in text_string_to_metric_families(metrics.text().decode())}
    families = {re.sub(r"_process_\w+$", "_process_*", name) for name in families if not name.endswith("_created")}
    page = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(autorag_whisper_[a-z_*]+)`", page, re.MULTILINE))
    assert {re.sub("_total$", "", name) for name in documented} == families


def test_each_request_has_a_line_that_says_who_and_what_but_not_what_was_said(speech: bytes) -> None:
    with Observed(key_digests=[keys.digest(KEY)]) as observed:
        key = {"Authorization": f"Bearer {KEY}", "X-Request-Id": "mine-1"}
        answer = observed.post(speech, headers=key, data={"prompt": "Geheimnis"})
        observed.client.get("/livez")
        observed.client.post("/asr?initial_prompt=Geheimnis", files={"audio_file": ("Geheimnis.wav", speech)})
    first, second = observed.lines()
    assert answer.headers["x-request-id"] == "mine-1"
    sent, received = len(answer.content), first.pop("bytes_in")
    assert received > len(speech)
    assert first.pop("ms") > 0
    assert first == {
        "time": "2023-11-14T22:13:20.000+00:00", "request_id": "mine-1", "client": "anna", "method": "POST",
        "route": TRANSCRIPTIONS, "status": 200, "bytes_out": sent, "audio_s": 5.0,
    }  # fmt: skip
    assert (second["route"], second["status"], second["client"]) == ("/asr", 401, "")
    told = "".join(observed.log)
    assert all(word not in told for word in ("Geheimnis", KEY, "one two", "talk.mp3"))


@pytest.mark.parametrize("given", ["a b", 'x"y', "\u00e4".encode().decode("latin-1"), "x" * 65, "a;b", ""])
def test_a_request_id_that_cannot_be_logged_as_it_is_gets_another_one(given: str) -> None:
    with Observed() as observed:
        answer = observed.client.get("/v1/models", headers={"X-Request-Id": given.encode("latin-1")})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_a_log_that_nobody_takes_holds_up_no_request_and_what_is_dropped_is_counted() -> None:
    begun, held, dropped, written = threading.Event(), threading.Event(), list[int](), list[str]()

    def stuck(text: str) -> None:
        begun.set()
        assert held.wait(60)
        written.append(text)

    log = AccessLog(stuck, dropped.append)
    with log:
        log.tell({"n": 0})
        assert begun.wait(60)  # it has taken that one, and takes no other
        for number in range(1, 20_000):
            log.tell({"n": number})
        held.set()
    log._thread.join(60)
    assert sum(dropped) == 9_999
    assert "".join(written).count("\n") == 10_001

    def fails(_: str) -> None:
        raise BrokenPipeError

    lost = list[int]()
    with AccessLog(fails, lost.append) as failing:
        failing.tell({})
        failing.tell({})
    failing._thread.join(60)
    assert sum(lost) == 2


def test_a_log_in_a_file_goes_on_in_a_new_one_when_it_is_renamed(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("before\n")
    write = to_file(path)
    write('{"n": 1}\n')
    path.rename(tmp_path / "access.log.1")
    write('{"n": 2}\n')
    assert (tmp_path / "access.log.1").read_text() == 'before\n{"n": 1}\n'
    assert path.read_text() == '{"n": 2}\n'


@pytest.fixture
def traced() -> Iterator[tuple[Observed, InMemorySpanExporter]]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with Observed(Telemetry(tracer_provider=provider)) as observed:
        until(lambda: observed.client.get("/readyz").status_code == 200)
        exporter.clear()
        yield observed, exporter


def test_a_request_goes_on_in_its_clients_trace_down_to_the_engines_spans(
    traced: tuple[Observed, InMemorySpanExporter], speech: bytes
) -> None:
    observed, exporter = traced
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    answer = observed.post(speech, headers={"traceparent": f"00-{trace}-{parent}-01"})
    spans = {span.name: span for span in exporter.get_finished_spans()}
    request = spans[f"POST {TRANSCRIPTIONS}"]
    assert request.attributes is not None
    assert request.attributes["http.route"] == TRANSCRIPTIONS
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["audio.duration_s"] == 5.0
    assert request.parent is not None
    assert (f"{request.context.trace_id:032x}", f"{request.parent.span_id:016x}") == (trace, parent)
    assert answer.headers["traceresponse"] == f"00-{trace}-{request.context.span_id:016x}-01"
    for name in ("load_audio", "ct2_transcribe", "align"):
        one = spans[f"autorag.whisper.{name}"]
        assert one.parent is not None
        assert (f"{one.context.trace_id:032x}", one.parent.span_id) == (trace, request.context.span_id)


def test_a_job_goes_on_in_the_trace_of_its_request_in_whatever_process(tmp_path: Path, speech: bytes) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = Telemetry(tracer_provider=provider)
    with telemetry.around("request", SpanKind.SERVER, {}) as request:
        trace = traceparent()
    (tmp_path / "talk.wav").write_bytes(speech)
    store, world = MemoryJobStore(), World(telemetry=telemetry)
    with world.transcriber:
        runner = JobRunner(store, world.transcriber, tmp_path, time.time, most=1)
        runner.telemetry = telemetry
        job = store.add(JobRequest(str(tmp_path.resolve() / "talk.wav"), "talk.wav", trace=trace), 0.0)
        until(lambda: (found := store.get(job.id)) is not None and found.state.is_final)
        runner.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    done = spans["autorag.whisper.job"]
    assert done.attributes == {"job.id": job.id}
    assert done.parent is not None
    assert done.parent.span_id == request.get_span_context().span_id
    for name in ("load_audio", "ct2_transcribe", "align"):
        one = spans[f"autorag.whisper.{name}"]
        assert one.parent is not None
        assert (one.context.trace_id, one.parent.span_id) == (done.context.trace_id, done.context.span_id)


@pytest.mark.parametrize("given", ["", "nonsense", "00-0-0-01", "00-" + "0" * 32 + "-" + "1" * 16 + "-01"])
def test_a_trace_that_is_none_begins_a_new_one(traced: tuple[Observed, InMemorySpanExporter], given: str) -> None:
    observed, exporter = traced
    assert observed.client.get("/v1/models", headers={"traceparent": given}).status_code == 200
    (span,) = exporter.get_finished_spans()
    assert span.parent is None


def test_an_answer_that_fails_is_an_error_in_its_span_and_probes_have_none(
    traced: tuple[Observed, InMemorySpanExporter],
) -> None:
    observed, exporter = traced

    @observed.app.get("/fails")
    async def fails() -> None:
        raise RuntimeError("a secret")

    assert observed.client.get("/fails").status_code == 500
    observed.client.get("/livez")
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok
    assert "secret" not in span.to_json()


def test_two_requests_at_once_keep_to_their_own_records(speech: bytes) -> None:
    import httpx

    with Observed() as observed:

        async def both() -> None:
            transport = httpx.ASGITransport(observed.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                await asyncio.gather(
                    client.post(TRANSCRIPTIONS, files={"file": speech}, headers={"X-Request-Id": "a"}),
                    client.get("/v1/models", headers={"X-Request-Id": "b"}),
                )

        assert observed.client.portal is not None
        observed.client.portal.call(both)
    assert {line["request_id"]: line["audio_s"] for line in observed.lines()} == {"a": 5.0, "b": 0.0}


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
        ({"OTEL_SERVICE_NAME": "speech"}, False),
    ],
)
def test_traces_are_sent_where_the_standard_variables_ask_for_it(environ: dict[str, str], wanted: bool) -> None:
    assert is_wanted(environ) is wanted


@pytest.mark.parametrize("environ", [{"OTEL_TRACES_EXPORTER": "zipkin"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}])
def test_an_exporter_or_a_protocol_that_there_is_not_is_told(environ: dict[str, str]) -> None:
    with pytest.raises(InvalidOption):
        is_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"} | environ)


def test_keys_may_have_names_and_digests_are_those_of_the_keys_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# who may\n{KEY} # anna\n\nplain#key\n  # not this\n")
    assert keys.read_keys(str(file)) == {keys.digest(KEY): "anna", keys.digest("plain#key"): ""}
    assert keys.read_digests(str(file)) == tuple(keys.read_keys(str(file)))
