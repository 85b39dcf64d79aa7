"""`/v1/jobs`: work that outlives its request, this process and the machine's next start."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response  # noqa: TC002 - FastAPI looks for them here

from autorag_whisper.domain.job_errors import QueueFull, QuotaExceeded, StoreUnavailable
from autorag_whisper.jobs.clock_guard import ClockGuard
from autorag_whisper.jobs.job import KEY_PREFIX, NO_LIMITS, Job, JobRequest, JobState, KeptMedia, QueueLimits
from autorag_whisper.jobs.partial import KEPT_S
from autorag_whisper.jobs.shown import job_json
from autorag_whisper.jobs.webhooks import check_url
from autorag_whisper.server import documents
from autorag_whisper.server.admission import Admission
from autorag_whisper.server.answers import Json, as_bytes, json_text
from autorag_whisper.server.draining import ENDS_AT_ONCE, ending
from autorag_whisper.server.errors import ApiError
from autorag_whisper.server.events import EventStream
from autorag_whisper.server.job_requests import (
    Given,
    asked_of,
    fingerprint,
    folder_of,
    invalid,
    keep_media,
    no_room,
    plain,
    priority_of,
    receive,
)
from autorag_whisper.server.store_calls import StoreCalls
from autorag_whisper.telemetry import traceparent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from autorag_whisper.jobs.partial import Partial
    from autorag_whisper.jobs.runner import JobRunner
    from autorag_whisper.jobs.store import JobStore
    from autorag_whisper.server.app import Service

_log = logging.getLogger(__name__)

ID = re.compile("[0-9a-f]{32}")
"""Of a job."""
MOST_FOLLOWERS = 100
"""Of jobs' events at a time: each looks at the store twice a second."""
_LOOK_S, _AWAY_LOOK_S = 0.5, 2.0
_TIDY_S = 3600.0
_KEEP_ALIVE_LOOKS = 20
_MOST_LISTED = 1000
_LONGEST_KEY = 200
_EVENTS = 500
_FULL_RETRY_S = "60"


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What the operator decided for durable jobs.

    `roots`: folders whose files may be named by path. `limits`: what clients may have. `most_bytes`: media and results
    of jobs that are over, the oldest of which are forgotten; None keeps them for their time. `tells`: whether webhooks
    are sent. `kept_media`: how long recordings that were sent are kept once their job is done, and how much of them.
    """

    roots: Sequence[Path] = ()
    limits: QueueLimits = NO_LIMITS
    most_bytes: int | None = None
    tells: bool = False
    kept_media: KeptMedia = KeptMedia()  # noqa: RUF009 - a frozen value


@dataclass(frozen=True, slots=True)
class Jobs:
    """What the routes work with. `clock`: seconds since the epoch. `ask`: how they call what may wait for the store."""

    store: JobStore
    runner: JobRunner
    clock: Callable[[], float]
    settings: JobSettings = JobSettings()
    ask: StoreCalls = field(default_factory=StoreCalls)


def add_routes(app: FastAPI, service: Service, jobs: Jobs) -> None:
    """All of them; each client sees its own jobs alone."""

    @app.post("/v1/jobs", openapi_extra=documents.JOB_FORM, status_code=201)
    async def add(request: Request) -> Response:
        """Queue a file; fields as for a transcription, and those of jobs. One `Idempotency-Key` is one job."""
        return await _add(request, service, jobs)

    _add_views(app, jobs)
    _add_changes(app, service, jobs)


def _add_views(app: FastAPI, jobs: Jobs) -> None:
    """One job, and its result."""

    @app.get("/v1/jobs/{job_id}")
    async def one(request: Request, job_id: str) -> Response:
        """Its state, progress, place in the queue, and what became of its webhook."""
        job = await job_of(request, jobs, job_id)
        told = await jobs.ask(jobs.store.deliveries.of_job, job_id) if job.request.webhook else []
        more = {"position": await jobs.ask(jobs.store.position, job_id)}
        hooks = [
            {"id": sent.id, "delivered": sent.delivered, "over": bool(sent.ended_s), "attempts": sent.attempts}
            | ({"response": sent.response} if sent.response else {})
            for sent in told
        ]
        return Json(shown(job, jobs) | more | ({"webhook": hooks} if job.request.webhook else {}))


def _add_changes(app: FastAPI, service: Service, jobs: Jobs) -> None:
    """What follows a job, and what is done to it."""
    of_one = MOST_FOLLOWERS // 2 if len(service.settings.key_digests) > 1 else MOST_FOLLOWERS
    followers = Admission(MOST_FOLLOWERS, of_one, service.engine.clock)

    @app.get("/v1/jobs/{job_id}/events")
    async def events(request: Request, job_id: str) -> Response:
        """Server-sent events: segments as they come, the end as the last. `Last-Event-ID` goes on behind that one."""
        await job_of(request, jobs, job_id)
        if service.draining.begun.is_set():  # who was let go comes back at once, and would hold up the end
            raise ending()
        request.scope[ENDS_AT_ONCE] = True
        told = request.headers.get("last-event-id", "0")
        after = int(told) if told.isascii() and told.isdigit() and len(told) < 10 else 0
        who = client_of(request) or (request.client.host if request.client else "")
        if (refusal := followers.refusal(who)) is not None:
            raise refusal
        kept = AsyncExitStack()
        kept.enter_context(followers.slot(who))
        return EventStream(kept, _events(jobs, job_id, after), {})

    @app.delete("/v1/jobs/{job_id}")
    async def cancel(request: Request, job_id: str) -> Response:
        """Stop it, within a batch; one that is over stays what it is."""
        await job_of(request, jobs, job_id)
        job = await jobs.ask(jobs.store.cancel, job_id, jobs.clock())
        if job is None:
            raise unknown_job(job_id)
        if job.wants_cancel:
            jobs.runner.stop(job_id)
        return Json(shown(job, jobs))

    @app.post("/v1/jobs/{job_id}/retry")
    async def retry(request: Request, job_id: str) -> Response:
        """Queue one again that failed or was cancelled."""
        await job_of(request, jobs, job_id)
        job = await jobs.ask(jobs.store.retry, job_id, jobs.clock())
        if job is None:
            raise unknown_job(job_id)
        return Json(shown(job, jobs))

    @app.post("/v1/jobs/prune")
    async def prune(request: Request, older_than_s: float = 0.0) -> dict[str, Any]:
        """Forget your jobs that have been over for so long, with their results and media."""
        if not 0 <= older_than_s < 1e11:
            raise invalid("older_than_s", older_than_s, "seconds from 0")
        before_s = jobs.clock() - older_than_s
        count = await jobs.ask(jobs.runner.prune, before_s, None, client_of(request))
        return {"object": "transcription.jobs.pruned", "count": count}


async def keep_tidy(jobs: Jobs, keep_s: float) -> None:
    """Forget what has been over for so long, or is too much, now and every hour. Ends when it is cancelled."""
    guard, loop = ClockGuard(jobs.runner.files.clock, jobs.store), asyncio.get_running_loop()
    looked = loop.time()
    while True:
        passed_s, looked = loop.time() - looked, loop.time()
        try:
            await asyncio.to_thread(tidy, jobs, keep_s, guard, passed_s)
        except Exception:  # noqa: BLE001 - it is tried again in an hour
            _log.exception("old jobs could not be forgotten")
        await asyncio.sleep(_TIDY_S)


def tidy(jobs: Jobs, keep_s: float, guard: ClockGuard, passed_s: float = 0.0) -> None:
    """Forget what has been over for so long, where the clock is to be believed, or is too much.

    `passed_s`: since the last call. Raises what the store and the disk raise.
    """
    now_s, kept = jobs.clock(), jobs.settings.kept_media
    by_age_s = now_s if guard.believes(now_s, passed_s) else -math.inf
    jobs.runner.prune(by_age_s - keep_s, jobs.settings.most_bytes)
    jobs.runner.drop_media(by_age_s - kept.keep_s, kept.most_bytes)
    jobs.runner.files.partial.remove_old(by_age_s - KEPT_S)
    jobs.runner.transcripts.index_all()


async def _add(request: Request, service: Service, jobs: Jobs) -> Response:
    key = request.headers.get("idempotency-key", "")
    if len(key) > _LONGEST_KEY or key.startswith(KEY_PREFIX):
        raise invalid("Idempotency-Key", key[:20], f"at most {_LONGEST_KEY} characters, without {KEY_PREFIX} before it")
    if reason := await jobs.ask(jobs.runner.why_no_room):
        raise no_room(reason)
    given = await receive(request, service.settings, jobs.settings.roots, lambda of: _uploaded(request, jobs, of))
    with given:
        if given.upload is not None and given.upload.job:  # the answer to the first request may have been lost
            job = await job_of(request, jobs, given.upload.job)
            return Json(shown(job, jobs), headers={"Location": f"/v1/jobs/{job.id}"})
        asked = asked_of(given.form, service.settings.max_audio_s, strict=service.settings.strict)
        place = given.path or jobs.runner.files.uploads / uuid.uuid4().hex
        wanted = JobRequest(
            str(place),
            given.name,
            await service.model_for(asked.model),
            plain(asked.options),
            client_of(request),
            key or _key_of(given),
            priority_of(given.form),
            given.size(),
            _webhook(given.form, jobs.settings),
            traceparent(),
            folder=folder_of(given.form),
            no_links=given.path is not None,
        )
        job, is_new = await jobs.ask(_queued_once, given, jobs, wanted)
    status = 201 if is_new else 200
    return Json(shown(job, jobs), status_code=status, headers={"Location": f"/v1/jobs/{job.id}"})


def _uploaded(request: Request, jobs: Jobs, upload_id: str) -> Given:
    """An upload that came in pieces, whole. Raises ApiError."""
    partial = jobs.runner.files.partial
    found = partial.get(upload_id, client_of(request))
    if found is None:
        raise ApiError(404, f"There is no upload {upload_id[:64]!r}.", param="upload", code="upload_not_found")
    if found.job:
        return Given(found.name, {}, upload=found)
    if not found.is_whole:
        message = f"Only {found.offset:,} of {found.length:,} bytes of the upload have come."
        raise ApiError(409, message, param="upload", code="upload_incomplete")
    return Given(found.name, {}, file=partial.part(found.id).open("rb"), upload=found)


def _queued_once(given: Given, jobs: Jobs, wanted: JobRequest) -> tuple[Job, bool]:
    """As `_queued`; an upload that came in pieces is one job, however often it is asked for."""
    if given.upload is None:
        return _queued(given, jobs, wanted)
    partial = jobs.runner.files.partial
    try:
        with partial.writing(given.upload):
            return _became(given.upload, jobs) or _queued(given, jobs, wanted)
    except BlockingIOError:
        raise ApiError(423, "Another request has this upload.", param="upload", code="upload_locked") from None
    except FileNotFoundError:  # another request was first
        if (found := _became(given.upload, jobs)) is None:
            raise ApiError(404, "There is no such upload.", param="upload", code="upload_not_found") from None
        return found


def _key_of(given: Given) -> str:
    """An upload in pieces is one job also where this process dies between the job and the note of it."""
    return f"{KEY_PREFIX}upload-{given.upload.id}" if given.upload is not None else ""


def _became(upload: Partial, jobs: Jobs) -> tuple[Job, bool] | None:
    """The job that an upload is by now, which is not new."""
    now = jobs.runner.files.partial.get(upload.id, upload.client)
    job = jobs.store.get(now.job, upload.client) if now is not None and now.job else None
    return (job, False) if job is not None else None


def _queued(given: Given, jobs: Jobs, wanted: JobRequest) -> tuple[Job, bool]:
    """The job, and whether it is new. What was sent is nowhere where that is no job's. In one thread, to its end."""
    now_s, place = jobs.clock(), Path(wanted.path)
    headers = {"Retry-After": _FULL_RETRY_S}
    try:
        if wanted.idempotency_key and not wanted.idempotency_key.startswith(KEY_PREFIX):
            wanted = replace(wanted, fingerprint=fingerprint(given, wanted))
        keep_media(given, place)
        job = jobs.store.add(wanted, now_s, jobs.settings.limits)
    except BaseException as error:
        if given.file is not None:
            _remove_unless_queued(place, jobs, wanted, now_s)
        if isinstance(error, QuotaExceeded):
            raise ApiError(429, str(error), "rate_limit_error", code="quota_exceeded", headers=headers) from error
        if isinstance(error, QueueFull):
            raise ApiError(503, str(error), "server_error", code="queue_full", headers=headers) from error
        raise
    is_new = (job.created_s, job.request.path) == (now_s, wanted.path)
    if given.file is not None and not is_new:
        place.unlink()
    if not is_new and job.request.fingerprint not in ("", wanted.fingerprint):
        message = "This Idempotency-Key has been used for another file, or with other fields. Send a new key."
        raise ApiError(422, message, param="Idempotency-Key", code="idempotency_key_reused")
    if given.upload is not None:
        jobs.runner.files.partial.became(given.upload, job.id)
    return job, is_new


