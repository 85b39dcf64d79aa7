"""Which web pages may send requests to a server without keys."""

from __future__ import annotations

import pytest

from autorag_whisper.server.origins import name_of, refusal
from autorag_whisper.server.settings import ServerSettings


def code_of(settings: ServerSettings, **headers: str) -> str | None:
    found = refusal({name.encode(): value.encode("latin-1") for name, value in headers.items()}, settings)
    return found.code if found else None


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8060", "127.0.0.2", "localhost:1", "LOCALHOST.", "[::1]:8060", "[::1]", "whisper.localhost:80"]
)
def test_names_of_this_machine_are_let_in(host: str) -> None:
    assert code_of(ServerSettings(), host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8060", "127.0.0.1.evil.example", "localhost.evil.example", "notlocalhost",
        "192.168.1.5", "0.0.0.0", "127.0.0.1@evil.example", "127.0.0.1:8060:1", "[::2]", "[::1", "a b", "\xff", ":8060",
        "127.0.0.1/", "2130706433",
    ],
)  # fmt: skip
def test_a_foreign_host_is_refused(host: str) -> None:
    """DNS rebinding: a page's own name has become an address of this machine."""
    assert code_of(ServerSettings(), host=host) == "host_not_allowed"


def test_hosts_can_be_allowed_and_the_address_that_is_served_is() -> None:
    settings = ServerSettings(allowed_hosts=("Whisper.lan",))
    assert code_of(settings, host="whisper.LAN:8060") is None
    assert code_of(settings, host="evil.lan") == "host_not_allowed"
    assert code_of(ServerSettings(allowed_hosts=("*",)), host="evil.lan") is None
    assert code_of(ServerSettings(host="0.0.0.0", insecure=True), host="box.lan") is None
    assert code_of(ServerSettings(), host="") is None  # HTTP/1.0; no browser leaves it out


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:8060", "http://localhost:3000", "https://[::1]", "HTTP://LocalHost"]
)
def test_pages_of_this_machine_may_ask(origin: str) -> None:
    assert code_of(ServerSettings(), host="127.0.0.1:8060", origin=origin) is None


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "null", "", "file://", "app://obsidian.md", "http://127.0.0.1.evil.example", "http://[", "http://",
        "http://localhost@evil.example", "https://evil.example:8060", "chrome-extension://abc",
    ],
)  # fmt: skip
def test_pages_from_elsewhere_may_not(origin: str) -> None:
    for settings in (ServerSettings(), ServerSettings(host="0.0.0.0", insecure=True)):
        assert code_of(settings, host="127.0.0.1:8060", origin=origin) == "origin_not_allowed"


def test_origins_can_be_allowed_and_a_page_of_the_server_itself_is() -> None:
    settings = ServerSettings(allowed_origins=("app://obsidian.md", "https://Notes.example/"))
    assert code_of(settings, host="localhost", origin="app://obsidian.md") is None
    assert code_of(settings, host="localhost", origin="https://notes.example") is None
    assert code_of(settings, host="localhost", origin="https://notes.example.evil") == "origin_not_allowed"
    lan = ServerSettings(host="0.0.0.0", insecure=True)
    assert code_of(lan, host="box.lan:8060", origin="http://box.lan:8060") is None


def test_where_keys_decide_pages_and_names_do_not_matter() -> None:
    settings = ServerSettings(key_digests=("0" * 64,))
    assert code_of(settings, host="evil.example", origin="http://evil.example") is None


def test_a_host_without_a_name_in_it_is_no_name() -> None:
    assert [name_of(host) for host in ("[::1]:80", "a.b:80", "a:b:c", "", "a/b")] == ["::1", "a.b", "", "", ""]
