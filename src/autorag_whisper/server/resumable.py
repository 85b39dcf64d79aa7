"""Uploads that go on after a broken connection: tus 1.0.0, with creation, termination and expiration."""

from __future__ import annotations

import asyncio
import base64
from contextlib import aclosing, asynccontextmanager
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, BinaryIO

from fastapi import FastAPI, Request, Response

from autorag_whisper.jobs.partial import KEPT_S, Partial, PartialUploads
from autorag_whisper.server import uploads
from autorag_whisper.server.answers import Json
from autorag_whisper.server.errors import ApiError, room_for, unavailable
from autorag_whisper.server.job_requests import invalid, no_room
from autorag_whisper.server.jobs import client_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractContextManager

    from autorag_whisper.server.jobs import Jobs
    from autorag_whisper.server.settings import ServerSettings

VERSION = "1.0.0"
MOST_OPEN = 1000
"""Uploads of one client that are no jobs yet."""
_KIND = "application/offset+octet-stream"
_LONGEST_METADATA = 8000
_TUS = {"Tus-Resumable": VERSION, "Cache-Control": "no-store"}


def add_routes(app: FastAPI, settings: ServerSettings, jobs: Jobs) -> None:
    """All of them."""
    partial = jobs.runner.files.partial

    @app.options("/v1/uploads")
    async def offers() -> Response:
        """What this server can do of the protocol."""
        told = {"Tus-Version": VERSION, "Tus-Extension": "creation,termination,expiration"}
        return Response(status_code=204, headers=_TUS | told | {"Tus-Max-Size": str(settings.max_upload_bytes)})

    @app.post("/v1/uploads", status_code=201, openapi_extra={"parameters": [_RESUMABLE, _LENGTH, _METADATA]})
    async def create(request: Request) -> Response:
        """Begin an upload; its address is in `Location`."""
        _check_version(request)
        length, name = _length(request, settings), _name(request)
        made = await jobs.ask(_created, jobs, client_of(request), name, length)
        base = request.scope.get("root_path", "")
        headers = _TUS | _expiry(jobs) | {"Location": f"{base}/v1/uploads/{made.id}", "Upload-Offset": "0"}
        return Json(_shown(made), status_code=201, headers=headers)

    @app.get("/v1/uploads/{upload_id}", openapi_extra={"parameters": [_RESUMABLE]})
    async def offset(request: Request, upload_id: str) -> Response:
        """How much has come, in `Upload-Offset`: that is where to go on. For `HEAD`."""
        found = await _of(request, partial, upload_id)
        return Json(_shown(found), headers=_TUS | _expiry(jobs) | _places(found))

    @app.patch("/v1/uploads/{upload_id}", status_code=204, openapi_extra=_BODY)
    async def append(request: Request, upload_id: str) -> Response:
        """The next bytes, from `Upload-Offset` on. What came stays, however the connection ends."""
        _check_version(request)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _KIND:
            raise ApiError(415, f"Send the bytes as {_KIND}.", param="Content-Type", code="invalid_content_type")
        found = await _of(request, partial, upload_id)
        if reason := await jobs.ask(jobs.runner.why_no_room):
            raise no_room(reason)
        found = await _append(request, settings, partial, found)
        return Response(status_code=204, headers=_TUS | _expiry(jobs) | _places(found))

    @app.delete("/v1/uploads/{upload_id}", status_code=204, openapi_extra={"parameters": [_RESUMABLE]})
    async def terminate(request: Request, upload_id: str) -> Response:
        """Forget it."""
        _check_version(request)
        found = await _of(request, partial, upload_id)
        await asyncio.to_thread(partial.remove, found.id)
        return Response(status_code=204, headers=_TUS)


def no_upload(upload_id: str) -> ApiError:
    """There is none, or it is another client's (404)."""
    return ApiError(404, f"There is no upload {upload_id[:64]!r}.", param="upload", code="upload_not_found")


async def _of(request: Request, partial: PartialUploads, upload_id: str) -> Partial:
    found = await asyncio.to_thread(partial.get, upload_id, client_of(request))
    if found is None:
        raise no_upload(upload_id)
    return found


def _check_version(request: Request) -> None:
    if request.headers.get("tus-resumable", "") != VERSION:
        headers = {"Tus-Version": VERSION}
        raise ApiError(412, f"Send Tus-Resumable: {VERSION}.", param="Tus-Resumable", code="precondition_failed",
                       headers=headers)  # fmt: skip


