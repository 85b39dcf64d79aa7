"""Small local servers that speak the protocols of LLM servers, with their documented bad habits."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeLlm:
    """One model on a card of `total` bytes. `habit` is what it does wrong:

    `late`: it answers before it has unloaded, and unloads at the third look; `never`: it answers and stays;
    `nothing_freed`: it says it is gone, the card does not; `revived`: new requests bring it back each time;
    `revived_once`; `no_endpoint`: 404; `error`: 500; `garbage`: no JSON; `endless`: a body that never ends; `hangs`.
    """

    total, size = 1 << 34, 1 << 33

    def __init__(self, habit: str = "") -> None:
        self.habit, self.loaded, self.asked_back = habit, True, 0
        self.on_card = True
        self.unloads = self._looks_left = 0
        self.calls: list[str] = []
        self.released = threading.Event()
        made = type("Handler", (_Handler,), {"llm": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), made)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def free(self) -> int:
        return self.total - (self.size if self.on_card else 0)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def unload(self) -> None:
        self.unloads += 1
        if self.habit == "late":
            self._looks_left = 3
        elif self.habit != "never":
            self._go()

    def look(self) -> bool:
        """Whether it is loaded, as it tells whoever asks."""
        if self._looks_left:
            self._looks_left -= 1
            if not self._looks_left:
                self._go()
        told = self.loaded
        if not self.loaded and (self.habit == "revived" or (self.habit == "revived_once" and self.unloads == 1)):
            self.loaded = self.on_card = True  # new requests came in
        return told

    def load(self) -> None:
        self.asked_back += 1
        self.loaded = self.on_card = True

    def _go(self) -> None:
        self.loaded = False
        self.on_card = self.habit == "nothing_freed"


class _Handler(BaseHTTPRequestHandler):
    llm: FakeLlm

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        self.llm.calls.append(f"{method} {self.path}")
        match self.llm.habit:
            case "hangs":
                self.llm.released.wait(30)
            case "no_endpoint":
                self._send(404, {"error": "not found"})
            case "error":
                self._send(500, {"error": "out of luck"})
            case "garbage":
                self._send_bytes(200, b"<html>hello</html>")
            case "endless":
                self._send_without_end()
            case _:
                parts = urlsplit(self.path)
                found = answer(self.llm, method, parts.path, {**parse_qs(parts.query), **body})
                self._send(*found)

    def _send(self, status: int, facts: Any) -> None:
        self._send_bytes(status, json.dumps(facts).encode() if facts is not None else b"")

    def _send_bytes(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _send_without_end(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while not self.llm.released.is_set():
                self.wfile.write(b"x" * 65536)
        except OSError:
            pass


def answer(llm: FakeLlm, method: str, path: str, given: dict[str, Any]) -> tuple[int, Any]:
    """What each kind of server says, by its endpoints."""
    routes: dict[tuple[str, str], Callable[[], tuple[int, Any]]] = {
        ("GET", "/api/ps"): lambda: (
            200,
            {"models": [{"name": "m:latest", "model": "m:latest"}] if llm.look() else []},
        ),
        ("POST", "/api/generate"): lambda: _ollama(llm, given),
        ("GET", "/is_sleeping"): lambda: (200, {"is_sleeping": not llm.look()}),
        ("POST", "/sleep"): lambda: (200, llm.unload()) if given.get("level") == ["1"] else (400, None),
        ("POST", "/wake_up"): lambda: (200, llm.load()),
        ("GET", "/models"): lambda: (200, _router(llm)),
        ("POST", "/models/unload"): lambda: (200, llm.unload()) if given.get("model") == "m" else (400, None),
        ("GET", "/running"): lambda: (200, {"running": [{"model": "m", "state": "ready"}] if llm.look() else []}),
        ("POST", "/api/models/unload"): lambda: (200, llm.unload()),
        ("POST", "/api/models/unload/m"): lambda: (200, llm.unload()),
    }
    return routes.get((method, path), lambda: (404, {"error": "no such endpoint"}))()


def _ollama(llm: FakeLlm, given: dict[str, Any]) -> tuple[int, Any]:
    if given.get("keep_alive") != 0 or given.get("model") != "m:latest":
        return 400, {"error": "that would load it"}
    llm.unload()
    return 200, {"done": True, "done_reason": "unload"}


def _router(llm: FakeLlm) -> dict[str, Any]:
    state = "loaded" if llm.look() else "unloaded"
    return {"data": [{"id": "m", "status": {"value": state}}, {"id": "other", "status": {"value": "unloaded"}}]}
