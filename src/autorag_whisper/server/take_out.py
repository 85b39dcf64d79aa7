"""Results in every format, of any version, with subtitle settings: one, or many in a ZIP that is made as it is sent."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.transcript_errors import InvalidTranscript
from autorag_whisper.files import cut_to
from autorag_whisper.format import FORMATS, render
from autorag_whisper.format.options import SubtitleOptions
from autorag_whisper.format.text import encodable
from autorag_whisper.jobs.job import Job, JobState
from autorag_whisper.jobs.library import Wanted
from autorag_whisper.jobs.transcript_json import transcript_of
from autorag_whisper.server.errors import ApiError
from autorag_whisper.server.job_requests import invalid
from autorag_whisper.server.jobs import client_of, job_of, unknown_job
from autorag_whisper.server.json_body import body_of, json_object, line_of, wrong

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from autorag_whisper.format.checked import Node
    from autorag_whisper.server.jobs import Jobs
    from autorag_whisper.server.settings import ServerSettings

MOST_JOBS = 10_000
LATEST = "latest"
_WHOLE = ("line_length", "lines", "max_words")
_NUMBERS = ("reading_speed", "min_duration_s", "max_duration_s", "min_gap_s")
_NAMES = ("style", "highlight")
_FINAL = {"x-should-retry": "false"}
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u2028\u2029\ud800-\udfff]')
_LONGEST_NAME, _LONGEST_NAME_BYTES = 120, 200


@dataclass(frozen=True, slots=True)
class Asked:
    """In which formats, of which version (None: the newest), with which subtitle settings."""

    formats: tuple[str, ...] = ("json",)
    version: int | None = None
    subtitles: SubtitleOptions = field(default_factory=SubtitleOptions)


def add_routes(app: FastAPI, settings: ServerSettings, jobs: Jobs) -> None:
    """`result` and `archive`."""

    @app.get("/v1/jobs/{job_id}/result", openapi_extra={"parameters": _PARAMETERS})
    async def result(request: Request, job_id: str) -> Response:
        """The result of one that is done, as it was edited last, in any of the formats of `transcribe`."""
        query = request.query_params
        name = query.get("format", "") or "json"
        asked = Asked((_format(name),), _version(query.get("version", "")), _subtitles(query))
        job = await job_of(request, jobs, job_id)
        number, text = await jobs.ask(_text_of, jobs, job, asked, name)
        suffix = FORMATS[name].suffix
        kind = "application/json" if suffix.endswith("json") else "text/plain; charset=utf-8"
        headers = {"X-Content-Type-Options": "nosniff", "ETag": f'"{number}"'}
        if query.get("download", "") in ("true", "1"):
            headers["Content-Disposition"] = disposition(f"{stem_of(job)}{suffix}")
        return Response(text.encode("utf-8", "replace"), media_type=kind, headers=headers)

    @app.post("/v1/jobs/archive", openapi_extra=body_of(_ARCHIVE))
    async def archive(request: Request) -> Response:
        """The results of several jobs, in one ZIP."""
        body = await json_object(request, settings)
        try:
            asked, wanted = _asked(body), _wanted(body)
        except InvalidTranscript as error:
            raise wrong(error) from error
        found = await jobs.ask(_jobs_of, jobs, client_of(request), wanted)
        pieces = _in_turn(jobs, _zipped(jobs, found, asked))
        headers = {"Content-Disposition": disposition("transcripts.zip"), "X-Content-Type-Options": "nosniff"}
        return StreamingResponse(pieces, media_type="application/zip", headers=headers)


def disposition(name: str) -> str:
    """The header that has an answer saved under a name."""
    from urllib.parse import quote

    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=utf-8''{quote(encodable(name))}"


def stem_of(job: Job) -> str:
    """A job's name as that of a file, without what says of which kind the media was."""
    name = _UNSAFE.sub("_", encodable(job.request.name)).strip(" .")
    stem, dot, suffix = name.rpartition(".")
    name = stem if dot and stem and len(suffix) <= 5 else name
    return cut_to(name[:_LONGEST_NAME], _LONGEST_NAME_BYTES).strip(" .") or job.id


# ------------------------------------------------------------ what is asked for


def _format(name: str, param: str = "format") -> str:
    if name not in FORMATS:
        raise invalid(param, name, ", ".join(FORMATS))
    return name


def _version(text: str) -> int | None:
    if text in ("", LATEST):
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise invalid("version", text, f"the number of a version, or {LATEST}")
    return int(text)


def _subtitles(given: Mapping[str, Any]) -> SubtitleOptions:
    """Of a query, or an object. Raises ApiError (400)."""
    values: dict[str, Any] = {name: given[name] for name in _NAMES if given.get(name) not in (None, "")}
    for name in (*_WHOLE, *_NUMBERS):
        value = given.get(name)
        if value is None or value == "":
            continue
        try:
            values[name] = value if not isinstance(value, str) else (int if name in _WHOLE else float)(value)
        except ValueError:
            raise invalid(name, value, "a number") from None
    for name, value in values.items():  # one by one, so that the one that is wrong is named
        try:
            SubtitleOptions(**{name: value})
        except (InvalidOption, TypeError) as error:
            told = str(error) if isinstance(error, InvalidOption) else f"{name} cannot be {value!r}."
            raise ApiError(400, told, param=name, code="invalid_value") from error
    try:
        return SubtitleOptions(**values)
    except InvalidOption as error:
        raise ApiError(400, str(error), param=error.option, code="invalid_value") from error


