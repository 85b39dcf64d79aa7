"""Whether a request comes from a web page that has no business here: a browser sends them to this machine for any page.

Without keys everybody is let in who runs a program on this machine; a page from elsewhere is not one of them. It has
two ways: its own name made to point to this machine (DNS rebinding; the Host header has that name), and a form sent
across sites (the Origin header has that of the page).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from autorag_whisper.server.errors import ApiError
from autorag_whisper.server.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autorag_whisper.server.settings import ServerSettings

ANY = "*"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{0,5})?")


def refusal(headers: Mapping[bytes, bytes], settings: ServerSettings) -> ApiError | None:
    """What is wrong with the Host or Origin of a request (403); None for nothing, and where keys decide.

    Allowed hosts: loopback, the address that is served, and `settings.allowed_hosts`; with `insecure` all. Allowed
    origins: none (no browser's page), loopback, the host that was asked itself, and `settings.allowed_origins`.
    """
    if settings.key_digests:
        return None
    host = headers.get(b"host", b"").decode("latin-1")
    if host and not settings.insecure and not _is_ours(name_of(host), settings):
        message = f"The Host header names {host[:100]!r}, which is not this server's. Allow it with --allow-host."
        return ApiError(403, message, "permission_error", code="host_not_allowed")
    if b"origin" not in headers:
        return None
    origin = headers[b"origin"].decode("latin-1").lower()
    if _may_come(origin, host.lower(), settings):
        return None
    message = f"A page of {origin[:100]!r} may not send requests here. Allow it with --allow-origin."
    return ApiError(403, message, "permission_error", code="origin_not_allowed")


def name_of(host: str) -> str:
    """The name or address in a Host header, without the port and brackets; "" for what is none."""
    match = _HOST.fullmatch(host)
    return match[1].strip("[]").rstrip(".").lower() if match else ""


def _is_ours(name: str, settings: ServerSettings) -> bool:
    allowed = {settings.host.lower(), *(allowed.lower() for allowed in settings.allowed_hosts)}
    return ANY in allowed or (bool(name) and (is_loopback(name) or name in allowed))


def _may_come(origin: str, host: str, settings: ServerSettings) -> bool:
    allowed = {allowed.lower().rstrip("/") for allowed in settings.allowed_origins}
    if ANY in allowed or origin in allowed:
        return True
    try:
        found = urlsplit(origin)
    except ValueError:
        return False
    if found.scheme not in ("http", "https") or not found.netloc:
        return False
    return found.netloc == host or is_loopback(name_of(found.netloc))
