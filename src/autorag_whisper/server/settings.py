"""What the operator decided for the service."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.domain.decoding import DecodingLimits
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.server.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOPBACK = "127.0.0.1"
PORT = 8060


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """`host`: an address of this machine; `model`: for requests that name none that is here.

    `key_digests`: SHA-256 of each key that is let in, hexadecimal; none lets everybody in. `insecure`: also from other
    machines. `max_upload_bytes` of a request, `max_audio_s` of its audio. `waiting`: requests that may be in work at a
    time; `per_client`: of one key, or of one address where there are no keys; 0: half of all where there are several
    keys, else all. `strict`: refuse fields that would be ignored, and models that are not here. `allowed_hosts` and
    `allowed_origins`: `server.origins`. `drain_s`: how long the work in flight may go on once the end was asked for.
    `keep_s`: how long jobs that are over are kept.

    `decoding`: what decoding one recording may cost, each in a process of its own (`MediaSource.isolated`). `pace`: how
    slowly an upload may come.

    Raises InvalidOption for an address that others reach without a key, unless `insecure`.
    """

    host: str = LOOPBACK
    port: int = PORT
    model: str = "base"
    key_digests: Sequence[str] = ()
    insecure: bool = False
    max_upload_bytes: int = 1 << 30
    max_audio_s: float = 6 * 3600.0
    waiting: int = 64
    per_client: int = 0
    strict: bool = False
    allowed_hosts: Sequence[str] = ()
    allowed_origins: Sequence[str] = ()
    drain_s: float = 30.0
    keep_s: float = 30 * 86_400.0
    decoding: DecodingLimits = DecodingLimits()  # noqa: RUF009 - a frozen value
    pace: Pace = Pace()  # noqa: RUF009 - a frozen value

    def __post_init__(self) -> None:
        if not self.key_digests and not self.insecure and not is_loopback(self.host):
            allowed = f"{LOOPBACK}, or keys (AUTORAG_WHISPER_API_KEYS), or --insecure to let everybody in"
            raise InvalidOption("address", self.host, allowed)

    @property
    def quota(self) -> int:
        """How many requests of one client may be in work."""
        if self.per_client:
            return self.per_client
        return max(1, self.waiting // 2) if len(self.key_digests) > 1 else self.waiting


def is_loopback(host: str) -> bool:
    """Whether a name or address can only mean this machine (RFC 6761 has `localhost` and what is below it)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
