"""The page at `/`: where people put recordings in, read along and mend the text. Static files, served as they are.

It asks the service's own routes, with the key that its user typed in: the files themselves hold nothing secret and need
none. What a browser may do with them is in `policy`: nothing comes from elsewhere, and no code stands in the page.
"""

from __future__ import annotations

import gzip
import hashlib
import secrets
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from fastapi import FastAPI, Request, Response

from autorag_whisper.server.errors import ApiError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

PREFIX = "/page/"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_INDEX = "index.html"
_NONCE = b"{{nonce}}"


class PageFile(NamedTuple):
    """A file as it is served: as it is, and compressed for those who take it so."""

    content: bytes
    compressed: bytes
    media_type: str
    etag: str


def is_open(path: str) -> bool:
    """Whether a path is the page's: its files need no key."""
    return path == "/" or path.startswith(PREFIX)


@cache
def files() -> dict[str, PageFile]:
    """Every file of the page, by its path below `PREFIX`: what is not here is not served."""
    return dict(_below(resources.files(__package__) / "files", ""))


def _below(folder: Traversable, path: str) -> list[tuple[str, PageFile]]:
    found: list[tuple[str, PageFile]] = []
    for entry in folder.iterdir():
        name = f"{path}{entry.name}"
        if entry.is_dir():
            found += _below(entry, f"{name}/")
        elif media_type := _TYPES.get(name[name.rfind(".") :]):
            content = entry.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found.append((name, PageFile(content, gzip.compress(content, 6, mtime=0), media_type, etag)))
    return found


def policy(nonce: str) -> dict[str, str]:
    """The headers of the page. `nonce`: lets the waveform's own style sheet in, and no script."""
    allowed = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": f"'self' 'nonce-{nonce}'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in allowed.items()),
        "Cache-Control": "no-cache",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
        **_SHARED,
    }


_SHARED = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def add_routes(app: FastAPI) -> None:
    """`/` and the files that it loads. They stand in no OpenAPI document: they are no part of the API."""

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        """The page itself."""
        nonce = secrets.token_urlsafe(16)
        index = files()[_INDEX]
        content = index.content.replace(_NONCE, nonce.encode())
        return Response(content, media_type=index.media_type, headers=policy(nonce))

    @app.get(PREFIX + "{name:path}", include_in_schema=False)
    async def file(request: Request, name: str) -> Response:
        """One of its files; 304 where the browser has it."""
        found = files().get(name)
        if found is None or name == _INDEX:
            raise ApiError(404, f"The page has no file {name[:100]!r}.", code="unknown_url")
        headers = {"Cache-Control": "no-cache", "ETag": found.etag, "Vary": "Accept-Encoding", **_SHARED}
        if found.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(found.content, media_type=found.media_type, headers=headers)
        headers["Content-Encoding"] = "gzip"
        return Response(found.compressed, media_type=found.media_type, headers=headers)
