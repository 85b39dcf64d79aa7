"""What a request for a durable job asks for: a form with a file, or JSON with the path of one that is here."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import unicodedata
from contextlib import aclosing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.files import sync_folder
from autorag_whisper.format.text import encodable
from autorag_whisper.server import uploads
from autorag_whisper.server.errors import ApiError, room_for, unavailable
from autorag_whisper.server.fields import read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastapi import Request

    from autorag_whisper.jobs.job import JobRequest
    from autorag_whisper.jobs.partial import Partial
    from autorag_whisper.server.fields import Asked
    from autorag_whisper.server.settings import ServerSettings

_MOST_JSON_BYTES = 1 << 20
_TASKS = ("transcribe", "translate")
_OF_JOBS = frozenset(("path", "task", "options", "priority", "webhook", "folder", "upload"))
_LONGEST_FOLDER = 200
_OPTIONS = frozenset(field.name for field in fields(TranscribeOptions))

Form = dict[str, list[str]]


@dataclass(slots=True)
class Given:
    """A request, received: `name` for people, and either the `path` of a file that is here or an open `file`.

    `upload`: the whole upload that this file is.

    A context manager, which closes the file.
    """

    name: str
    form: Form
    path: Path | None = None
    file: BinaryIO | None = None
    upload: Partial | None = None

    def size(self) -> int:
        """How many bytes were sent."""
        return self.file.seek(0, os.SEEK_END) if self.file is not None else 0

    def __enter__(self) -> Given:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()


async def receive(
    request: Request, settings: ServerSettings, roots: Sequence[Path], uploaded: Callable[[str], Given]
) -> Given:
    """A request's media and fields; `uploaded` gives the upload of an id. Raises ApiError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        form = await _json_form(request, settings)
        if form.get("upload"):
            if form.get("path"):
                raise invalid("path", form["path"][-1], "either a path or an upload")
            given = await asyncio.to_thread(uploaded, form["upload"][-1])
            given.form = form
            return given
        path = await asyncio.to_thread(_under, form.get("path", [""])[-1], roots)
        return Given(encodable(path.name), form, path=path)
    upload = await uploads.receive(request, settings)
    return Given(upload.name, upload.fields, file=upload.file)


def keep_media(given: Given, place: Path) -> None:
    """What was sent, on the disk at `place`; nothing where a file of here was named. Raises ApiError."""
    if given.file is None:
        return
    if given.upload is not None:
        with contextlib.suppress(OSError):  # no such links there: it is copied
            os.link(given.file.name, place)
            sync_folder(place.parent)
            return
    with room_for("upload"):
        given.file.seek(0)
        with place.open("xb") as file:
            shutil.copyfileobj(given.file, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(place.parent)


def fingerprint(given: Given, wanted: JobRequest) -> str:
    """Of what a request asks for, so that another one with its idempotency key is told from it. It reads the file."""
    media = f"path {wanted.path}"
    if given.file is not None:
        given.file.seek(0)
        media = hashlib.file_digest(given.file, "sha256").hexdigest()  # type: ignore[arg-type]  # every file has `readinto`
    about = [media, wanted.model, wanted.options, wanted.priority, wanted.webhook]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def no_room(reason: str) -> ApiError:
    """Nothing new can be kept (503)."""
    return unavailable(f"No job can be added now: {reason}.", "disk_full", 60)


def asked_of(form: Form, max_audio_s: float, *, strict: bool = False) -> Asked:
    """The fields of a transcription, `task`, and `options`, fields of `TranscribeOptions`. Raises ApiError (400).

    `strict`: fields that would be ignored are refused.
    """
    task = (form.get("task") or ["transcribe"])[-1] or "transcribe"
    if task not in _TASKS:
        raise invalid("task", task, " or ".join(_TASKS))
    of_transcription = {name: values for name, values in form.items() if name not in _OF_JOBS}
    asked = read(of_transcription, task, max_audio_s, strict=strict)
    text = (form.get("options") or [""])[-1]
    if not text:
        return asked
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise invalid("options", text, "an object of options, as JSON")
    if unknown := sorted(set(given) - _OPTIONS):
        raise invalid("options", unknown[0], ", ".join(sorted(_OPTIONS)))
    try:
        options = replace(asked.options, **given)
    except InvalidOption as error:
        raise ApiError(400, str(error), param="options", code="invalid_value") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid("options", text, "an object of options with values of their types") from error
    if options.max_duration_s is None or options.max_duration_s > max_audio_s:
        options = replace(options, max_duration_s=max_audio_s)
    return replace(asked, options=options)


def plain(options: TranscribeOptions) -> dict[str, Any]:
    """The options that are not the default, as JSON has them and `TranscribeOptions` takes them back."""
    default, found = TranscribeOptions(), {name: getattr(options, name) for name in _OPTIONS}
    changed = {name: value for name, value in found.items() if value != getattr(default, name)}
    if options.clips:
        changed["clips"] = [
            (clip.start_s, None if clip.end_s == float("inf") else clip.end_s) for clip in options.clips
        ]
    return changed


def priority_of(form: Form) -> int:
    """`priority`. Raises ApiError (400)."""
    text = (form.get("priority") or ["0"])[-1] or "0"
    try:
        number = int(text)
    except ValueError:
        number = 1000
    if not -100 <= number <= 100:
        raise invalid("priority", text, "a whole number from -100 to 100")
    return number


def folder_of(form: Form) -> str:
    """`folder`: under which the client keeps the job; no file lies there. Raises ApiError (400)."""
    name = (form.get("folder") or [""])[-1].strip()
    if len(name) > _LONGEST_FOLDER or any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in name):
        raise invalid("folder", name, f"a name of {_LONGEST_FOLDER} characters at most, on one line")
    return name


def invalid(param: str, value: object, allowed: str) -> ApiError:
    """A field that cannot be what it is (400)."""
    return ApiError(400, f"{param} cannot be {str(value)[:100]!r}. Use {allowed}.", param=param, code="invalid_value")


async def _json_form(request: Request, settings: ServerSettings) -> Form:
    """The body, an object, as a form has its fields: objects as JSON, lists as several values, an empty one as none."""
    data = bytearray()
    async with aclosing(uploads.body_of(request, settings.pace, "path")) as body:
        async for piece in body:
            data += piece
            if len(data) > _MOST_JSON_BYTES:
                raise ApiError(413, "The JSON is larger than 1 MiB.", code="request_too_large")
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise ApiError(400, "The body is not a JSON object.", code="invalid_json")
    return {
        name: [_text(one) for one in (value if isinstance(value, list) else [value])]
        for name, value in told.items()
        if value is not None and value != []
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _under(given: str, roots: Sequence[Path]) -> Path:
    """A file below one of the roots, wherever its links lead. Which others there are is not told."""
    refused = ApiError(403, "path leads to no file that this server may read.", param="path", code="path_not_allowed")
    if not roots:
        message = "Paths are not allowed on this server (serve --allow-path DIR); send the file."
        raise ApiError(403, message, param="path", code="path_not_allowed")
    if not given or "\0" in given or not Path(given).is_absolute():
        raise invalid("path", given, "the absolute path of a file on the server")
    try:
        path = Path(given).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        raise refused from None
    if not any(path.is_relative_to(root.resolve()) for root in roots) or not path.is_file():
        raise refused
    return path
