"""What goes wrong, in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`, with the documented status."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.errors import (
    AutoragWhisperError,
    Cancelled,
    InvalidOption,
    MediaEmpty,
    MediaError,
    MediaTooLong,
    ModelNotFound,
    RequestError,
    UnavailableError,
)
from autorag_whisper.domain.faults import was_fault
from autorag_whisper.domain.media_errors import DecoderDied, MediaOverLimit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from autorag_whisper.server.access import Send

INVALID = "invalid_request_error"
RETRY_AFTER_S = 10
"""What a client is told to wait for what may be there soon; OpenAI's own gives up above 120."""


@dataclass(eq=False)
class ApiError(Exception):
    """An answer that is an error. `kind` is OpenAI's `type`."""

    status: int
    message: str
    kind: str = INVALID
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """All four keys, always: strict clients ask for each."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def unavailable(message: str, code: str, retry_after_s: int = RETRY_AFTER_S) -> ApiError:
    """Not now (503), with the seconds after which to try again."""
    return ApiError(503, message, "server_error", code=code, headers={"Retry-After": str(retry_after_s)})


@contextmanager
def room_for(what: str) -> Iterator[None]:
    """What a disk refuses is told as 503 `no_room`."""
    try:
        yield
    except OSError as error:
        raise unavailable(f"There is no room for the {what}. Try again later.", "no_room") from error


async def send_error(error: ApiError, send: Send) -> None:
    """Answer with an error from outside the application. The connection ends: what was sent may be unread."""
    body = json.dumps(error.body()).encode()  # in ASCII: whatever is in it can be sent
    headers = {"content-type": "application/json", "connection": "close", "content-length": str(len(body))}
    lines = [(name.lower().encode(), value.encode()) for name, value in (headers | dict(error.headers)).items()]
    await send({"type": "http.response.start", "status": error.status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


def of(error: AutoragWhisperError) -> ApiError:
    """The answer for an error of the package.

    | error | status | code |
    |---|---|---|
    | an option (InvalidOption) | 400 | invalid_value |
    | no model of that name (ModelNotFound) | 404 | model_not_found |
    | the media (Media*) | 400 | invalid_value, or audio_too_long |
    | decoding it would cost too much (MediaOverLimit) | 413 | media_over_limit |
    | its decoder crashed (DecoderDied) | 400 | decoder_crashed |
    | another fault of the request (RequestError) | 400 | invalid_request |
    | not now (UnavailableError; memory ran out, DecoderKilled), with Retry-After | 503 | unavailable |
    | the work was stopped (Cancelled), not to be retried | 503 | cancelled |
    | anything else, and what nobody expected of the engine | 500 | internal_error |
    """
    if was_fault(error):
        return _internal()
    message = str(error)
    if isinstance(error, Cancelled):
        return ApiError(503, message, "server_error", code="cancelled", headers={"x-should-retry": "false"})
    if isinstance(error, InvalidOption):
        return ApiError(400, message, param=error.option, code="invalid_value")
    if isinstance(error, ModelNotFound):
        return ApiError(404, message, param="model", code="model_not_found")
    if isinstance(error, MediaTooLong):
        return ApiError(400, message, param="file", code="audio_too_long")
    if isinstance(error, MediaOverLimit):
        return ApiError(413, message, param="file", code="media_over_limit")
    if isinstance(error, DecoderDied):
        return ApiError(400, message, param="file", code="decoder_crashed")
    if isinstance(error, MediaEmpty):
        return ApiError(400, message, param="file", code="invalid_value")
    if isinstance(error, MediaError):
        return ApiError(400, message, param="file", code="invalid_value")
    if isinstance(error, RequestError):
        return ApiError(400, message, code="invalid_request")
    if isinstance(error, UnavailableError):
        return unavailable(message, "unavailable")
    return ApiError(500, message, "server_error", code="internal_error")


def answer_to(error: BaseException) -> ApiError:
    """The answer for whatever was raised: an error of ours as it is, one of the package by the table, else 500.

    What is not of the package is never shown: it may hold paths.
    """
    if isinstance(error, ApiError):
        return error
    if isinstance(error, AutoragWhisperError):
        return of(error)
    return _internal()


def _internal() -> ApiError:
    return ApiError(500, "An internal error, which the server's log has.", "server_error", code="internal_error")
