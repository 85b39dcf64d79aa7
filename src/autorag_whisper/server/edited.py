"""A job's transcript as it is edited: versions, saves that overwrite nothing unseen, times for edited text."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response

from autorag_whisper.align.edited import placed, plan_of, text_of, words_of
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.language import parse_language
from autorag_whisper.domain.transcript import Word, WordSource
from autorag_whisper.domain.transcript_errors import InvalidTranscript, TextTooLong
from autorag_whisper.format.text import encodable
from autorag_whisper.jobs.job import JobState
from autorag_whisper.jobs.library import Version
from autorag_whisper.jobs.transcript_json import edited, words_near
from autorag_whisper.recognition.given_text import MOST_S, check_length
from autorag_whisper.server.answers import Json, as_bytes, json_text
from autorag_whisper.server.errors import ApiError
from autorag_whisper.server.jobs import job_of, unknown_job
from autorag_whisper.server.json_body import body_of, json_object, line_of, wrong
from autorag_whisper.server.recordings import no_media
from autorag_whisper.server.take_out import no_result, no_version
from autorag_whisper.server.uploads import Upload
from autorag_whisper.transcriber.given_text import GivenText

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.align.edited import Window
    from autorag_whisper.format.checked import Node
    from autorag_whisper.jobs.job import Job
    from autorag_whisper.jobs.transcript_json import Document
    from autorag_whisper.server.app import Service
    from autorag_whisper.server.jobs import Jobs
    from autorag_whisper.server.recordings import Recordings

MOST_SPAN_S = 600.0
LONGEST_TEXT = 50_000
_ETAG = re.compile(r'(?:W/)?"(\d{1,9})"')


def add_routes(app: FastAPI, service: Service, jobs: Jobs, recordings: Recordings) -> None:
    """All of them."""

    @app.get("/v1/jobs/{job_id}/transcript", openapi_extra={"parameters": [_VERSION, _IF_NONE]})
    async def transcript(request: Request, job_id: str) -> Response:
        """A version of the transcript, the newest unless `version` says which."""
        job = await _done(request, jobs, job_id)
        number = _number(request.query_params.get("version", ""), 0, "version")
        if request.headers.get("if-none-match", "") == f'"{job.version}"' and number in (0, job.version):
            return Response(status_code=304, headers=_headers(job.version))
        return await jobs.ask(_transcript, jobs, job, number)

    @app.patch("/v1/jobs/{job_id}/transcript", openapi_extra=body_of(_EDIT, required=("edits",)) | _WITH_MATCH)
    async def save(request: Request, job_id: str) -> Response:
        """Replace some segments: a new version, if `If-Match` is the newest."""
        body = await json_object(request, service.settings)
        job = await _done(request, jobs, job_id)
        base = _base(request)
        try:
            who = _who(body, jobs.clock())
            return await jobs.ask(_save, jobs, job, base, (body.get("edits").value, who))
        except InvalidTranscript as error:
            raise wrong(error) from error

    _add_versions(app, service, jobs)

    @app.post("/v1/jobs/{job_id}/align", openapi_extra=body_of(_ALIGN, required=("start", "end", "text")))
    async def align(request: Request, job_id: str) -> Response:
        """Word times for the text of an edited span; nothing is recognised, and nothing saved."""
        body = await json_object(request, service.settings)
        job = await _done(request, jobs, job_id)
        try:
            return await _Alignment(service, jobs, (job, recordings)).answer(request, body)
        except InvalidTranscript as error:
            raise wrong(error) from error


def _add_versions(app: FastAPI, service: Service, jobs: Jobs) -> None:
    @app.get("/v1/jobs/{job_id}/versions")
    async def versions(request: Request, job_id: str) -> Response:
        """All versions of the transcript, the newest first."""
        job = await _done(request, jobs, job_id)
        found = await jobs.ask(jobs.runner.transcripts.versions, job)
        return Json({"object": "list", "data": [_version_json(job.id, one) for one in found]})

    @app.post("/v1/jobs/{job_id}/versions/{number}/restore", openapi_extra=body_of(_WHO, is_needed=False) | _WITH_MATCH)
    async def restore(request: Request, job_id: str, number: str) -> Response:
        """Make a new version with the text of an older one, if `If-Match` is the newest."""
        body = await json_object(request, service.settings, may_be_empty=True)
        job = await _done(request, jobs, job_id)
        base, old = _base(request), _number(number, None, "number")
        try:
            who = _who(body, jobs.clock())
        except InvalidTranscript as error:
            raise wrong(error) from error
        return await jobs.ask(_restore, jobs, job, base, (old, who))


# ------------------------------------------------------------ versions


async def _done(request: Request, jobs: Jobs, job_id: str) -> Job:
    job = await job_of(request, jobs, job_id)
    if job.state is not JobState.DONE:
        raise no_result(job)
    return job


def _number(text: str, newest: int | None, param: str) -> int:
    """`newest`: what no number means, and "latest"; None: there has to be one."""
    if text in ("", "latest") and newest is not None:
        return newest
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise ApiError(400, f"{param} cannot be {text[:40]!r}.", param=param, code="invalid_value")
    return int(text)


def _base(request: Request) -> int:
    """The version that an edit was made on. Raises ApiError (428, 400)."""
    told = request.headers.get("if-match", "").strip()
    if not told:
        message = 'Send If-Match with the ETag of the version that was edited, such as "3".'
        raise ApiError(428, message, param="If-Match", code="precondition_required")
    found = _ETAG.fullmatch(told)
    if found is None:
        raise ApiError(400, 'If-Match is no version, such as "3".', param="If-Match", code="invalid_header")
    return int(found[1])


def _who(body: Node, now_s: float) -> Version:
    draft = body.get("draft")
    is_draft = False if draft.value is None else draft.typed(bool)
    author, note = line_of(body.get("author"), 100, default=""), line_of(body.get("note"), 500, default="")
    return Version(0, now_s, author, note, is_draft)


def _version_json(job_id: str, version: Version) -> dict[str, Any]:
    return {
        "object": "transcription.version",
        "job": job_id,
        "version": version.number,
        "created_at": version.created_s,
        "author": version.author,
        "draft": version.is_draft,
        "note": version.note,
        "words": version.words,
    }


def _headers(version: int) -> dict[str, str]:
    return {"ETag": f'"{version}"', "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


def _read(jobs: Jobs, job: Job, number: int) -> tuple[Version, Document]:
    """A version; 0 is the newest. Raises ApiError (404)."""
    transcripts = jobs.runner.transcripts
    found = transcripts.read(job, number) if number else transcripts.newest(job)
    if found is None:
        raise no_version(job, number or job.version)
    return found


def _transcript(jobs: Jobs, job: Job, number: int) -> Response:
    version, document = _read(jobs, job, number)
    latest = max(job.version, version.number)
    about = _version_json(job.id, version) | {"object": "transcription.transcript", "latest": latest}
    text = json_text(about)[:-1] + ',"transcript":' + json.dumps(document, ensure_ascii=False) + "}"
    return Response(as_bytes(text), media_type="application/json", headers=_headers(version.number))


def _save(jobs: Jobs, job: Job, base: int, edit: tuple[Any, Version]) -> Response:
    edits, who = edit
    found = jobs.runner.transcripts.read(job, base) if base == job.version else None
    if found is None:
        return _conflict(jobs, job)
    return _saved(jobs, job, (base, edited(found[1], edits), who), replaces_draft=True)


def _restore(jobs: Jobs, job: Job, base: int, wanted: tuple[int, Version]) -> Response:
    number, who = wanted
    if base != job.version:
        return _conflict(jobs, job)
    _, document = _read(jobs, job, number)
    return _saved(jobs, job, (base, document, who), replaces_draft=False)


def _saved(jobs: Jobs, job: Job, made: tuple[int, Document, Version], *, replaces_draft: bool) -> Response:
    base, document, who = made
    version = jobs.runner.transcripts.save(job, base, document, who, replaces_draft=replaces_draft)
    if version is None:
        return _conflict(jobs, job)
    return Json(_version_json(job.id, version), headers={"ETag": f'"{version.number}"'})


def _conflict(jobs: Jobs, job: Job) -> Response:
    """Somebody saved meanwhile: what the newest version is now (412)."""
    now = jobs.store.get(job.id)
    if now is None:
        raise unknown_job(job.id)
    newest, _ = _read(jobs, now, 0)
    message = f"Version {newest.number} was saved meanwhile; nothing was changed. Look at it, and save on it."
    error = ApiError(412, message, param="If-Match", code="version_conflict")
    told = error.body() | {"latest": _version_json(job.id, newest)}
    return Json(told, status_code=412, headers={"ETag": f'"{newest.number}"'})


# ------------------------------------------------------------ times


class _Alignment:
    """The words of one edited span."""

    def __init__(self, service: Service, jobs: Jobs, of: tuple[Job, Recordings]) -> None:
        self._service, self._jobs = service, jobs
        self._job, self._recordings = of

    async def answer(self, request: Request, body: Node) -> Response:
        span, given = self._span(body), body.get("text")
        text = encodable(given.text())
        if len(text) > LONGEST_TEXT:
            raise given.wrong(f"has more than {LONGEST_TEXT:,} characters")
        try:
            check_length(text, span[1] - span[0])
        except (TextTooLong, InvalidOption) as error:
            code = "text_too_long" if isinstance(error, TextTooLong) else "invalid_value"
            raise ApiError(400, str(error), param="text", code=code) from error
        number = body.get("version").integer() if body.has("version") else 0
        if body.has("version") and number < 1:
            raise no_version(self._job, number)
        version, document = await self._jobs.ask(_read, self._jobs, self._job, number)
        if span[1] > float(document["duration"]) + 0.5:
            raise body.get("end").wrong(f"is behind the end of the recording ({document['duration']:g} s)")
        if not self._recordings.has_media(self._job):
            raise no_media(self._job, 409)
        words = await asyncio.to_thread(words_near, document, span)
        language = self._language(body, document, span)
        found, changed = await self._aligned(request, words, (text, language, span))
        estimated = sum(
            new and word.source is WordSource.INTERPOLATED for word, new in zip(found, changed, strict=True)
        )
        return Json(
            {
                "object": "transcription.alignment",
                "version": version.number,
                "start": span[0],
                "end": span[1],
                "estimated": estimated,
                "words": [_word_json(word, new) for word, new in zip(found, changed, strict=True)],
            }
        )

    @staticmethod
    def _span(body: Node) -> tuple[float, float]:
        start_s, end_s = body.get("start").number(), body.get("end").number()
        if not 0 <= start_s < end_s:
            raise body.get("end").wrong("is not behind the start, or the start is negative")
        if end_s - start_s > MOST_SPAN_S:
            raise body.get("end").wrong(f"is more than {MOST_SPAN_S:g} s behind the start")
        return start_s, end_s

    @staticmethod
    def _language(body: Node, document: Document, span: tuple[float, float]) -> str:
        given = body.get("language")
        if given.value not in (None, ""):
            try:
                return parse_language(given.text()) or ""
            except InvalidOption as error:
                raise given.wrong("is no language") from error
        middle = (span[0] + span[1]) / 2
        nearest: dict[str, Any] = min(
            document["segments"], key=lambda one: max(one["start"] - middle, middle - one["end"], 0.0), default={}
        )
        return str(nearest.get("language_code") or document["spoken_language_code"])

    async def _aligned(
        self, request: Request, words: Sequence[Word], asked: tuple[str, str, tuple[float, float]]
    ) -> tuple[list[Word], list[bool]]:
        """The words of the span, and of each whether it is new."""
        text, language, span = asked
        plan = await asyncio.to_thread(plan_of, words, (text, language), span, MOST_S)
        found: list[Word | None] = [None] * len(plan.units)
        for window in plan.windows:
            part = plan.units[window.first : window.stop]
            heard = await self._heard(request, window, (text_of(part), language))
            found[window.first : window.stop] = placed(part, heard)
        made = words_of(plan.units, plan.runs, found)[plan.first : plan.stop]
        return made, [unit.kept is None for unit in plan.units[plan.first : plan.stop]]

    async def _heard(self, request: Request, window: Window, asked: tuple[str, str]) -> tuple[Word, ...]:
        """What the aligners make of a window, on the recording's timeline; () where they make nothing of it."""
        text, language = asked
        span = (window.start_s, window.end_s)
        samples = await self._recordings.samples(self._job, span)
        duration_s = len(samples) / 16_000
        try:
            given = GivenText(text, 0.0, None, language)
            check_length(text, duration_s)
        except (TextTooLong, InvalidOption):
            return ()
        if duration_s < _LEAST_S:
            return ()
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the recognition closes it
        file.write(samples.astype("<i2").tobytes())
        file.seek(0)
        upload = Upload(file, self._job.request.name, {}, pcm=True, decoding=self._service.settings.decoding)
        model = await self._service.model_for(self._job.request.model)
        async with self._service.recognised(upload, given.options, model) as work:
            transcript = await work.unless_gone(request)
        start_s = max(0.0, window.start_s)
        return tuple(
            replace(word, start_s=word.start_s + start_s, end_s=word.end_s + start_s) for word in transcript.words
        )


