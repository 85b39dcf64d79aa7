"""Short questions to a server nearby: JSON both ways, a deadline, no more bytes than an answer may have."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.errors import LlmUnreachable

if TYPE_CHECKING:
    import ssl

_MOST_BYTES = 4 << 20


class Http:
    """One server. No redirects, no proxies of the environment: it is on this machine or next door.

    `timeout_s`: of each step of a call (connecting, each piece of the answer), and of the whole answer.
    """

    def __init__(self, name: str, base_url: str, timeout_s: float) -> None:
        self.name, self._base_url, self._timeout_s = name, base_url.rstrip("/"), timeout_s

    def get(self, path: str) -> Any:
        """The answer's JSON. Raises LlmUnreachable."""
        return self._call("GET", path)

    def post(self, path: str, body: object | None = None) -> Any:
        """The answer's JSON, None for an empty answer. Raises LlmUnreachable."""
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: object | None = None) -> Any:
        try:
            import httpx2
        except ImportError as error:
            raise LlmUnreachable(self.name, "httpx2 is not installed", 'pip install "autorag-whisper[llm]"') from error
        try:
            with (
                httpx2.Client(
                    timeout=self._timeout_s, trust_env=False, follow_redirects=False, verify=_certificates()
                ) as client,
                client.stream(method, self._base_url + path, json=body) as answer,
            ):
                data = self._read(answer)
                status = int(answer.status_code)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise LlmUnreachable(self.name, f"{method} {path}: {type(error).__name__}") from error
        if status >= 300:
            remedy = "start it with what its documentation names for this endpoint" if status in (404, 405, 501) else ""
            raise LlmUnreachable(self.name, f"{method} {path} answered {status}", remedy, status)
        return self._parsed(data, method, path)

    def _read(self, answer: Any) -> bytes:
        """The body; ends at its deadline also where a server sends a byte now and then."""
        from time import monotonic

        ends, data = monotonic() + self._timeout_s, b""
        for piece in answer.iter_bytes():
            data += piece
            if len(data) > _MOST_BYTES:
                raise LlmUnreachable(self.name, f"its answer is longer than {_MOST_BYTES >> 20} MiB")
            if monotonic() > ends:
                raise LlmUnreachable(self.name, f"its answer took longer than {self._timeout_s:g} s")
        return data

    def _parsed(self, data: bytes, method: str, path: str) -> Any:
        if not data.strip():
            return None
        try:
            return json.loads(data)
        except ValueError:
            if method == "POST":  # some answer "OK"
                return None
            raise LlmUnreachable(self.name, f"{method} {path} answered no JSON") from None


@cache
def _certificates() -> ssl.SSLContext:
    """Reading them takes 50 ms, each client would do it anew, and a server is asked ten times a second."""
    import httpx2

    context: ssl.SSLContext = httpx2.create_ssl_context()
    return context


def field(found: Any, *names: str) -> Any:
    """`found["a"]["b"]`, None where a step is not there: what a server sends may have any shape."""
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def rows(found: Any, name: str) -> list[Any]:
    """The list under `name`, or []."""
    listed = field(found, name)
    return listed if isinstance(listed, list) else []
