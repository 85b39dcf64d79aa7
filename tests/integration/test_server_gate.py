"""What is decided from a request's head: who, how many, how large; and how requests in flight are ended."""

from __future__ import annotations

import asyncio
import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from autorag_whisper.server import keys
from autorag_whisper.server.draining import ENDS_AT_ONCE, Draining
from autorag_whisper.testing import speech_samples, write_speech
from http_world import (
    TRANSCRIPTIONS,
    Exchange,
    Gate,
    app_of,
    client_of,
    error_of,
    form,
    held_world,
    post,
    service_of,
    until,
)
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager

    from fastapi import FastAPI
    from fastapi.testclient import TestClient


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    with world.transcriber:
        yield world


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def held(gate: Gate) -> Iterator[World]:
    with held_world(gate) as world:
        yield world


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_speech(tmp_path_factory.mktemp("speech") / "talk.wav", speech_samples(5)).read_bytes()


def living(app: FastAPI) -> AbstractAsyncContextManager[Any]:
    return app.router.lifespan_context(app)


def never_read(client: TestClient, headers: dict[str, str], path: str = TRANSCRIPTIONS) -> Exchange:
    """A request whose body nobody may ask for; answered all the same."""
    body = {"type": "http.request", "body": b"x", "more_body": True}
    exchange = Exchange(path, headers, body)
    asyncio.run(client.app(exchange.scope, exchange.receive, exchange.send))  # type: ignore[arg-type]  # the application behind it
    assert exchange.received == 0
    assert exchange.headers["connection"] == "close"
    assert set(exchange.error) == {"message", "type", "param", "code"}
    return exchange


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, "/v1/audio/translations", "/asr", "/detect-language"])
def test_a_full_server_says_so_before_it_reads_a_body(held: World, gate: Gate, speech: bytes, path: str) -> None:
    with client_of(app_of(held, waiting=1)) as client, ThreadPoolExecutor(1) as threads:
        first = threads.submit(post, client, speech, language="en")
        until(lambda: len(service_of(client).admission) == 1)
        refused = never_read(client, form(b"")[0], path)
        assert (refused.status, refused.error["code"]) == (503, "overloaded")
        assert 1 <= int(refused.headers["retry-after"]) <= 120
        gate.let.set()
        assert first.result().status_code == 200
        assert post(client, speech, language="en").status_code == 200


def test_who_has_too_many_in_work_is_told_to_wait_and_others_are_served(held: World, gate: Gate, speech: bytes) -> None:
    known = (keys.digest("greedy"), keys.digest("modest"))
    with client_of(app_of(held, waiting=4, key_digests=known)) as client, ThreadPoolExecutor(3) as threads:

        def ask(key: str, prompt: str) -> Any:
            files = {"file": ("a.wav", speech)}
            return client.post(
                TRANSCRIPTIONS, files=files, data={"prompt": prompt}, headers={"Authorization": f"Bearer {key}"}
            )

        work = [threads.submit(ask, "greedy", prompt) for prompt in "ab"]
        until(lambda: len(service_of(client).admission) == 2)
        refused = never_read(client, form(b"")[0] | {"authorization": "Bearer greedy"})
        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
        assert refused.error["type"] == "rate_limit_error"
        assert 1 <= int(refused.headers["retry-after"]) <= 120
        work.append(threads.submit(ask, "modest", "c"))
        until(lambda: len(service_of(client).admission) == 3)
        gate.let.set()
        assert [request.result().status_code for request in work] == [200] * 3


def test_a_server_that_ends_says_so_before_it_reads_a_body(world: World) -> None:
    client = client_of(app_of(world))
    service_of(client).health.draining = True
    for path in (TRANSCRIPTIONS, "/v1/jobs"):
        refused = never_read(client, form(b"")[0], path)
        assert (refused.status, refused.error["code"]) == (503, "draining")
        assert "retry-after" in refused.headers


def test_a_page_from_elsewhere_is_refused_before_anything_is_read(world: World) -> None:
    client = client_of(app_of(world))
    rebound = never_read(client, form(b"")[0] | {"host": "evil.example:8060"})
    assert (rebound.status, rebound.error["code"]) == (403, "host_not_allowed")
    foreign = never_read(client, form(b"")[0] | {"origin": "https://evil.example"})
    assert (foreign.status, foreign.error["code"]) == (403, "origin_not_allowed")