def _whole(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ApiError(400, f"{name} is not a number of bytes.", param=name, code="invalid_header")
    return int(text)


def _length(request: Request, settings: ServerSettings) -> int:
    length = _whole(request, "Upload-Length")
    if length > settings.max_upload_bytes:
        message = f"The upload is larger than the limit of {settings.max_upload_bytes:,} bytes."
        raise ApiError(413, message, param="Upload-Length", code="request_too_large")
    if not length:
        raise invalid("Upload-Length", length, "the bytes of a recording")
    return length


def _name(request: Request) -> str:
    """The file name in `Upload-Metadata`: pairs of a name and a value in base64."""
    told = request.headers.get("upload-metadata", "")
    wrong = ApiError(400, "Upload-Metadata has names and base64.", param="Upload-Metadata", code="invalid_header")
    if len(told) > _LONGEST_METADATA:
        raise wrong
    name = ""
    for pair in filter(None, (part.strip() for part in told.split(","))):
        key, _, value = pair.partition(" ")
        if key in ("filename", "name"):
            try:
                name = base64.b64decode(value, validate=True).decode("utf-8", "replace")
            except ValueError:
                raise wrong from None
    return uploads.shown_name(name)


def _created(jobs: Jobs, client: str, name: str, length: int) -> Partial:
    """Within the limits that jobs have. Raises ApiError."""
    runner, limits = jobs.runner, jobs.settings.limits
    if reason := runner.why_no_room() or runner.files.why_no_room(length):
        raise no_room(reason)
    headers = {"Retry-After": "60"}
    count, own = runner.files.partial.expected_bytes(client)
    has = jobs.store.usage(client).kept_bytes + own
    is_over = limits.client_bytes is not None and has + length > limits.client_bytes
    if is_over or count >= MOST_OPEN:
        message = "You have as many uploads, or as much, as you may."
        raise ApiError(429, message, "rate_limit_error", code="quota_exceeded", headers=headers)
    _, everybody = runner.files.partial.expected_bytes()
    if limits.total_bytes is not None and jobs.store.usage().kept_bytes + everybody + length > limits.total_bytes:
        raise unavailable("Media and results would take more than they may.", "queue_full", 60)
    with room_for("upload"):
        return runner.files.partial.create(client, name, length)


async def _append(request: Request, settings: ServerSettings, partial: PartialUploads, upload: Partial) -> Partial:
    """Write what comes as it comes. Raises ApiError: another offset (409), too much (400), in other hands (423)."""
    told = _whole(request, "Upload-Offset")
    try:
        async with _in_threads(partial.writing(upload)) as file:
            at = file.tell()
            if told != at or upload.job:
                message = f"The upload has {at:,} bytes: go on from there."
                raise ApiError(409, message, param="Upload-Offset", code="offset_mismatch",
                               headers={"Upload-Offset": str(at)})  # fmt: skip
            async with aclosing(uploads.body_of(request, settings.pace, "Upload-Offset")) as body:
                async for piece in body:
                    at += len(piece)
                    if at > upload.length:
                        message = f"The upload has more than the {upload.length:,} bytes of its Upload-Length."
                        raise ApiError(400, message, param="Upload-Length", code="invalid_value")
                    await asyncio.to_thread(file.write, piece)
    except BlockingIOError:
        raise ApiError(423, "Another request writes to this upload.", code="upload_locked") from None
    except FileNotFoundError:
        raise no_upload(upload.id) from None
    except OSError as error:
        raise unavailable("There is no room for the upload. Try again later.", "no_room") from error
    found = await asyncio.to_thread(partial.get, upload.id, upload.client)
    if found is None:
        raise no_upload(upload.id)
    return found


@asynccontextmanager
async def _in_threads(manager: AbstractContextManager[BinaryIO]) -> AsyncIterator[BinaryIO]:
    """Opened and closed in threads: a disk may take seconds to have all of it."""
    file = await asyncio.to_thread(manager.__enter__)
    try:
        yield file
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


def _places(upload: Partial) -> dict[str, str]:
    at = upload.length if upload.job else upload.offset
    return {"Upload-Offset": str(at), "Upload-Length": str(upload.length)}


def _expiry(jobs: Jobs) -> dict[str, str]:
    return {"Upload-Expires": formatdate(jobs.clock() + KEPT_S, usegmt=True)}


def _shown(upload: Partial) -> dict[str, Any]:
    at = upload.length if upload.job else upload.offset
    body = {"object": "upload", "id": upload.id, "name": upload.name, "offset": at, "length": upload.length}
    return body | ({"job": upload.job} if upload.job else {})


def _header(name: str, told: str = "", kind: str = "string") -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": {"type": kind}, "description": told}


_RESUMABLE = _header("Tus-Resumable", f"{VERSION}; needed where something is changed")
_LENGTH = _header("Upload-Length", "bytes of the whole; needed", "integer")
_METADATA = _header("Upload-Metadata", "`filename` and its value in base64")
_BODY: dict[str, Any] = {
    "parameters": [_RESUMABLE, _header("Upload-Offset", "where these bytes begin; needed", "integer")],
    "requestBody": {"required": True, "content": {_KIND: {"schema": {"type": "string", "format": "binary"}}}},
}
