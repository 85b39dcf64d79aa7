"""`/v1/jobs`: work that outlives its request, this process and the machine's next start."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import uuid
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.files import sync_folder
from autorag_whisper.format import FORMATS, parse, render
from autorag_whisper.jobs.job import Job, JobRequest, JobState
from autorag_whisper.server import documents, uploads
from autorag_whisper.server.draining import ENDS_AT_ONCE
from autorag_whisper.server.errors import ApiError, unavailable
from autorag_whisper.server.fields import read
from autorag_whisper.telemetry import traceparent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from autorag_whisper.jobs.runner import JobRunner
    from autorag_whisper.jobs.store import JobStore
    from autorag_whisper.server.app import Service

_log = logging.getLogger(__name__)

_LOOK_S = 0.5
_TIDY_S = 3600.0
_KEEP_ALIVE_LOOKS = 20
_MOST_LISTED = 1000
_LONGEST_KEY = 200


class Jobs(NamedTuple):
    """What the routes work with. `clock`: seconds since the epoch."""

    store: JobStore
    runner: JobRunner
    clock: Callable[[], float]


def add_routes(app: FastAPI, service: Service, jobs: Jobs) -> None:
    """All of them; each client sees its own jobs alone."""

    @app.post("/v1/jobs", openapi_extra=documents.JOB_FORM, responses=documents.ERRORS, status_code=201)
    async def add(request: Request) -> Response:
        """Queue a file; fields as for a transcription, and `priority`. One `Idempotency-Key` is one job."""
        return await _add(request, service, jobs)

    @app.get("/v1/jobs", responses=documents.ERRORS)
    async def listed(request: Request, state: str = "", limit: int = 100, before: str = "") -> dict[str, Any]:
        """The newest first; `before`: the last one of the page before."""
        if state and state not in list(JobState):
            raise _invalid("state", state, ", ".join(JobState))
        if not 1 <= limit <= _MOST_LISTED:
            raise _invalid("limit", limit, f"1 to {_MOST_LISTED}")
        wanted = JobState(state) if state else None
        found = await asyncio.to_thread(jobs.store.newest, _client(request), wanted, limit=limit, before=before)
        return {"object": "list", "data": [_shown(job) for job in found], "has_more": len(found) == limit}

    @app.get("/v1/jobs/{job_id}", responses=documents.ERRORS)
    async def one(request: Request, job_id: str) -> dict[str, Any]:
        """Its state, progress and place in the queue."""
        job = await _job(request, jobs, job_id)
        return _shown(job) | {"position": await asyncio.to_thread(jobs.store.position, job_id)}

    @app.get("/v1/jobs/{job_id}/result", responses=documents.ERRORS)
    async def result(request: Request, job_id: str, format: str = "json") -> Response:  # noqa: A002 - the query's name
        """The result of one that is done, in any of the formats of `transcribe`."""
        if format not in FORMATS:
            raise _invalid("format", format, ", ".join(FORMATS))
        job = await _job(request, jobs, job_id)
        if job.state is not JobState.DONE:
            raise ApiError(409, f"The job is {job.state}, it has no result.", code="no_result", headers=_FINAL)
        text = await asyncio.to_thread(jobs.runner.result(job_id).read_text, encoding="utf-8")
        if format != "json":
            text = await asyncio.to_thread(lambda: render(parse(text), format))
        is_json = FORMATS[format].suffix.endswith("json")
        return Response(text, media_type="application/json" if is_json else "text/plain; charset=utf-8")

    _add_changes(app, jobs)


def _add_changes(app: FastAPI, jobs: Jobs) -> None:
    """What follows a job, and what is done to it."""

    @app.get("/v1/jobs/{job_id}/events", responses=documents.ERRORS)
    async def events(request: Request, job_id: str) -> Response:
        """Server-sent events: segments as they come, the end as the last. `Last-Event-ID` goes on behind that one."""
        await _job(request, jobs, job_id)
        request.scope[ENDS_AT_ONCE] = True
        told = request.headers.get("last-event-id", "0")
        after = int(told) if told.isascii() and told.isdigit() and len(told) < 10 else 0
        return StreamingResponse(_events(jobs, job_id, after), media_type="text/event-stream")

    @app.delete("/v1/jobs/{job_id}", responses=documents.ERRORS)
    async def cancel(request: Request, job_id: str) -> dict[str, Any]:
        """Stop it, within a batch; one that is over stays what it is."""
        await _job(request, jobs, job_id)
        job = await asyncio.to_thread(jobs.store.cancel, job_id, jobs.clock())
        jobs.runner.wake()
        return _shown(job) if job is not None else {}

    @app.post("/v1/jobs/{job_id}/retry", responses=documents.ERRORS)
    async def retry(request: Request, job_id: str) -> dict[str, Any]:
        """Queue one again that failed or was cancelled."""
        await _job(request, jobs, job_id)
        job = await asyncio.to_thread(jobs.store.retry, job_id, jobs.clock())
        jobs.runner.wake()
        return _shown(job) if job is not None else {}


async def keep_tidy(jobs: Jobs, keep_s: float) -> None:
    """Forget what has been over for so long, now and every hour. Ends when it is cancelled."""
    while True:
        try:
            await asyncio.to_thread(jobs.runner.prune, jobs.clock() - keep_s)
        except Exception:  # noqa: BLE001 - it is tried again in an hour
            _log.exception("old jobs could not be forgotten")
        await asyncio.sleep(_TIDY_S)


_FINAL = {"x-should-retry": "false"}


async def _add(request: Request, service: Service, jobs: Jobs) -> Response:
    key = request.headers.get("idempotency-key", "")
    if len(key) > _LONGEST_KEY:
        raise _invalid("Idempotency-Key", key[:20], f"at most {_LONGEST_KEY} characters")
    upload = await uploads.receive(request, service.settings)
    with upload.file:
        asked = read(upload.fields, "transcribe", service.settings.max_audio_s)
        priority = _priority(upload.fields.get("priority", ["0"])[-1] or "0")
        model = await service.model_for(asked.model)
        place = jobs.runner.uploads / uuid.uuid4().hex
        wanted = JobRequest(
            str(place), upload.name, model, _plain(asked.options), _client(request), key, priority, trace=traceparent()
        )
        job = await asyncio.to_thread(_queued, upload, place, jobs, wanted)
    is_new = job.request.path == str(place)
    jobs.runner.wake()
    return JSONResponse(_shown(job), status_code=201 if is_new else 200, headers={"Location": f"/v1/jobs/{job.id}"})


def _queued(upload: uploads.Upload, place: Path, jobs: Jobs, wanted: JobRequest) -> Job:
    """The job, with its upload at `place`; nothing is left there where that is no job's. In one thread, to its end."""
    try:
        try:
            _keep(upload, place)
        except OSError as error:
            raise unavailable("There is no room for the upload. Try again later.", "no_room") from error
        job = jobs.store.add(wanted, jobs.clock())
    except BaseException:
        _remove_unless_queued(place, jobs, wanted)
        raise
    if job.request.path != str(place):
        place.unlink()
    return job