def test_a_page_that_is_allowed_may_also_read_the_answer(world: World, speech: bytes) -> None:
    with client_of(app_of(world, allowed_origins=("app://notes",))) as client:
        asked = client.options(
            TRANSCRIPTIONS, headers={"Origin": "app://notes", "Access-Control-Request-Method": "POST"}
        )
        assert asked.headers["access-control-allow-origin"] == "app://notes"
        answer = client.post(TRANSCRIPTIONS, files={"file": speech}, headers={"Origin": "app://notes"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "app://notes"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v1/models", "/v1/models/base", "/docs", "/openapi.json"])
def test_head_is_get_without_the_body(world: World, path: str) -> None:
    with client_of(app_of(world)) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        head, got = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.headers["content-length"] == got.headers["content-length"]


def test_head_of_what_has_no_get_is_not_allowed(world: World) -> None:
    with client_of(app_of(world)) as client:
        assert client.head(TRANSCRIPTIONS).status_code == 405


@pytest.mark.parametrize("base", ["http://127.0.0.1:41234", "https://whisper.example", "http://[::1]:9"])
def test_a_wrong_path_names_the_base_url_as_the_client_reaches_it(world: World, base: str) -> None:
    """Listening on 0.0.0.0, or on whatever port is free, it is not what the settings say."""
    with client_of(app_of(world, host="0.0.0.0", port=0, insecure=True), base) as client:
        assert f"{base}/v1." in error_of(client.get("/v1/v1/models"))["message"]


def test_a_client_that_leaves_before_the_first_event_is_noticed_at_once(held: World, gate: Gate, speech: bytes) -> None:
    app = app_of(held)

    async def play() -> None:
        headers, message = form(speech, stream="true", language="en")
        exchange = Exchange(TRANSCRIPTIONS, headers, message)
        gone = asyncio.Event()
        receive = exchange.receive

        async def leaving() -> dict[str, Any]:
            if exchange.received < len(exchange.messages):
                return await receive()
            await gone.wait()
            return {"type": "http.disconnect"}

        async with living(app):
            gate.let.set()
            while not app.state.service.health.warm:
                await asyncio.sleep(0.01)
            gate.let.clear()
            request = asyncio.create_task(app(exchange.scope, leaving, exchange.send))
            while not app.state.service.recognitions.in_work:
                await asyncio.sleep(0.01)
            [work] = app.state.service.recognitions.in_work
            gone.set()
            await request
            assert work.cancel.cancelled
            assert not len(app.state.service.admission)
            gate.let.set()

    asyncio.run(play())


def test_what_a_drain_leaves_is_answered_in_openais_shape(held: World, gate: Gate, speech: bytes) -> None:
    app = app_of(held)

    async def play() -> None:
        headers, message = form(speech, language="en")
        exchange = Exchange(TRANSCRIPTIONS, headers, message)
        async with living(app):
            service = app.state.service
            request = asyncio.create_task(app(exchange.scope, exchange.receive, exchange.send))
            while not service.recognitions.in_work:
                await asyncio.sleep(0.01)
            [work] = service.recognitions.in_work
            service.begin_to_end()
            await asyncio.sleep(0)
            assert not exchange.sent  # it may still finish
            service.begin_to_end()  # asked for twice: now
            await request
            assert (exchange.status, exchange.error["code"]) == (503, "draining")
            assert "retry-after" in exchange.headers
            assert work.cancel.cancelled
            gate.let.set()

    asyncio.run(play())


def ended(answer: Any, *, watches: bool = False, twice: bool = True) -> Exchange:
    """An application that answers and hangs, ended by a drain."""
    exchange = Exchange("/", {})

    async def application(scope: Any, _: Any, send: Any) -> None:
        scope[ENDS_AT_ONCE] = watches
        for message in answer:
            await send(message)
        started.set()
        await asyncio.Event().wait()

    async def play() -> None:
        draining = Draining(3600.0)
        request = asyncio.create_task(draining.run(application, exchange.scope, exchange.receive, exchange.send))
        await started.wait()
        draining.begin()
        if twice:
            draining.begin()
        await request

    started = asyncio.Event()
    asyncio.run(play())
    return exchange


STREAM = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream; charset=utf-8")],
}
EVENT = {"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True}


def test_a_stream_that_is_cut_by_the_end_has_the_error_as_its_last_event() -> None:
    exchange = ended([STREAM, EVENT])
    *_, last = exchange.body.decode().strip().split("\n\n")
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "draining"
    assert exchange.sent[-1]["more_body"] is False


def test_who_only_watches_is_ended_at_once_and_cleanly() -> None:
    exchange = ended([STREAM, EVENT], watches=True, twice=False)
    assert exchange.body == EVENT["body"]
    assert exchange.sent[-1]["more_body"] is False


def test_half_an_answer_that_is_no_stream_breaks_off() -> None:
    plain = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
    with pytest.raises(ConnectionAbortedError):
        ended([plain, EVENT])


def test_what_is_cancelled_by_others_stays_cancelled() -> None:
    async def forever(*_: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    async def play() -> None:
        exchange = Exchange("/", {})
        draining = Draining(3600.0)
        request = asyncio.create_task(draining.run(forever, exchange.scope, exchange.receive, exchange.send))
        await started.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert not exchange.sent

    started = asyncio.Event()
    asyncio.run(play())


def test_audio_of_less_than_a_tenth_of_a_second_is_refused(world: World, tmp_path: Any) -> None:
    short = write_speech(tmp_path / "short.wav", speech_samples(1)[:1500]).read_bytes()
    enough = write_speech(tmp_path / "enough.wav", speech_samples(1)[:1600]).read_bytes()
    with client_of(app_of(world)) as client:
        for fields in ({}, {"stream": "true"}, {"response_format": "srt"}):
            refused = post(client, short, **fields)
            assert (refused.status_code, error_of(refused)["code"]) == (400, "invalid_value")
            assert error_of(refused)["param"] == "file"
            assert post(client, enough, **fields).status_code == 200
        raw = client.post("/asr?encode=false", files={"audio_file": short[44:]})
        assert (raw.status_code, error_of(raw)["code"]) == (400, "invalid_value")


@pytest.mark.parametrize(
    ("given", "status"),
    [(b"bazarr:sk-\xc3\xbc1", 200), (b":sk-\xc3\xbc1", 200), (b"sk-\xc3\xbc1", 401), (b"bazarr:sk-1", 401), (b"", 401)],
)
def test_a_key_may_be_the_password_in_an_address(world: World, given: bytes, status: int) -> None:
    """Bazarr has no field for a key: `http://bazarr:KEY@HOST:8060`."""
    with client_of(app_of(world, key_digests=[keys.digest("sk-\u00fc1")])) as client:
        basic = f"Basic {base64.b64encode(given).decode()}"
        assert client.get("/v1/models", headers={"Authorization": basic}).status_code == status
        assert client.get("/v1/models", headers={"Authorization": "Basic \u20ac".encode()}).status_code == 401
