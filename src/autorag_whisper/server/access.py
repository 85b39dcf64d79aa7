"""Who is let in, and how much may be sent: decided from a request's head, before a byte of its body is read."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import TYPE_CHECKING, NamedTuple

from autorag_whisper.server import keys, origins, page
from autorag_whisper.server.draining import ending
from autorag_whisper.server.errors import INVALID, ApiError, send_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    from autorag_whisper.server.admission import Admission
    from autorag_whisper.server.draining import Draining
    from autorag_whisper.server.links import MediaLinks
    from autorag_whisper.server.settings import ServerSettings

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = frozenset({"/livez", "/readyz"})
"""What needs no key: whether it works, for those who keep it running."""

WORK = frozenset(("/v1/audio/transcriptions", "/v1/audio/translations", "/asr", "/detect-language", "/v1/jobs"))
"""What takes a slot when it is POSTed to."""
_ALIGN = re.compile(r"/v1/jobs/[^/]+/align")


def is_work(method: str, path: str) -> bool:
    """Whether a request takes a slot: one that uploads, or has the engine work."""
    if method == "PATCH":
        return path.startswith("/v1/uploads/")
    return method == "POST" and (path in WORK or _ALIGN.fullmatch(path) is not None)


class Gate(NamedTuple):
    """Who decides whether a request may be worked on. `is_draining`: whether the end was asked for."""

    admission: Admission
    draining: Draining
    is_draining: Callable[[], bool]


class Access:
    """ASGI middleware around the application."""

    def __init__(
        self, application: Application, settings: ServerSettings, gate: Gate, links: MediaLinks | None = None
    ) -> None:
        """`links`: addresses that need no key."""
        self._application, self._settings, self._gate, self._links = application, settings, gate, links

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is refused; count the bytes of what is not, and end it with the service."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        linked = self._linked(scope)
        error = (
            linked
            if isinstance(linked, ApiError)
            else self._refusal(scope["path"], headers, is_linked=linked is not None)
        )
        if error is not None:
            await send_error(error, send)
            return
        scope["client_id"] = self._client(headers) if linked is None else linked
        application = head_as_get(self._application) if scope["method"] == "HEAD" else self._application
        limited = _Limited(receive, self._settings.max_upload_bytes)
        if not is_work(scope["method"], scope["path"]):
            await self._gate.draining.run(application, scope, limited, send)
            return
        who = scope["client_id"] or (scope.get("client") or ("",))[0]
        error = ending() if self._gate.is_draining() else self._gate.admission.refusal(who)
        if error is not None:
            await send_error(error, send)
            return
        with self._gate.admission.slot(who):
            await self._gate.draining.run(application, scope, limited, send)

    def _client(self, headers: dict[bytes, bytes]) -> str:
        """Whose jobs are whose: a part of the key's digest; "" where everybody is let in."""
        return keys.client_id(keys.digest(_key(headers))) if self._settings.key_digests else ""

    def _linked(self, scope: Scope) -> str | ApiError | None:
        """Whose recording it is that a signed address opens, or why it does not any more; None where it is none."""
        if self._links is None or not self._settings.key_digests or scope["method"] not in ("GET", "HEAD"):
            return None
        found = self._links.read(scope["path"], scope.get("query_string", b""))
        known = {keys.client_id(digest) for digest in self._settings.key_digests}
        if found is None or found.client not in known:  # its key may have been taken out since
            return None
        if not found.is_expired:
            return found.client
        message = "The address of the recording holds no more. Ask for another one (POST .../media-link)."
        return ApiError(401, message, "authentication_error", code="link_expired")

    def _refusal(self, path: str, headers: dict[bytes, bytes], *, is_linked: bool) -> ApiError | None:
        if path not in OPEN:
            foreign = origins.refusal(headers, self._settings)
            if foreign is not None:
                return foreign
        if self._settings.key_digests and path not in OPEN and not is_linked and not page.is_open(path):
            key = _key(headers)
            if not key or not keys.is_known(key, self._settings.key_digests):
                told = "Incorrect API key provided." if key else "You didn't provide an API key."
                message = f"{told} Send it in the header Authorization: Bearer KEY."
                headers_ = {"WWW-Authenticate": "Bearer"}
                return ApiError(401, message, "authentication_error", code="invalid_api_key", headers=headers_)
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            return ApiError(400, "Content-Length is not a number.", code="invalid_header")
        most = self._settings.max_upload_bytes
        digits = length.lstrip(b"0")[: len(str(most)) + 1]  # a number may have more digits than Python reads
        return too_large(most) if int(digits or b"0") > most else None


def head_as_get(application: Application) -> Application:
    """The application asked with GET, without the body: an answer that goes on is ended behind its head."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        has_head = asyncio.Event()

        async def heard() -> Message:
            if has_head.is_set():
                return {"type": "http.disconnect"}
            message, head = asyncio.ensure_future(receive()), asyncio.ensure_future(has_head.wait())
            try:
                await asyncio.wait({message, head}, return_when=asyncio.FIRST_COMPLETED)
                return message.result() if message.done() else {"type": "http.disconnect"}
            finally:
                message.cancel()
                head.cancel()

        async def head_alone(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                has_head.set()

        await application(dict(scope) | {"method": "GET"}, heard, head_alone)

    return asked


def _key(headers: dict[bytes, bytes]) -> str:
    """The bearer's key, or the password of who can only give an address with one in it; "" where there is none."""
    scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"basic":
        try:
            given = base64.b64decode(given, validate=True).partition(b":")[2]
        except ValueError:
            return ""
    elif scheme.lower() != b"bearer":
        return ""
    return given.strip().decode("utf-8", "surrogateescape")


def too_large(limit: int) -> ApiError:
    """Of a body with more than `limit` bytes."""
    message = f"The request is larger than the limit of {limit:,} bytes. Cut the file, or compress it (Opus, MP3)."
    return ApiError(413, message, INVALID, param="file", code="request_too_large")


class _Limited:
    """`receive` that raises where a body of unknown length becomes too long."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit, self._seen = receive, limit, 0

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._seen > self._limit:
                raise too_large(self._limit)
        return message
