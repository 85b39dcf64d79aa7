"""Addresses of recordings that hold for some hours without a key: media elements of a page send no headers.

An address names the job, whose it is, and until when; a secret of the folder signs it. It opens that one recording, to
be read alone, and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlencode

from autorag_whisper.files import made_once

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOLDS_S = 6 * 3600.0
PATH = re.compile(r"/v1/jobs/([0-9a-f]{32})/media")


class Found(NamedTuple):
    """What an address says: whose it is; `is_expired`: it did hold."""

    client: str
    is_expired: bool


class MediaLinks:
    """Signs and reads them. `clock`: seconds since the epoch."""

    def __init__(self, secret: bytes, clock: Callable[[], float]) -> None:
        self._secret, self._clock = secret, clock

    def query(self, job_id: str, client: str, now_s: float) -> tuple[str, float]:
        """What stands behind the path, and until when it holds."""
        expires = int(now_s + HOLDS_S)
        told = {"client": client, "expires": str(expires), "signature": self._signature(job_id, client, str(expires))}
        return urlencode(told), float(expires)

    def read(self, path: str, query: bytes) -> Found | None:
        """What a request's address says; None where it is none, or was not signed here."""
        place = PATH.fullmatch(path)
        if place is None or b"signature=" not in query:
            return None
        try:
            given = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=10)
        except ValueError:
            return None
        client, expires, signature = (given.get(name, [""])[-1] for name in ("client", "expires", "signature"))
        if not re.fullmatch("[0-9]{1,12}", expires) or not signature.isascii():
            return None
        if not hmac.compare_digest(signature, self._signature(place[1], client, expires)):
            return None
        return Found(client, is_expired=int(expires) < self._clock())

    def _signature(self, job_id: str, client: str, expires: str) -> str:
        told = f"GET\n{job_id}\n{client}\n{expires}".encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, told, hashlib.sha256).hexdigest()


def secret_of(folder: Path) -> bytes:
    """The folder's secret, for this user alone; made where there is none. Raises OSError."""
    return made_once(folder / "link-secret", secrets.token_bytes(32))
