"""The benchmark of the service: its own arithmetic, and that its load goes to this machine alone."""

from __future__ import annotations

import asyncio
import math
import sys
from pathlib import Path

import pytest
from benchmarks.compare.recordings import Recording
from benchmarks.serve.load import Answer, Clip, Loaded, load, quantile, require_loopback
from benchmarks.serve.servers import ServerChoice, served
from benchmarks.serve.soak import Soaked, report
from benchmarks.serve.tables import BEGIN, END, markdown, put_into
from hypothesis import given
from hypothesis import strategies as st

SERVER = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(404, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(500 if b"broken" in body else 200, {"text": "alpha charlie"})

    def answer(self, status, said):
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def clip(name: str, data: bytes = b"", text: str = "alpha bravo") -> Clip:
    recording = Recording(Path(name), "real", 5.0, "en", text, speech=True, scored=bool(text))
    return Clip(recording, data)


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_a_value_that_so_many_do_not_exceed(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values)


def test_the_quantile_of_nothing_is_no_number() -> None:
    assert math.isnan(quantile([], 0.5))


@pytest.mark.parametrize("base", ["http://192.168.0.1:80", "http://example.org", "http://127.0.0.1.example.org"])
def test_load_goes_to_this_machine_alone(base: str) -> None:
    with pytest.raises(ValueError, match="this machine alone"):
        require_loopback(base)
    with pytest.raises(ValueError, match="this machine alone"):
        asyncio.run(load(base, [clip("a.wav")], 1, 1, {}))


def test_rates_errors_and_latencies_of_a_load() -> None:
    answers = [
        Answer(clip("a.wav"), 0.0, 1.0, 200, "alpha bravo"),
        Answer(clip("b.wav"), 0.0, 3.0, 200, "alpha"),
        Answer(clip("c.wav", text=""), 0.0, 2.0, 200, "no reference"),
        Answer(clip("d.wav"), 0.0, 9.0, 503),
    ]
    figures = Loaded(6.0, answers).figures()
    assert (figures["requests"], figures["failed"], figures["requests_per_s"]) == (3, 1, 0.5)
    assert (figures["audio_per_s"], figures["p50_ms"], figures["p95_ms"], figures["wer"]) == (2.5, 2000, 3000, 25.0)
    assert Loaded(6.0, answers).names == {"real/a.wav", "real/b.wav", "real/c.wav"}
    assert Loaded(6.0, answers).figures({"real/a.wav"})["wer"] == 0.0
    assert math.isnan(Loaded(6.0).figures()["p50_ms"])


def test_a_load_has_as_many_requests_as_were_asked_for() -> None:
    choice = ServerChoice("fake", "a fake", (sys.executable, "-c", SERVER, "{port}"))
    clips = [clip("a.wav", b"good"), clip("b.wav", b"broken")]
    with served(choice) as server:
        found = asyncio.run(load(server.base, clips, 4, 10, {"response_format": "json"}))
        short = asyncio.run(load(server.base, clips, 4, 10, {}, most_s=0.0))
        assert server.memory_mb() > 1
        assert min(server.memory_of().values()) > 1
        assert server.descriptors()[0] > 2
        code, _ = server.end()
    assert [answer.status for answer in found.answers].count(200) == 5
    assert [answer.status for answer in found.answers].count(500) == 5
    assert found.errors().rate == 50.0
    assert len(short.answers) == 4, "nothing more is sent once the time is over"
    assert code == -15


def test_a_server_that_does_not_start_says_why() -> None:
    choice = ServerChoice("fake", "a fake", (sys.executable, "-c", "raise SystemExit('no such model')"))
    with pytest.raises(RuntimeError, match="no such model"), served(choice):
        pass


def test_growth_is_that_after_the_warm_up_and_of_each_process() -> None:
    web, worker = [100.0] * 16, [50.0, 100.0, 200.0, 400.0, *[400.0] * 6, *[440.0] * 6]
    rows = [{7: w, 8: x} | ({9 + n: 50.0} if n % 2 else {}) for n, (w, x) in enumerate(zip(web, worker, strict=True))]
    seen = Soaked(rows, [[10, 20], [10, 21]], {"clip": 3})
    told = report(seen)
    assert told["grew_percent"] == [0.0, 10.0]
    assert told["memory_mb"] == [100, 440]
    assert told["replaced"] == 6, "those that came and went are counted"
    assert told["descriptors_at_rest"] == {"before": [10, 20], "after": [10, 21]}


def test_the_table_names_goals_and_servers() -> None:
    row = {"told": "a server"} | Loaded(2.0, [Answer(clip("a.wav"), 0.0, 1.0, 200, "alpha bravo")]).figures()
    found = {
        "about": {"date": "2026-01-01"},
        "throughput": {"servers": {"ours": row | {"memory_mb": 500}}, "times_best_peer": 4.5},
        "first-delta": {"median_s": 1.5},
    }
    text = markdown(found)
    assert "| a server | 0.50 | 1.00 | 1.00 | 0.0 | 500 | 1 | 0 |" in text
    assert "times_best_peer: 4.5" in text
    assert "first-delta (goal: <= 2 s)" in text


def test_readme_gets_the_table_of_servers_and_stays_what_it_is_else(root: Path) -> None:
    row = {
        "told": "ours",
        "requests_per_s": 3.0,
        "p50_ms": 1000,
        "p95_ms": 2000,
        "wer": 20.0,
        "memory_mb": 1,
        "requests": 48,
        "failed": 0,
    }
    absent = {"told": "whisper-live", "problem": "whisper-live does not start:\nno module | named torch"}
    found = {"about": {"date": "today"}, "throughput": {"servers": {"ours": row, "whisper-live": absent}}}
    readme = (root / "README.md").read_text(encoding="utf-8")
    written = put_into(readme, found)
    assert "| ours | 3.00 | 1.00 | 2.00 | 20.0 | 1 | 48 | 0 |" in written
    assert "| whisper-live | did not start: no module / named torch | | | | | | |" in written
    assert put_into(written, found) == written
    assert (written.partition(BEGIN)[0], written.partition(END)[2]) == (
        readme.partition(BEGIN)[0],
        readme.partition(END)[2],
    )
    with pytest.raises(ValueError, match="README has not"):
        put_into("nothing", found)
