"""The service over fakes, for tests: its application, a client of it, and requests written by hand."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from fastapi.testclient import TestClient

from autorag_whisper.isolation.pool import pool
from autorag_whisper.server.app import Engine, create_app
from autorag_whisper.server.settings import ServerSettings
from autorag_whisper.testing import FakeWhisper
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx
    from fastapi import FastAPI

    from autorag_whisper.engines.base import Encoded
    from autorag_whisper.server.app import Service

BASE = "http://127.0.0.1:8060"
TRANSCRIPTIONS = "/v1/audio/transcriptions"


class Gate:
    """Holds engines until it is opened. `asked` counts what came to it."""

    def __init__(self) -> None:
        self.asked, self.let = threading.Semaphore(0), threading.Event()

    def pass_through(self) -> None:
        self.asked.release()
        assert self.let.wait(240)


@contextmanager
def held_world(gate: Gate) -> Iterator[World]:
    """A world whose engine stands at `gate` in every batch."""

    class Held(FakeWhisper):
        def encode(self, features: Any) -> Encoded:
            gate.pass_through()
            return super().encode(features)

    world = World(engine=Held)
    with world.transcriber:
        yield world
        gate.let.set()  # a batch that is held holds up the closing


def app_of(world: World, clock: Callable[[], float] = lambda: 0.0, **settings: Any) -> FastAPI:
    engine = Engine(world.transcriber, lambda: ["base", "tiny.en"], clock)
    return create_app(engine, ServerSettings(**settings))


def client_of(app: FastAPI, base: str = BASE) -> TestClient:
    return TestClient(app, base, raise_server_exceptions=False)


def service_of(client: TestClient) -> Service:
    service: Service = client.app.state.service  # type: ignore[attr-defined]  # the state of a FastAPI
    return service


def post(client: TestClient, speech: bytes, path: str = TRANSCRIPTIONS, **fields: Any) -> httpx.Response:
    return client.post(path, files={"file": ("talk.mp3", speech)}, data=fields)


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error of an answer, which has OpenAI's shape."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return dict(body["error"])


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not happen")


def decoder_of(size: int, process_id: int | None = None) -> int:
    """The decoder process of a recording of so many bytes, of a fork server (this process's)."""
    found: list[int] = []

    def look() -> bool:
        for child in psutil.Process(process_id or pool().process_id).children():
            with suppress(OSError):  # it has ended by now
                sizes = [entry.stat().st_size for entry in Path(f"/proc/{child.pid}/fd").iterdir()]
                found.extend([child.pid] if size in sizes else [])
        return bool(found)

    until(look)
    return found[0]


class Exchange:
    """One request written by hand, as an ASGI server gives it: `received` messages, and what was `sent`."""

    def __init__(self, path: str, headers: dict[str, str], *messages: dict[str, Any], method: str = "POST") -> None:
        lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": lines,
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8060),
        }
        self.messages, self.received, self.sent = list(messages), 0, list[dict[str, Any]]()

    async def receive(self) -> dict[str, Any]:
        import asyncio

        if self.received < len(self.messages):
            self.received += 1
            return self.messages[self.received - 1]
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    async def send(self, message: Any) -> None:
        self.sent.append(dict(message))

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def error(self) -> dict[str, Any]:
        return dict(json.loads(self.body)["error"])


def form(speech: bytes, **fields: str) -> tuple[dict[str, str], dict[str, Any]]:
    """The headers and the one message of a whole form."""
    parts = [f'--x\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in fields.items()]
    file = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + speech + b"\r\n--x--\r\n"
    body = b"".join(parts) + file
    headers = {
        "content-type": "multipart/form-data; boundary=x",
        "content-length": str(len(body)),
        "host": "127.0.0.1:8060",
    }
    return headers, {"type": "http.request", "body": body, "more_body": False}