def _asked(body: Node) -> Asked:
    formats = [one.text() for one in body.get("formats").items()] or ["txt"]
    for name in formats:
        _format(name, "formats")
    version, subtitles = body.get("version"), body.get("subtitles")
    told = "" if version.value is None else str(version.value) if isinstance(version.value, int | str) else "?"
    if subtitles.value is not None and not isinstance(subtitles.value, dict):
        raise subtitles.wrong("is no object")
    return Asked(tuple(dict.fromkeys(formats)), _version(told), _subtitles(subtitles.value or {}))


def _wanted(body: Node) -> tuple[list[str], str | None]:
    """Ids, or a folder."""
    ids = [one.text() for one in body.get("ids").items()]
    folder = line_of(body.get("folder"), 200) if body.has("folder") else None
    if bool(ids) == (folder is not None) or len(ids) > MOST_JOBS:
        raise body.wrong(f"needs either ids, {MOST_JOBS:,} at most, or a folder")
    return list(dict.fromkeys(ids)), folder


def _jobs_of(jobs: Jobs, client: str, wanted: tuple[list[str], str | None]) -> list[Job]:
    ids, folder = wanted
    if folder is not None:
        return jobs.store.library.find(client, Wanted(folder=folder, limit=MOST_JOBS, descending=False))[0]
    found = []
    for job_id in ids:
        job = jobs.store.get(job_id, client) if re.fullmatch("[0-9a-f]{32}", job_id) else None
        if job is None:
            raise unknown_job(job_id)
        found.append(job)
    return found


# ------------------------------------------------------------ what is given


def _text_of(jobs: Jobs, job: Job, asked: Asked, name: str) -> tuple[int, str]:
    """A job in a format, and which version it is. Raises ApiError."""
    if job.state is not JobState.DONE:
        raise no_result(job)
    if (asked.version or job.version) == 1 and name == "json":
        try:
            return 1, jobs.runner.files.result(job).read_text(encoding="utf-8")
        except FileNotFoundError:  # it was forgotten meanwhile
            raise unknown_job(job.id) from None
    transcripts = jobs.runner.transcripts
    found = transcripts.newest(job) if asked.version is None else transcripts.read(job, asked.version)
    if found is None:
        raise no_version(job, asked.version or job.version)
    return found[0].number, render(transcript_of(found[1]), name, asked.subtitles)


def no_result(job: Job) -> ApiError:
    """It is not done (409)."""
    return ApiError(409, f"The job is {job.state}, it has no result.", code="no_result", headers=_FINAL)


def no_version(job: Job, number: int) -> ApiError:
    """There is no such version of its transcript (404)."""
    return ApiError(404, f"Job {job.id} has no version {number}.", param="version", code="version_not_found")


class _Sent(io.RawIOBase):
    """Takes what a ZIP writes, until it is taken away."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """What came since."""
        found, self._pieces = b"".join(self._pieces), []
        return found


async def _in_turn(jobs: Jobs, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Each piece as a call to the store of its own: one is read for each of them."""
    while (piece := await jobs.ask(lambda: next(pieces, None))) is not None:
        yield piece


def _zipped(jobs: Jobs, found: Sequence[Job], asked: Asked) -> Iterator[bytes]:
    """One transcript after another, each in memory alone. Run in threads: it renders."""
    sent, names, left_out = _Sent(), set[str](), list[str]()
    with zipfile.ZipFile(sent, "w", zipfile.ZIP_DEFLATED) as archive:
        for job in found:
            stem = _unused(stem_of(job), names)
            for name in asked.formats:
                try:
                    _, text = _text_of(jobs, job, asked, name)
                except (ApiError, InvalidTranscript, OSError) as error:
                    reason = error.message if isinstance(error, ApiError) else "it cannot be read"
                    left_out.append(f"{encodable(job.request.name)}: {reason}")
                    break
                archive.writestr(f"{stem}{FORMATS[name].suffix}", text.encode("utf-8", "replace"))
                yield sent.taken()
        if left_out:
            archive.writestr("left_out.txt", "\n".join(left_out).encode("utf-8", "replace"))
    yield sent.taken()


def _unused(stem: str, names: set[str]) -> str:
    """`stem`, or with a number where there is one of that name already, whatever its case."""
    found, number = stem, 1
    while found.casefold() in names or found.casefold() == "left_out":
        number += 1
        found = f"{stem} ({number})"
    names.add(found.casefold())
    return found


_TEXT, _INTEGER, _NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
_SETTINGS = (
    dict.fromkeys(_WHOLE, _INTEGER)
    | dict.fromkeys(_NUMBERS, _NUMBER)
    | {"style": _TEXT, "highlight": _TEXT | {"enum": ["none", "underline", "karaoke"]}}
)
_PARAMETERS = [
    {"name": name, "in": "query", "required": False, "schema": schema}
    for name, schema in (
        {
            "format": _TEXT | {"enum": list(FORMATS), "default": "json"},
            "version": _TEXT | {"default": LATEST},
            "download": {"type": "boolean", "default": False},
        }
        | _SETTINGS
    ).items()
]
_ARCHIVE = {
    "ids": {"type": "array", "items": _TEXT, "maxItems": MOST_JOBS},
    "folder": _TEXT | {"maxLength": 200},
    "formats": {"type": "array", "items": _TEXT | {"enum": list(FORMATS)}},
    "version": {"type": ["integer", "string"], "default": LATEST},
    "subtitles": {"type": "object", "properties": _SETTINGS},
}
