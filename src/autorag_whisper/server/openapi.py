"""The OpenAPI document: what FastAPI knows of the routes, and here what each of them answers, with every status.

`docs/openapi.json` is this document; `scripts/openapi.py` writes it anew.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from autorag_whisper.server.access import OPEN
from autorag_whisper.server.schemas import SCHEMAS, ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

_STATUSES = {
    400: "a field, or the media, cannot be what it is: `param` names it",
    401: "no key, or one that is not known",
    403: "a web page from elsewhere, on a server without keys; or what the operator does not allow",
    404: "no such thing, or another client's",
    408: "the upload stands still, or is too slow",
    409: "the job has no result",
    412: "somebody else has changed it meanwhile",
    413: "larger than the limit, or too much to decode",
    422: "the `Idempotency-Key` was that of another request",
    415: "not the content type that is asked for",
    416: "the recording ends before that range",
    423: "another request writes to it",
    428: "needs `If-Match`",
    429: "more in work than one client may have; `Retry-After`",
    500: "a fault of the server's, which its log has",
    503: "not now: full, ending, or without what it needs; `Retry-After`",
}
_WORK = (400, 408, 413, 429, 503)
_JOB = (404, 503)
_BODY = (400, 408, 413)


def _json(name: str, description: str = "done") -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": ref(name)}}}


def _text(*kinds: str, description: str = "done") -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": {"type": "string"}} for kind in kinds}}


def _binary(*kinds: str) -> dict[str, Any]:
    schema = {"type": "string", "format": "binary"}
    return {"description": "done", "content": {kind: {"schema": schema} for kind in kinds}}


def _both(one: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    content = dict(one["content"])
    for other in others:
        content |= other["content"]
    return one | {"content": content}


_EVENTS = _text("text/event-stream", description="server-sent events")
_TRANSCRIPTION = _both(
    {
        "description": "in the format that was asked for",
        "content": {"application/json": {"schema": {"anyOf": [ref("Transcription"), ref("VerboseTranscription")]}}},
    },
    _text("text/plain", "application/x-subrip", "text/vtt"),
    _EVENTS,
)
_ETAG = {"ETag": {"description": "the version", "schema": {"type": "string"}}}
_NO_BODY = {"description": "done"}
_TUS = {"Tus-Resumable": {"description": "the version of the protocol", "schema": {"type": "string"}}}
_SAVED = {
    200: _json("Version", "saved") | {"headers": _ETAG},
    412: _json("Conflict", "somebody saved meanwhile: nothing was changed") | {"headers": _ETAG},
}
_MEDIA = _binary("audio/*", "video/*", "application/octet-stream")
_MODEL_HEADER = {
    "X-Autorag-Whisper-Model": {
        "description": "with which model it was done, where the request named another or none",
        "schema": {"type": "string"},
    }
}

ANSWERS: dict[tuple[str, str], tuple[dict[int, dict[str, Any]], tuple[int, ...]]] = {
    ("post", "/v1/audio/transcriptions"): ({200: _TRANSCRIPTION | {"headers": _MODEL_HEADER}}, (*_WORK, 404)),
    ("post", "/v1/audio/translations"): ({200: _TRANSCRIPTION | {"headers": _MODEL_HEADER}}, (*_WORK, 404)),
    ("get", "/v1/models"): ({200: _json("Models")}, (503,)),
    ("get", "/v1/models/{name}"): ({200: _json("Model")}, (404, 503)),
    ("post", "/asr"): (
        {
            200: _both(
                _json("Transcript", "in the format that was asked for"),
                _text("text/plain", "application/x-subrip", "text/vtt", "text/tab-separated-values"),
            )
        },
        _WORK,
    ),
    ("post", "/detect-language"): ({200: _json("DetectedLanguage")}, _WORK),
    ("post", "/v1/jobs"): (
        {200: _json("Job", "the job of this `Idempotency-Key`, or upload"), 201: _json("Job", "queued")},
        (*_WORK, 404, 409, 422, 423),
    ),
    ("get", "/v1/jobs"): ({200: _json("Jobs")}, (400, 404, 503)),
    ("get", "/v1/jobs/{job_id}"): ({200: _json("Job")}, _JOB),
    ("get", "/v1/jobs/{job_id}/result"): (
        {200: _both(_json("Transcript"), {"content": {"application/json": {"schema": {}}}}, _text("text/plain"))},
        (400, 409, *_JOB),
    ),
    ("options", "/v1/uploads"): ({204: _NO_BODY}, ()),
    ("post", "/v1/uploads"): ({201: _json("Upload") | {"headers": _TUS}}, (400, 412, 413, 429, 503)),
    ("get", "/v1/uploads/{upload_id}"): ({200: _json("Upload") | {"headers": _TUS}}, _JOB),
    ("patch", "/v1/uploads/{upload_id}"): ({204: _NO_BODY}, (*_BODY, 409, 412, 415, 423, 429, *_JOB)),
    ("delete", "/v1/uploads/{upload_id}"): ({204: _NO_BODY}, (412, *_JOB)),
    ("patch", "/v1/jobs/{job_id}"): ({200: _json("Job")}, (*_BODY, *_JOB)),
    ("post", "/v1/jobs/{job_id}/forget"): ({200: _json("Forgotten")}, (409, *_JOB)),
    ("get", "/v1/jobs/search"): ({200: _json("SearchResults")}, (400, 503)),
    ("post", "/v1/jobs/archive"): ({200: _binary("application/zip")}, (*_BODY, *_JOB)),
    ("get", "/v1/jobs/{job_id}/transcript"): (
        {200: _json("TranscriptVersion") | {"headers": _ETAG}, 304: {"description": "it is the newest still"}},
        (400, 409, *_JOB),
    ),
    ("patch", "/v1/jobs/{job_id}/transcript"): (_SAVED, (*_BODY, 409, 428, *_JOB)),
    ("get", "/v1/jobs/{job_id}/versions"): ({200: _json("Versions")}, (409, *_JOB)),
    ("post", "/v1/jobs/{job_id}/versions/{number}/restore"): (_SAVED, (*_BODY, 409, 428, *_JOB)),
    ("post", "/v1/jobs/{job_id}/align"): ({200: _json("Alignment")}, (*_BODY, 409, 429, *_JOB)),
    ("get", "/v1/jobs/{job_id}/media"): (
        {200: _MEDIA, 206: _MEDIA | {"description": "the range of it that was asked for"}},
        (416, *_JOB),
    ),
    ("post", "/v1/jobs/{job_id}/media-link"): ({200: _json("MediaLink")}, _JOB),
    ("get", "/v1/jobs/{job_id}/peaks"): ({200: _json("Peaks")}, (400, 413, *_JOB)),
    ("get", "/v1/jobs/{job_id}/events"): ({200: _EVENTS}, (429, *_JOB)),
    ("delete", "/v1/jobs/{job_id}"): ({200: _json("Job")}, _JOB),
    ("post", "/v1/jobs/{job_id}/retry"): ({200: _json("Job")}, _JOB),
    ("post", "/v1/jobs/prune"): ({200: _json("Pruned")}, (400, 503)),
    ("get", "/livez"): ({200: _json("Alive")}, ()),
    ("get", "/readyz"): ({200: _json("Ready"), 503: _json("NotReady", "not now")}, ()),
    ("get", "/metrics"): ({200: _text("text/plain")}, ()),
}
"""Method and path -> the answers that are no errors, and the statuses of those that are, beside 401, 403 and 500.

`/livez` and `/readyz` ask for no key.
"""


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation, each."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def document(app: FastAPI) -> dict[str, Any]:
    """The document of an application. Raises KeyError for a route without a line in `ANSWERS`."""
    found = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    for method, path, operation in operations(found):
        answers, statuses = ANSWERS[method, path]
        shared = (500,) if path in OPEN else (401, 403, 500)
        told = {status: _json("Error", _STATUSES[status]) for status in sorted({*statuses, *shared})}
        operation["responses"] = {str(status): answer for status, answer in sorted((told | answers).items())}
        if path not in OPEN:
            operation["security"] = [{}, {"key": []}]
    key = {"type": "http", "scheme": "bearer", "description": "where the operator gave keys"}
    found["components"] = {"schemas": SCHEMAS, "securitySchemes": {"key": key}}
    return found


def text_of(app: FastAPI) -> str:
    """The document as it is committed."""
    return json.dumps(document(app), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
