"""While a server is known to be silent one call at a time finds out whether it still is; no other waits for it."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.domain.job_errors import StoreUnavailable
from autorag_whisper.jobs.silence import AGAIN_S, Silence
from http_world import until

if TYPE_CHECKING:
    from collections.abc import Iterator


@given(st.lists(st.sampled_from(("call", "answers", "silent", "later"))))
def test_whoever_calls_is_refused_but_the_one_that_finds_out(steps: list[str]) -> None:
    now = [0.0]
    silence = Silence(lambda: now[0])
    is_silent, looked_s, finds_out = False, 0.0, False  # what is known, since when, and whether somebody asks now
    for step in steps:
        if step == "later":
            now[0] += AGAIN_S
        elif step == "call":
            refused = bool(silence.why_refused())
            assert refused == (is_silent and (finds_out or now[0] < looked_s + AGAIN_S))
            finds_out = finds_out or (is_silent and not refused)
        elif step == "answers":
            silence.over()
            is_silent = finds_out = False
        else:
            silence.began("it says nothing")
            is_silent, looked_s, finds_out = True, now[0], False


@pytest.fixture
def mute() -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that accepts connections and says nothing, and what came to it."""
    came: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    came.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        port = server.getsockname()[1]
        yield f"postgresql://whisper@127.0.0.1:{port}/jobs?connect_timeout=2&sslmode=disable&gssencmode=disable", came
        server.shutdown(socket.SHUT_RDWR)
    for connection in came:
        connection.close()


def connected(url: str, came: list[socket.socket]) -> int:
    """How many came before this one: the system hands them over in that order, but not at once."""
    with socket.create_connection(("127.0.0.1", urlsplit(url).port)) as last:
        mine = last.getsockname()
        until(lambda: any(there.getpeername() == mine for there in came.copy()))
    return [there.getpeername() for there in came].index(mine)


@pytest.mark.slow
def test_one_call_of_many_waits_for_a_server_that_says_nothing(mute: tuple[str, list[socket.socket]]) -> None:
    pytest.importorskip("psycopg", reason="the extra `postgres`")
    from autorag_whisper.jobs.postgres_address import Address
    from autorag_whisper.jobs.postgres_connections import Connections

    url, came = mute
    connections = Connections(Address.parse(url), 2, silence=Silence(lambda: 0.0))

    def call(_: int) -> str:
        with pytest.raises(StoreUnavailable) as refused, connections.using():
            raise AssertionError("it has said nothing")
        return refused.value.reason

    first = call(0)
    assert "timeout" in first
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(call, range(100))) == {first}
    assert connected(url, came) == 1
    connections.has_answered()
    assert call(0) == first
    assert connected(url, came) == 3  # the one that counted is among them