_LEAST_S = 0.15


def _word_json(word: Word, changed: bool) -> dict[str, Any]:
    return {
        "word": word.text,
        "start": round(word.start_s, 3),
        "end": round(word.end_s, 3),
        "probability": round(word.probability, 4),
        "source": word.source.value,
        "score": word.score,
        "space_before": word.space_before,
        "changed": changed,
    }


_TEXT, _SECONDS = {"type": "string"}, {"type": "number", "minimum": 0}
_VERSION = {"name": "version", "in": "query", "required": False, "schema": _TEXT | {"default": "latest"}}
_IF_NONE = {"name": "If-None-Match", "in": "header", "required": False, "schema": _TEXT}
_WITH_MATCH: dict[str, Any] = {
    "parameters": [
        {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "schema": _TEXT,
            "description": 'the ETag of the version that was edited, such as "3"; needed',
        }
    ]
}
_WHO: dict[str, Any] = {
    "author": _TEXT | {"maxLength": 100},
    "note": _TEXT | {"maxLength": 500},
    "draft": {"type": "boolean", "default": False},
}
_EDITED_WORD = {
    "type": "object",
    "required": ["word", "start", "end"],
    "properties": {"word": _TEXT, "start": _SECONDS, "end": _SECONDS, "space_before": {"type": "boolean"}},
}
_EDITED_SEGMENT = {
    "type": "object",
    "required": ["words"],
    "properties": {"language_code": _TEXT, "words": {"type": "array", "items": _EDITED_WORD, "minItems": 1}},
}
_EDIT = _WHO | {
    "edits": {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "required": ["from", "to", "segments"],
            "properties": {
                "from": {"type": "integer", "minimum": 0},
                "to": {"type": "integer", "minimum": 0},
                "segments": {"type": "array", "items": _EDITED_SEGMENT},
            },
        },
    }
}
_ALIGN = {
    "start": _SECONDS,
    "end": _SECONDS,
    "text": _TEXT | {"minLength": 1, "maxLength": LONGEST_TEXT},
    "language": _TEXT,
    "version": {"type": "integer", "minimum": 1},
}
