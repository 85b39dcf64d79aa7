"""Tells webhooks of jobs that are over: at least once, signed, over hours if need be, also behind a restart.

Signed as standardwebhooks.com has it, version 1: base64(HMAC-SHA256(secret, "ID.TIMESTAMP.BODY")). Whoever is told
should answer within seconds by a status of 2xx, and may be told again: `webhook-id` is the same then.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import logging
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.job_errors import StoreUnavailable
from autorag_whisper.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from autorag_whisper.jobs.delivery import Delivery
    from autorag_whisper.jobs.store import Deliveries

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Network = ipaddress.IPv4Network | ipaddress.IPv6Network
    Resolve = Callable[[str, int], Sequence[str]]
    Post = Callable[[str, Mapping[str, str], bytes], int]

_log = logging.getLogger(__name__)

DELAYS_S = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Between one attempt and the next; behind the last it is given up, after three days in all."""
LEASE_S = 120.0
_TICK_S = 1.0
_LONGEST_URL = 2000
_GONE = 410
_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ALLOWED = "base64 of 24 to 64 bytes, with whsec_ before it; several with blanks between them"


class NotSent(Exception):  # noqa: N818 - named after what is wrong, as those of domain.errors
    """Why a message did not get an answer."""


def read_secrets(text: str) -> tuple[bytes, ...]:
    """The secrets of `AUTORAG_WHISPER_WEBHOOK_SECRET`: a message is signed with each, so that one can be replaced.

    Raises InvalidOption.
    """
    found = []
    for part in text.split():
        try:
            secret = base64.b64decode(part.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if not 24 <= len(secret) <= 64:
            raise InvalidOption("AUTORAG_WHISPER_WEBHOOK_SECRET", "what was given", _ALLOWED)
        found.append(secret)
    return tuple(found)


def signature(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    made = (base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode() for secret in secrets)
    return " ".join(f"v1,{one}" for one in made)


def check_url(url: str) -> str:
    """What a webhook's address should be, where `url` is none; "" if it is one. Nothing is asked of the network."""
    import httpx2

    allowed = f"an http or https URL of at most {_LONGEST_URL} characters, without a user in it"
    if len(url) > _LONGEST_URL or not url.isprintable() or " " in url or "\\" in url:
        return allowed
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        good = good and (parts.port is None or parts.port > 0) and bool(httpx2.URL(url).host)
    except (ValueError, httpx2.InvalidURL):
        good = False
    return "" if good else allowed


def read_networks(given: Sequence[str]) -> tuple[Network, ...]:
    """Networks as `192.168.1.0/24`, or single addresses. Raises InvalidOption."""
    try:
        return tuple(ipaddress.ip_network(one, strict=False) for one in given)
    except ValueError as error:
        raise InvalidOption("webhook network", str(error), "an address, or a network such as 192.168.1.0/24") from None


def is_allowed(text: str, allowed: Sequence[Network]) -> bool:
    """Whether an address may be told: one of the internet, or of an allowed network."""
    address = _inner(ipaddress.ip_address(text.partition("%")[0]))
    if any(address.version == network.version and address in network for network in allowed):
        return True
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False  # site-local, IPv4-compatible and the like, which the library takes for global
    return address.is_global and not address.is_multicast


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system finds them. Raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class WebhookHttp:
    """Posts to the internet, and to `allowed` networks. No redirects, no proxies.

    A name is looked up once, and what was found and looked at is what is connected to. `most_s`: from the connection to
    the head of the answer in all, however it drips.
    """

    allowed: Sequence[Network] = ()
    resolve: Resolve = resolve
    most_s: float = 15.0

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of the answer, whose body is not read. Raises NotSent."""
        import httpx2

        try:
            parsed = httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise NotSent(f"it is no address: {error}"[:200]) from error
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        address = self._address(parsed.host, port)
        headers = {**headers, "Host": parsed.netloc.decode("ascii")}
        extensions = {"sni_hostname": parsed.host} if parsed.scheme == "https" else {}

        async def posted() -> int:
            async with (
                asyncio.timeout(self.most_s),
                httpx2.AsyncClient(timeout=None, trust_env=False, follow_redirects=False) as client,
                client.stream(
                    "POST", parsed.copy_with(host=address), headers=headers, content=body, extensions=extensions
                ) as answer,
            ):
                return int(answer.status_code)

        try:
            return asyncio.run(posted())
        except TimeoutError as error:
            raise NotSent(f"there was no answer within {self.most_s:g} s") from error
        except (httpx2.HTTPError, OSError) as error:
            raise NotSent(f"{type(error).__name__}: {error}"[:200]) from error

    def _address(self, host: str, port: int) -> str:
        try:
            found = self.resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise NotSent(f"{host} is not found") from error
        for address in found:
            if is_allowed(address, self.allowed):
                return address
        raise NotSent(f"{host} leads to an address of a private network, which is not allowed (serve --webhook-allow)")


class WebhookSender:
    """Sends what is due, until `close`. `clock` gives seconds since the epoch. `most`: at a time.

    One at a time to a host: one that does not answer holds up its own messages alone.
    """

    def __init__(
        self, deliveries: Deliveries, secrets: Sequence[bytes], clock: Callable[[], float], post: Post, most: int = 4
    ) -> None:
        self._deliveries, self._secrets, self._clock, self._post = deliveries, secrets, clock, post
        self._claiming, self._busy = threading.Lock(), list[str]()
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"autorag-whisper-webhook-{n}", daemon=True) for n in range(most)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End, behind what is being sent. Again is fine."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while not self._ending.is_set():
            try:
                with self._claimed() as delivery:
                    if delivery is not None:
                        self._send(delivery)
                if delivery is not None:
                    continue
            except StoreUnavailable as error:
                _log.debug("webhooks wait: %s", error)
            except Exception:  # noqa: BLE001 - the lease runs out, and it is tried again
                _log.exception("a webhook could not be sent")
            self._ending.wait(_TICK_S)

    @contextmanager
    def _claimed(self) -> Iterator[Delivery | None]:
        """The next message, whose host is busy as long as it is in hand."""
        with self._claiming:
            delivery = self._deliveries.claim(LEASE_S, self._clock(), self._busy)
            host = _host_of(delivery.url) if delivery is not None else ""
            self._busy += [host] if host else []
        try:
            yield delivery
        finally:
            with self._claiming:
                self._busy[:] = [other for other in self._busy if other != host]

    def _send(self, delivery: Delivery) -> None:
        body, timestamp = delivery.payload.encode(), int(self._clock())
        headers = {
            "content-type": "application/json",
            "user-agent": f"autorag-whisper/{__version__}",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._secrets, delivery.id, timestamp, body),
        }
        try:
            status = self._post(delivery.url, headers, body)
            response = f"HTTP {status}"
        except NotSent as error:
            status, response = 0, str(error)
        except Exception as error:  # noqa: BLE001 - an attempt too: else it would be made for ever
            _log.exception("a webhook could not be sent")
            status, response = 0, f"an internal error ({type(error).__name__}), which the server's log has"
        if 200 <= status < 300:
            self._deliveries.delivered(delivery, response, self._clock())
            return
        given_up = status == _GONE or delivery.attempts > len(DELAYS_S)
        again_s = None if given_up else self._clock() + DELAYS_S[delivery.attempts - 1]
        self._deliveries.failed(delivery, response, self._clock(), again_s)
        if given_up:
            _log.warning("job %s: its webhook was given up: %s", delivery.job_id, response)


def _host_of(url: str) -> str:
    """Where an address leads, without the path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
