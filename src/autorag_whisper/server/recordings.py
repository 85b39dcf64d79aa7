"""A job's recording, for whoever plays it: its bytes with ranges, its waveform, an address for a media element."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import asynccontextmanager, nullcontext
from email.utils import formatdate
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response  # noqa: TC002 - FastAPI looks for them here
from fastapi.responses import FileResponse

from autorag_whisper.format.text import encodable
from autorag_whisper.jobs.job import JobState
from autorag_whisper.server.answers import Json
from autorag_whisper.server.errors import ApiError
from autorag_whisper.server.job_requests import invalid
from autorag_whisper.server.jobs import client_of, has_media, job_of
from autorag_whisper.server.take_out import stem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from autorag_whisper.jobs.job import Job
    from autorag_whisper.jobs.listening import Peaks
    from autorag_whisper.server.jobs import Jobs
    from autorag_whisper.server.links import MediaLinks

_RANGE = re.compile(r"bytes=\s*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\s*")
_HEAD_BYTES = 4096
_DECODED_AT_ONCE = 2
OTHER = "application/octet-stream"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, max-age=3600",
}


class Recordings:
    """Of the jobs of a store."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._decodes = asyncio.Semaphore(_DECODED_AT_ONCE)

    def has_media(self, job: Job) -> bool:
        """Whether it is still there."""
        return has_media(job, self._jobs)

    async def samples(self, job: Job, span: tuple[float, float]) -> NDArray[np.int16]:
        """What of it lies between two seconds. Raises the Media* errors."""
        runner = self._jobs.runner
        async with self._place(job, 409):
            return await asyncio.to_thread(runner.files.listening.samples, job, runner.decoding, span)

    async def wav(self, job: Job) -> tuple[Path, int]:
        """All of it as a WAV file, and its bytes. Raises the Media* errors."""
        runner = self._jobs.runner
        async with self._place(job):
            path = await asyncio.to_thread(runner.files.listening.wav, job, runner.decoding)
            return path, path.stat().st_size

    async def peaks(self, job: Job) -> Peaks:
        """Its waveform. Raises the Media* errors."""
        runner = self._jobs.runner
        async with self._place(job):
            return await asyncio.to_thread(runner.files.listening.peaks, job, runner.decoding)

    @asynccontextmanager
    async def _place(self, job: Job, status: int = 404) -> AsyncIterator[None]:
        """Among those who decode; what was decoded before waits for none of them. Raises ApiError where it is gone."""
        is_kept = await asyncio.to_thread(self._jobs.runner.files.listening.is_kept, job.id)
        try:
            async with nullcontext() if is_kept else self._decodes:
                yield
        except FileNotFoundError:
            raise no_media(job, status) from None


def add_routes(app: FastAPI, jobs: Jobs, recordings: Recordings, links: MediaLinks) -> None:
    """All of them."""

    @app.get("/v1/jobs/{job_id}/media", openapi_extra={"parameters": _PARAMETERS})
    async def media(request: Request, job_id: str) -> Response:
        """The recording itself, or the range of it that is asked for. `format=wav`: as every browser plays it."""
        job = await job_of(request, jobs, job_id)
        as_wav = _is_wav(request.query_params.get("format", ""))
        path, kind, size = await asyncio.to_thread(_opened, job, jobs)
        name, headers = encodable(job.request.name), dict(_HEADERS)
        if as_wav:
            path, size = await recordings.wav(job)
            name, kind = f"{stem_of(job)}.wav", "audio/wav"
            # The file is made anew where it had to make room, with the same samples.
            headers |= {"ETag": f'"{job.id}-{size}"', "Last-Modified": formatdate(job.created_s, usegmt=True)}
        _check_range(request, size)
        return FileResponse(path, media_type=kind, headers=headers, filename=name, content_disposition_type="inline")

    @app.post("/v1/jobs/{job_id}/media-link")
    async def media_link(request: Request, job_id: str) -> Response:
        """An address of the recording that needs no key, for some hours: for media elements, which send no headers."""
        job = await job_of(request, jobs, job_id)
        if not has_media(job, jobs):
            raise no_media(job)
        query, expires_s = links.query(job.id, client_of(request), jobs.clock())
        url = f"{request.scope.get('root_path', '')}/v1/jobs/{job.id}/media?{query}"
        return Json({"object": "transcription.media_link", "url": url, "expires_at": expires_s})

    @app.get("/v1/jobs/{job_id}/peaks")
    async def peaks(request: Request, job_id: str) -> Response:
        """The waveform: the loudest sample of each stretch, 0 to 100."""
        job = await job_of(request, jobs, job_id)
        if not has_media(job, jobs):
            raise no_media(job)
        found = await recordings.peaks(job)
        body = {
            "object": "transcription.peaks",
            "duration": found.duration_s,
            "per_second": found.per_second,
            "peaks": found.values,
        }
        return Json(body, headers={"Cache-Control": "private, max-age=3600"})


