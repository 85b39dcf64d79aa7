"""What Ray Serve's proxy says of itself comes in OpenAI's shape, what the application says goes through as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from autorag_whisper.server.proxy_errors import ProxyErrors, middlewares

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def asked(response: Response | None) -> Any:
    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        if response is not None:
            await response(scope, receive, send)

    return TestClient(ProxyErrors(proxy), raise_server_exceptions=False).get("/")


@pytest.mark.parametrize(
    ("status", "headers", "wanted", "code", "after"),
    [
        (503, {"Retry-After": "7"}, 503, "overloaded", "7"),
        (503, {}, 503, "overloaded", "5"),
        (429, {"Retry-After": "2"}, 503, "overloaded", "2"),
        (404, {}, 404, "unknown_url", None),
        (500, {}, 503, "replica_lost", "5"),
        (408, {}, 408, "not_answered", None),
    ],
)
def test_an_error_of_the_proxy_is_told_as_the_application_would(
    status: int, headers: dict[str, str], wanted: int, code: str, after: str | None
) -> None:
    answer = asked(PlainTextResponse("Request dropped due to backpressure", status, headers))
    assert answer.status_code == wanted
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert answer.json()["error"]["code"] == code
    assert answer.headers.get("retry-after") == after
    assert "backpressure" not in answer.text


def test_no_answer_at_all_is_one_that_may_be_asked_for_again() -> None:
    answer = asked(None)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "replica_lost")
    assert answer.headers["retry-after"] == "5"


@pytest.mark.parametrize(
    "response",
    [
        JSONResponse({"error": {"message": "m", "type": "t", "param": None, "code": "draining"}}, 503),
        PlainTextResponse("1\n00:00:00,000 --> 00:00:01,000\nWords.\n"),
        StreamingResponse(iter(["data: 1\n\n", "data: 2\n\n"]), media_type="text/event-stream"),
    ],
    ids=["an error in JSON", "subtitles", "events"],
)
def test_what_the_application_says_goes_through(response: Response) -> None:
    async def same(_: Request) -> Response:
        return response

    plain = TestClient(Starlette(routes=[Route("/", same)])).get("/")
    found = TestClient(Starlette(routes=[Route("/", same)], middleware=middlewares())).get("/")
    assert (found.status_code, found.content or plain.content) == (plain.status_code, plain.content)
    assert found.headers["content-type"] == plain.headers["content-type"]
