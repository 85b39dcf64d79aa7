"""A form's body, streamed: small fields in memory, the file in a temporary one that has no name.

A file without a name is gone when it is closed, however its request, or this process, ends.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.decoding import DecodingLimits
from autorag_whisper.server.errors import ApiError, room_for

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from fastapi import Request
    from starlette.datastructures import FormData

    from autorag_whisper.server.pace import Pace
    from autorag_whisper.server.settings import ServerSettings

_MOST_FIELDS = 100
_LONGEST_FIELD = 64 << 10
UNHEEDED = frozenset({"known_speaker_references"})
"""Recordings of speakers as data URLs, of megabytes: this server does not tell speakers apart."""


@dataclass(frozen=True, slots=True)
class Upload:
    """`file`: open, whole; whoever has the upload closes it. `name`: for messages alone; nothing is opened by it.

    `decoding`: what decoding it may cost.
    """

    file: BinaryIO
    name: str
    fields: dict[str, list[str]]
    pcm: bool = False  # 16 kHz mono signed 16 bit without a header
    decoding: DecodingLimits = DecodingLimits()  # noqa: RUF009 - a frozen value

    def source(self) -> MediaSource:
        """As media of a stranger's: decoded in a process of its own."""
        if not self.pcm:
            return MediaSource.from_file(self.file, self.name).isolated(self.decoding)
        self.file.seek(0, 2)
        count = self.file.tell() // 2
        samples = np.memmap(self.file, "<i2", "r", shape=(count,)) if count else np.zeros(0, np.int16)
        return MediaSource.from_samples(samples, name=self.name).isolated(self.decoding)

    def digest(self) -> str:
        """SHA-256 of the file. It reads all of it: not for the event loop's thread."""
        self.file.seek(0)
        found = hashlib.sha256()
        while piece := self.file.read(1 << 20):
            found.update(piece)
        self.file.seek(0)
        return found.hexdigest()


async def receive(request: Request, settings: ServerSettings, file_field: str = "file", *, pcm: bool = False) -> Upload:
    """The form of a request, whole.

    Raises ApiError: no form, no file in it, or it broke off (400), too slow (408), no room on the disk (503).
    """
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        message = f"Send the audio as multipart/form-data, in a part called {file_field}."
        raise ApiError(400, message, param=file_field, code="invalid_content_type")
    form = await _read(request, settings.pace, file_field)
    fields: dict[str, list[str]] = {}
    files: list[UploadFile] = []
    for name, value in form.multi_items():
        if not isinstance(value, UploadFile):
            fields.setdefault(name, []).append(value)
        elif name == file_field:
            files.append(value)
        else:
            value.file.close()
    if len(files) != 1:
        for file in files:
            file.file.close()
        message = f"There {'are several parts' if files else 'is no part'} called {file_field} with a file in the form."
        raise ApiError(400, message, param=file_field, code="missing_file")
    return Upload(files[0].file, shown_name(files[0].filename), fields, pcm, settings.decoding)


class _Parser(MultiPartParser):
    """A parser that keeps nothing of fields that say nothing here, however long they are."""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        name = self._current_part.field_name.removesuffix("[]")
        if self._current_part.file is not None or name not in UNHEEDED:
            super().on_part_data(data, start, end)


async def _read(request: Request, pace: Pace, file_field: str) -> FormData:
    """The parser closes the files that it began, whatever ends it."""
    async with aclosing(body_of(request, pace, file_field)) as body:
        headers = Headers({"content-type": _in_utf8(request.headers["content-type"])})
        parser = _Parser(headers, body, max_files=2, max_fields=_MOST_FIELDS, max_part_size=_LONGEST_FIELD)
        try:
            with room_for("upload"):
                return await parser.parse()
        except MultiPartException as error:
            raise ApiError(400, f"The form cannot be read: {error.message}", code="invalid_form") from error


def _in_utf8(content_type: str) -> str:
    """Without an encoding: forms are UTF-8 (RFC 7578, 5.1.2), and of Python's codecs some raise anything."""
    _, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary")
    if boundary is None:
        return "multipart/form-data"
    escaped = boundary.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return f'multipart/form-data; boundary="{escaped.decode("latin-1")}"'


async def body_of(request: Request, pace: Pace, param: str) -> AsyncGenerator[bytes]:
    """A request's body as it comes, whatever it is: every body is read by this.

    Raises ApiError where it comes too slowly (408), or breaks off (400).
    """
    try:
        async with aclosing(_paced(request, pace, param)) as body:
            async for piece in body:
                yield piece
    except ClientDisconnect as error:
        raise ApiError(400, "The upload broke off.", param=param, code="incomplete_upload") from error


async def _paced(request: Request, pace: Pace, file_field: str) -> AsyncGenerator[bytes]:
    loop, received = asyncio.get_running_loop(), 0
    began_s = loop.time()
    async with aclosing(request.stream()) as body:
        while True:
            patience_s = pace.patience_s(loop.time() - began_s, received)
            try:
                async with asyncio.timeout(patience_s):
                    piece = await anext(body, None)
            except TimeoutError:
                raise _too_slow(pace, file_field, stalled=patience_s >= pace.stall_s) from None
            if piece is None:
                return
            received += len(piece)
            yield piece


def _too_slow(pace: Pace, file_field: str, *, stalled: bool) -> ApiError:
    why = f"nothing came for {pace.stall_s:g} s" if stalled else f"{pace.least_bytes_s:g} bytes a second are the least"
    headers = {"Connection": "close"}
    return ApiError(408, f"The upload is too slow: {why}.", param=file_field, code="upload_timeout", headers=headers)


def shown_name(name: str | None) -> str:
    """The last part of the name that a client gave."""
    return (name or "").replace("\\", "/").rpartition("/")[2][:200] or "audio"
