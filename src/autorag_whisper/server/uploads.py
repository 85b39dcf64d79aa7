"""A form's body, streamed: small fields in memory, the file in a temporary one that has no name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.server.errors import ApiError

if TYPE_CHECKING:
    from fastapi import Request

_MOST_FIELDS = 100
_LONGEST_FIELD = 64 << 10


@dataclass(frozen=True, slots=True)
class Upload:
    """`file`: open, whole; whoever has the upload closes it. `name`: for messages alone; nothing is opened by it."""

    file: BinaryIO
    name: str
    fields: dict[str, list[str]]
    pcm: bool = False  # 16 kHz mono signed 16 bit without a header

    def source(self) -> MediaSource:
        """As media. Of `pcm` it reads all: not for the event loop's thread."""
        if not self.pcm:
            return MediaSource.from_file(self.file, self.name)
        data = self.file.read()
        return MediaSource.from_samples(np.frombuffer(data, "<i2", count=len(data) // 2), name=self.name)

    def digest(self) -> str:
        """SHA-256 of the file. It reads all of it: not for the event loop's thread."""
        self.file.seek(0)
        found = hashlib.sha256()
        while piece := self.file.read(1 << 20):
            found.update(piece)
        self.file.seek(0)
        return found.hexdigest()


async def receive(request: Request, file_field: str = "file", *, pcm: bool = False) -> Upload:
    """The form of a request, whole. Raises ApiError: no form (400), too much of it (413), no file in it (400)."""
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        message = f"Send the audio as multipart/form-data, in a part called {file_field}."
        raise ApiError(400, message, param=file_field, code="invalid_content_type")
    try:
        form = await request.form(max_files=2, max_fields=_MOST_FIELDS, max_part_size=_LONGEST_FIELD)
    except HTTPException as error:
        raise ApiError(400, f"The form cannot be read: {error.detail}", code="invalid_form") from error
    except ClientDisconnect as error:
        raise ApiError(400, "The upload broke off.", param=file_field, code="incomplete_upload") from error
    fields: dict[str, list[str]] = {}
    files: list[UploadFile] = []
    for name, value in form.multi_items():
        if not isinstance(value, UploadFile):
            fields.setdefault(name, []).append(value)
        elif name == file_field:
            files.append(value)
        else:
            await value.close()
    if len(files) != 1:
        for file in files:
            await file.close()
        message = f"There {'are several parts' if files else 'is no part'} called {file_field} with a file in the form."
        raise ApiError(400, message, param=file_field, code="missing_file")
    return Upload(files[0].file, _shown(files[0].filename), fields, pcm)


def _shown(name: str | None) -> str:
    """The last part of the name that a client gave."""
    return (name or "").replace("\\", "/").rpartition("/")[2][:200] or "audio"