def _added_since(store: JobStore, client: str, since_s: float) -> Iterator[Job]:
    """The jobs of a client that were added at `since_s` or later, and a page of others."""
    before = ""
    while page := store.newest(client, limit=_MOST_LISTED, before=before):
        yield from page
        if page[-1].created_s < since_s:
            return
        before = page[-1].id


def _remove_unless_queued(place: Path, jobs: Jobs, wanted: JobRequest, now_s: float) -> None:
    """A store that failed may have queued it all the same; where it cannot say, the next start looks again."""
    try:
        newest = list(_added_since(jobs.store, wanted.client, now_s)) if place.exists() else []
    except Exception:  # noqa: BLE001 - it failed already
        _log.warning("whether %s is a job's upload cannot be found out", place.name)
        return
    if all(job.request.path != str(place) for job in newest):
        place.unlink(missing_ok=True)


def _webhook(form: dict[str, list[str]], settings: JobSettings) -> str:
    url = (form.get("webhook") or [""])[-1]
    if url and not settings.tells:
        message = "This server sends no webhooks: its operator has set no AUTORAG_WHISPER_WEBHOOK_SECRET."
        raise ApiError(400, message, param="webhook", code="unsupported_value")
    if url and (problem := check_url(url)):
        raise invalid("webhook", url, problem)
    return url