def _is_wav(told: str) -> bool:
    """`format`. Raises ApiError (400)."""
    if told not in ("", "wav"):
        raise invalid("format", told, "wav, or leave it out for the recording as it was sent")
    return told == "wav"


def no_media(job: Job, status: int = 404) -> ApiError:
    """Its recording is not kept any more."""
    return ApiError(status, f"The recording of job {job.id} is not kept any more.", code="no_media")


def _opened(job: Job, jobs: Jobs) -> tuple[Path, str, int]:
    """The file, what kind it is, and its bytes. Raises ApiError (404).

    One that lies elsewhere is shown where it leads to itself still, and is audio or video by its bytes.
    """
    path = jobs.runner.files.media(job)
    try:
        if job.request.no_links and path.resolve() != path:
            raise no_media(job)
        with path.open("rb") as file:
            kind, size = kind_of(file.read(_HEAD_BYTES)), os.fstat(file.fileno()).st_size
    except OSError:
        raise no_media(job) from None
    if job.request.no_links and kind == OTHER and job.state is not JobState.DONE:
        raise no_media(job)
    if not has_media(job, jobs):
        raise no_media(job)
    return path, kind, size


def _check_range(request: Request, size: int) -> None:
    """Leave out of the request a range that is none, as HTTP wants it. Raises ApiError (416) for one behind the end."""
    told = request.headers.get("range")
    if told is None:
        return
    found = _RANGE.fullmatch(told)
    if found is None or (found[2] and int(found[2]) < int(found[1])):
        request.scope["headers"] = [line for line in request.scope["headers"] if line[0].lower() != b"range"]
        return
    is_behind = int(found[1]) >= size if found[1] else int(found[3]) == 0 or not size
    if is_behind and "if-range" not in request.headers:
        headers = {"Content-Range": f"bytes */{size}"}
        raise ApiError(416, f"The recording has {size:,} bytes.", param="Range", code="range_not_satisfiable",
                       headers=headers)  # fmt: skip


def kind_of(head: bytes) -> str:
    """The media type that the first bytes of a file tell; never one that a browser would show as a page."""
    if head[4:8] == b"ftyp":
        return "audio/mp4" if head[8:11] == b"M4A" or head[8:11] == b"M4B" else "video/mp4"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        is_webm = b"webm" in head[:64]
        return "video/webm" if is_webm else "video/x-matroska"
    if head[:4] == b"OggS":
        return "video/ogg" if b"theora" in head[:512] else "audio/ogg"
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "audio/wav"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "video/x-msvideo"
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "audio/aac"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06:
        return "audio/mpeg"
    if head[:1] == b"\x47" and head[188:189] == b"\x47":
        return "video/mp2t"
    return OTHER


_STARTS = (
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"FORM", "audio/aiff"),
    (b"#!AMR", "audio/amr"),
    (b"caff", "audio/x-caf"),
    (b".snd", "audio/basic"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"FLV", "video/x-flv"),
    (b"wvpk", "audio/x-wavpack"),
)
_PARAMETERS = [
    {"name": name, "in": place, "required": False, "schema": {"type": "string"}}
    for name, place in (
        ("Range", "header"), ("If-Range", "header"), ("format", "query"), ("client", "query"), ("expires", "query"),
        ("signature", "query"),
    )
]  # fmt: skip
