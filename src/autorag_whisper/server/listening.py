"""Sockets that something beside HTTP listens on."""

from __future__ import annotations

import socket

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.process_errors import AddressTaken
from autorag_whisper.files import system_reason
from autorag_whisper.server.settings import LOOPBACK, is_loopback


def listen(host: str, port: int, *, insecure: bool) -> socket.socket:
    """A TCP socket that listens; port 0 takes one that is free. For a protocol without keys.

    Raises InvalidOption for an address that others reach, unless `insecure`, and AddressTaken.
    """
    if not insecure and not is_loopback(host):
        allowed = f"{LOOPBACK}, or --insecure as well: this protocol has no keys, whoever reaches the address is let in"
        raise InvalidOption("address", host, allowed)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise AddressTaken(f"{host}:{port}", system_reason(error)) from error


def address_of(listener: socket.socket) -> str:
    """As `tcp://HOST:PORT`."""
    host, port = listener.getsockname()[:2]
    return f"tcp://{f'[{host}]' if ':' in host else host}:{port}"