async def _events(jobs: Jobs, job_id: str, after: int) -> AsyncIterator[bytes]:
    quiet, audio_s = 0, -1.0
    while True:
        try:
            job = await jobs.ask(jobs.store.get, job_id)
            page = await jobs.ask(jobs.store.events, job_id, after, _EVENTS)
        except StoreUnavailable:  # whoever follows a job goes on when the store does
            yield b": the store of the jobs does not answer\n\n"
            await asyncio.sleep(_AWAY_LOOK_S)
            continue
        if page:
            after, quiet = page[-1].number, 0
            told = (f"id: {event.number}\nevent: {event.kind}\ndata: {event.data}\n\n" for event in page)
            yield as_bytes("".join(told))
            continue
        if job is None or job.state.is_final:
            if job is not None:
                yield as_bytes(f"event: state\ndata: {json_text(shown(job, jobs))}\n\n")
            return
        if job.audio_s > audio_s:
            audio_s, quiet = job.audio_s, 0
            yield as_bytes(f"event: progress\ndata: {json_text(shown(job, jobs)['progress'])}\n\n")
        quiet += 1
        if quiet % _KEEP_ALIVE_LOOKS == 0:
            yield b": still at work\n\n"
        await asyncio.sleep(_LOOK_S)


async def job_of(request: Request, jobs: Jobs, job_id: str) -> Job:
    """A job of this client's. Raises ApiError (404)."""
    is_id = ID.fullmatch(job_id) is not None  # a store is asked for nothing else
    job = await jobs.ask(jobs.store.get, job_id, client_of(request)) if is_id else None
    if job is None:
        raise unknown_job(job_id)
    return job


def unknown_job(job_id: str) -> ApiError:
    """There is no such job, or it is another client's (404)."""
    return ApiError(404, f"There is no job {job_id[:64]!r}.", param="job_id", code="job_not_found")


def client_of(request: Request) -> str:
    """Whose request it is: a part of its key's digest, "" where none is asked for."""
    return str(request.scope.get("client_id", ""))


def shown(job: Job, jobs: Jobs) -> dict[str, Any]:
    """A job as its client sees it."""
    body = job_json(job)
    left_s = job.left_s(jobs.clock())
    body["progress"]["left_s"] = None if left_s is None else round(left_s, 1)
    until_s = job.finished_s + jobs.settings.kept_media.keep_s if job.media_bytes else None
    return body | {"has_media": has_media(job, jobs), "media_until": until_s}


def has_media(job: Job, jobs: Jobs) -> bool:
    """Whether its recording is still there."""
    is_kept = not job.request.media_bytes or bool(job.media_bytes) or job.state is not JobState.DONE
    return is_kept and jobs.runner.files.media(job).is_file()
