"""A client of a server's durable jobs, for `autorag-whisper jobs`."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from autorag_whisper.domain.errors import ExtraNotInstalled
from autorag_whisper.domain.job_errors import ServerRefused, ServerUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import ModuleType

_TIMEOUT_S = 60.0
"""Without a byte for so long a server is not there; in streams it sends a comment every ten seconds."""
_MOST_LISTED = 1000


class ServerEvent(NamedTuple):
    """One of a job. `id`: its number, "" of those that have none."""

    id: str
    kind: str
    data: Any


class JobsClient:
    """The jobs of one client at the server `url`. A context manager.

    Every method raises ServerUnreachable where nobody answers, and ServerRefused for an answer that is an error.
    """

    def __init__(self, url: str, key: str = "") -> None:
        self._http = _httpx()
        self._url = url.rstrip("/").removesuffix("/v1")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            self._client = self._http.Client(base_url=self._url, headers=headers, timeout=_TIMEOUT_S)
        except (self._http.InvalidURL, UnicodeError, ValueError) as error:
            raise ServerUnreachable(self._url, str(error)) from error

    def __enter__(self) -> JobsClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def add(self, media: Path, fields: Mapping[str, str], *, by_path: bool = False, key: str = "") -> dict[str, Any]:
        """Queue a file: what is in it, or by its path on the server. `key`: the idempotency key."""
        headers = {"Idempotency-Key": key} if key else {}
        if by_path:
            return self._ask("POST", "/v1/jobs", json={**fields, "path": str(media)}, headers=headers)
        with ExitStack() as stack:
            file = stack.enter_context(media.open("rb"))
            name = media.name.encode("utf-8", "replace").decode()
            return self._ask("POST", "/v1/jobs", data=fields, files={"file": (name, file)}, headers=headers)

    def listed(self, state: str = "", limit: int | None = None) -> Iterator[dict[str, Any]]:
        """The newest first, page by page, each once; `limit`: at most so many."""
        before, seen = "", set[str]()
        while limit is None or len(seen) < limit:
            page = min(_MOST_LISTED, limit or _MOST_LISTED)
            asked = {"state": state, "limit": page, "before": before}
            try:
                told = self._ask("GET", "/v1/jobs", params={name: value for name, value in asked.items() if value})
            except ServerRefused as error:
                if not before or error.code != "job_not_found":
                    raise
                before = ""  # the job that the next page begins behind was forgotten meanwhile
                continue
            for job in told["data"]:
                if job["id"] not in seen and (limit is None or len(seen) < limit):
                    seen.add(job["id"])
                    yield job
            if not told["has_more"]:
                return
            before = told["data"][-1]["id"]

    def show(self, job: str) -> dict[str, Any]:
        """One of them."""
        return self._ask("GET", self._path(job))

    def cancel(self, job: str) -> dict[str, Any]:
        """Stop it."""
        return self._ask("DELETE", self._path(job))

    def retry(self, job: str) -> dict[str, Any]:
        """Queue it again."""
        return self._ask("POST", f"{self._path(job)}/retry")

    def result(self, job: str, format_: str) -> str:
        """The result of one that is done, in a format."""
        with self._told():
            answer = self._client.get(f"{self._path(job)}/result", params={"format": format_})
        self._check(answer)
        return str(answer.content.decode("utf-8"))

    def prune(self, older_than_s: float) -> int:
        """Forget those that have been over for so long: how many."""
        return int(self._ask("POST", "/v1/jobs/prune", params={"older_than_s": older_than_s})["count"])

    def events(self, job: str, after: str = "") -> Iterator[ServerEvent]:
        """What happens to it, until it is over or the connection breaks (ServerUnreachable).

        `after`: the id of the last event that was had.
        """
        headers = {"Last-Event-ID": after} if after else {}
        with self._told(), self._client.stream("GET", f"{self._path(job)}/events", headers=headers) as answer:
            if answer.status_code >= 400:
                answer.read()
            self._check(answer)
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                elif "event" in fields:
                    yield ServerEvent(fields.get("id", ""), fields["event"], json.loads(fields["data"]))
                    fields = {}

    @staticmethod
    def _path(job: str) -> str:
        from urllib.parse import quote

        return f"/v1/jobs/{quote(job, safe='')}"

    def _ask(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        with self._told():
            answer = self._client.request(method, path, **given)
        self._check(answer)
        try:
            told = answer.json()
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise ServerUnreachable(self._url, "what answers there is no autorag-whisper serve")
        return told

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (self._http.HTTPError, self._http.InvalidURL, self._http.StreamError, UnicodeError) as error:
            raise ServerUnreachable(self._url, str(error) or type(error).__name__) from error

    def _check(self, answer: Any) -> None:
        if answer.status_code < 300:
            return
        try:
            error = answer.json()["error"]
            message, code = str(error["message"]), str(error["code"])
        except (ValueError, KeyError, TypeError):
            message, code = f"{self._url} answers with HTTP status {answer.status_code}", ""
        retry_after = answer.headers.get("retry-after", "")
        raise ServerRefused(message, code, answer.status_code, int(retry_after) if retry_after.isdigit() else None)


def _httpx() -> ModuleType:
    try:
        import httpx2
    except ImportError as error:
        raise ExtraNotInstalled("httpx2", "server", str(error)) from error
    return httpx2
