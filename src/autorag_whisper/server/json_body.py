"""A request's body that is one JSON object, read whole."""

from __future__ import annotations

import json
import re
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from autorag_whisper.format.checked import Node
from autorag_whisper.server import uploads
from autorag_whisper.server.errors import ApiError

if TYPE_CHECKING:
    from fastapi import Request

    from autorag_whisper.domain.transcript_errors import InvalidTranscript
    from autorag_whisper.server.settings import ServerSettings

MOST_BYTES = 8 << 20
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


async def json_object(request: Request, settings: ServerSettings, *, may_be_empty: bool = False) -> Node:
    """The object that a body is. Raises ApiError: too large (413), no object (400), too slow (408)."""
    data = bytearray()
    async with aclosing(uploads.body_of(request, settings.pace, "body")) as body:
        async for piece in body:
            data += piece
            if len(data) > MOST_BYTES:
                raise ApiError(413, f"The JSON is larger than {MOST_BYTES >> 20} MiB.", code="request_too_large")
    if may_be_empty and not data.strip():
        return Node({})
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise ApiError(400, "The body is not a JSON object.", code="invalid_json")
    return Node(told)


def wrong(error: InvalidTranscript) -> ApiError:
    """What is wrong with a value of the body (400): `param` is its place."""
    return ApiError(
        400, f"{error.where or 'The body'} {error.reason}.", param=error.where or None, code="invalid_value"
    )


def line_of(node: Node, most: int, *, default: str | None = None) -> str:
    """One line of text for people, without control characters. Raises InvalidTranscript."""
    text = node.text(default)
    if len(text) > most or _CONTROL.search(text):
        raise node.wrong(f"has control characters, or more than {most} characters")
    return text.strip()


def body_of(properties: dict[str, Any], *, required: tuple[str, ...] = (), is_needed: bool = True) -> dict[str, Any]:
    """What the OpenAPI document says of such a body."""
    schema = {"type": "object", "properties": properties} | ({"required": list(required)} if required else {})
    return {"requestBody": {"required": is_needed, "content": {"application/json": {"schema": schema}}}}