def _remove_unless_queued(place: Path, jobs: Jobs, wanted: JobRequest) -> None:
    """A store that failed may have queued it all the same; where it cannot say, the next start looks again."""
    try:
        newest = jobs.store.newest(wanted.client) if place.exists() else []
    except Exception:  # noqa: BLE001 - it failed already
        _log.warning("whether %s is a job's upload cannot be found out", place.name)
        return
    if all(job.request.path != str(place) for job in newest):
        place.unlink(missing_ok=True)


def _keep(upload: uploads.Upload, place: Path) -> None:
    upload.file.seek(0)
    with place.open("xb") as file:
        shutil.copyfileobj(upload.file, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(place.parent)


def _plain(options: TranscribeOptions) -> dict[str, Any]:
    """The options that are not the default, as JSON has them."""
    default, found = TranscribeOptions(), {field.name: getattr(options, field.name) for field in fields(options)}
    return {name: value for name, value in found.items() if value != getattr(default, name)}


async def _events(jobs: Jobs, job_id: str, after: int) -> AsyncIterator[str]:
    quiet = 0
    while True:
        job = await asyncio.to_thread(jobs.store.get, job_id)
        for event in await asyncio.to_thread(jobs.store.events, job_id, after):
            after, quiet = event.number, 0
            yield f"id: {event.number}\nevent: {event.kind}\ndata: {event.data}\n\n"
        if job is None or job.state.is_final:
            if job is not None:
                yield f"event: state\ndata: {json.dumps(_shown(job), ensure_ascii=False)}\n\n"
            return
        quiet += 1
        if quiet % _KEEP_ALIVE_LOOKS == 0:
            yield ": still at work\n\n"
        await asyncio.sleep(_LOOK_S)


async def _job(request: Request, jobs: Jobs, job_id: str) -> Job:
    job = await asyncio.to_thread(jobs.store.get, job_id, _client(request))
    if job is None:
        raise ApiError(404, f"There is no job {job_id[:64]!r}.", param="job_id", code="job_not_found")
    return job


def _client(request: Request) -> str:
    """Whose request it is: a part of its key's digest, "" where none is asked for."""
    return str(request.scope.get("client_id", ""))


def _shown(job: Job) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": job.id,
        "object": "transcription.job",
        "state": job.state.value,
        "name": job.request.name,
        "model": job.request.model,
        "priority": job.request.priority,
        "created_at": job.created_s,
        "progress": {"audio_s": job.audio_s, "total_s": job.total_s or None},
        "attempts": {"deaths": job.deaths, "failures": job.failures},
    }
    moments = {"started_at": job.started_s, "finished_at": job.finished_s}
    body |= {name: moment for name, moment in moments.items() if moment}
    return body | ({"error": json.loads(job.error)} if job.error else {})


def _priority(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 1000
    if not -100 <= number <= 100:
        raise _invalid("priority", text, "a whole number from -100 to 100")
    return number


def _invalid(param: str, value: object, allowed: str) -> ApiError:
    return ApiError(400, f"{param} cannot be {str(value)[:100]!r}. Use {allowed}.", param=param, code="invalid_value")
