"""The files of the page: what a browser may do with them, who gets them, and that vendored ones are what they say."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.server import keys, page
from http_world import app_of, client_of, error_of
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi.testclient import TestClient


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """Of a service with keys, asked without one."""
    world = World()
    with world.transcriber:
        yield client_of(app_of(world, key_digests=(keys.digest("sk-1"),)))


def directives(client: TestClient) -> dict[str, list[str]]:
    policy = client.get("/").headers["content-security-policy"]
    return {name: values for name, *values in (part.split() for part in policy.split(";"))}


def test_nothing_comes_from_elsewhere_and_no_code_stands_in_the_page(client: TestClient) -> None:
    found = directives(client)
    assert found["default-src"] == ["'none'"]
    assert found["script-src"] == ["'self'"]
    for name in ("connect-src", "media-src", "img-src", "style-src"):
        assert found[name][0] == "'self'"
    for name in ("base-uri", "form-action", "frame-ancestors"):
        assert found[name] == ["'none'"]
    everything = " ".join(value for values in found.values() for value in values)
    assert not re.search(r"https?:|\*|unsafe|strict-dynamic", everything)


def test_the_style_nonce_is_another_one_in_each_answer(client: TestClient) -> None:
    assert directives(client)["style-src"] != directives(client)["style-src"]
    answer = client.get("/")
    nonce = re.search(r"'nonce-([^']+)'", answer.headers["content-security-policy"])
    assert nonce is not None
    assert f'content="{nonce[1]}"' in answer.text


def test_the_page_has_no_inline_code_or_style_and_names_only_its_own_files(client: TestClient) -> None:
    class Page(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open, self.addresses = "", list[str]()

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.open = tag
            assert tag != "style"
            for name, value in attrs:
                assert not name.startswith("on")
                assert name != "style"
                if name in ("href", "src"):
                    self.addresses.append(value or "")

        def handle_data(self, data: str) -> None:
            assert self.open != "script" or not data.strip()

    read = Page()
    read.feed(client.get("/").text)
    assert len(read.addresses) > 3
    for address in read.addresses:
        assert client.get(address).status_code == 200


@pytest.mark.parametrize("name", sorted(page.files()))
def test_no_file_asks_for_anything_elsewhere(name: str) -> None:
    found = page.files()[name]
    text = found.content.decode()
    imported = re.findall(r"""(?:\bfrom|\bimport)\s*\(?\s*["']([^"']+)["']""", text)
    assert all(one.startswith("./") for one in imported)
    assert not re.search(r"@import|url\(\s*['\"]?(?:https?:)?//", text)
    if not name.startswith("vendor/"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|javascript:", text
        )


def test_every_module_that_is_imported_is_there() -> None:
    for name, found in page.files().items():
        folder = name.rpartition("/")[0]
        for one in re.findall(r"""(?:\bfrom|\bimport)\s*\(?\s*["']\./([^"']+)["']""", found.content.decode()):
            assert (f"{folder}/{one}" if folder else one) in page.files(), f"{name}: {one}"


def test_files_need_no_key_and_the_api_does(client: TestClient) -> None:
    assert client.get("/").status_code == 200
    answer = client.get("/page/main.js")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/v1/models").status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "nothing.js",
        "index.html",
        "../__init__.py",
        "%2e%2e/__init__.py",
        "vendor",
        "vendor/",
        "",
        "vendor/htm-preact.d.ts",
    ],
)
def test_what_is_no_file_of_the_page_is_404(client: TestClient, path: str) -> None:
    answer = client.get(f"/page/{path}")
    assert answer.status_code in (401, 404)
    assert error_of(answer)["code"] in ("unknown_url", "invalid_api_key")


def test_a_browser_that_has_a_file_is_told_so_and_may_have_it_compressed(client: TestClient) -> None:
    plain = client.get("/page/main.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    small = client.get("/page/main.js", headers={"Accept-Encoding": "gzip"})
    assert small.headers["content-encoding"] == "gzip"
    assert small.content == plain.content
    again = client.get("/page/main.js", headers={"If-None-Match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_everything_together_is_small() -> None:
    assert sum(len(found.compressed) for found in page.files().values()) < 120_000
    assert sum(len(found.content) for found in page.files().values()) < 300_000


def test_vendored_files_are_those_of_the_notices(root: Path) -> None:
    """THIRD_PARTY_NOTICES.md has version, licence and digest of each; a changed byte is noticed."""
    notices = (root / "THIRD_PARTY_NOTICES.md").read_text(encoding="utf-8")
    vendored = {name: found for name, found in page.files().items() if name.startswith("vendor/")}
    assert vendored
    for name, found in vendored.items():
        line = next(line for line in notices.splitlines() if f"`{name}`" in line)
        assert hashlib.sha256(found.content).hexdigest() in line


def test_both_languages_say_everything() -> None:
    def names(file: str) -> list[str]:
        return re.findall(r"^  (\w+): ", page.files()[file].content.decode(), re.MULTILINE)

    assert names("strings_en.js") == names("strings_de.js")
    used = {
        name
        for file, found in page.files().items()
        if not file.startswith("vendor/")
        for name in re.findall(r"""\bt\("(\w+)\"""", found.content.decode())
    }
    assert len(used) > 100
    assert used <= set(names("strings_en.js"))
