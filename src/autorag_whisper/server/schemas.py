"""The shapes of what the service answers, as JSON Schema: the components of the OpenAPI document."""

from __future__ import annotations

from typing import Any

from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.jobs.job import JobState

_TEXT, _NUMBER, _WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}
_SECONDS = {"type": "number", "minimum": 0, "description": "seconds"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}


def ref(name: str) -> dict[str, Any]:
    """A reference to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(fields: dict[str, Any], *, optional: tuple[str, ...] = (), is_open: bool = False) -> dict[str, Any]:
    """Of these fields, of others too if `is_open`."""
    required = sorted(fields.keys() - set(optional))
    return {"type": "object", "properties": fields, "required": required} | (
        {} if is_open else {"additionalProperties": False}
    )


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"type": [schema["type"], "null"]}


_SEGMENT = {
    "id": _WHOLE,
    "seek": _WHOLE | {"description": "hundredths of a second"},
    "start": _SECONDS,
    "end": _SECONDS,
    "text": _TEXT,
    "tokens": _list(_WHOLE),
    "temperature": _NUMBER,
    "avg_logprob": _NUMBER,
    "compression_ratio": _NUMBER,
    "no_speech_prob": _NUMBER,
}

_JOB = {
    "id": _TEXT,
    "object": _TEXT | {"const": "transcription.job"},
    "state": _TEXT | {"enum": list(JobState)},
    "name": _TEXT | {"description": "of the file, as the client gave it"},
    "model": _TEXT,
    "priority": _WHOLE,
    "created_at": _NUMBER,
    "started_at": _NUMBER,
    "finished_at": _NUMBER,
    "progress": _object({"audio_s": _SECONDS, "total_s": _or_null(_SECONDS)}, is_open=True),
    "attempts": _object({"deaths": _WHOLE, "failures": _WHOLE}, is_open=True),
    "position": _or_null(_WHOLE) | {"description": "how many are claimed before it; null once it is claimed"},
    "error": _object({"message": _TEXT, "code": _TEXT}, is_open=True),
    "folder": _TEXT,
    "version": _WHOLE | {"description": "the newest of its transcript; 0 while there is none"},
    "edited": {"type": "boolean"},
    "has_media": {"type": "boolean", "description": "its recording can be played"},
    "media_until": _or_null(_NUMBER),
}

_VERSION = {
    "object": _TEXT | {"const": "transcription.version"},
    "job": _TEXT,
    "version": _WHOLE,
    "created_at": _NUMBER,
    "author": _TEXT,
    "draft": {"type": "boolean"},
    "note": _TEXT,
    "words": _WHOLE,
}
_TIMED_WORD = {
    "word": _TEXT,
    "start": _SECONDS,
    "end": _SECONDS,
    "probability": _SHARE,
    "source": _TEXT | {"enum": list(WordSource)},
    "score": _or_null(_NUMBER),
    "space_before": {"type": "boolean"},
    "changed": {"type": "boolean"},
}
_MATCH = {"segment": _WHOLE, "start": _SECONDS, "before": _TEXT, "match": _TEXT, "after": _TEXT}

_YES, _LIST = {"type": "boolean"}, {"object": _TEXT | {"const": "list"}}
_ERROR = _object({"message": _TEXT, "type": _TEXT, "param": _or_null(_TEXT), "code": _or_null(_TEXT)})

SCHEMAS: dict[str, dict[str, Any]] = {
    "Error": _object({"error": _ERROR}),
    "Usage": _object({"type": _TEXT | {"const": "duration"}, "seconds": _WHOLE | {"minimum": 0}}),
    "Word": _object({"word": _TEXT, "start": _SECONDS, "end": _SECONDS}),
    "Segment": _object(_SEGMENT),
    "Logprob": _object({"token": _TEXT, "logprob": _NUMBER, "bytes": _list(_WHOLE)}),
    "Transcription": _object(
        {"text": _TEXT, "usage": ref("Usage"), "logprobs": _list(ref("Logprob"))}, optional=("logprobs",)
    ),
    "VerboseTranscription": _object(
        {
            "task": _TEXT | {"enum": ["transcribe", "translate"]},
            "language": _TEXT | {"description": "its English name"},
            "duration": _SECONDS,
            "text": _TEXT,
            "usage": ref("Usage"),
            "segments": _list(ref("Segment")),
            "words": _list(ref("Word")),
        },
        optional=("segments", "words"),
    ),
    "Transcript": _object({"text": _TEXT, "language": _TEXT, "segments": _list({"type": "object"})}, is_open=True),
    "DetectedLanguage": _object({"detected_language": _TEXT, "language_code": _TEXT, "confidence": _SHARE}),
    "Model": _object({"id": _TEXT, "object": _TEXT | {"const": "model"}, "created": _WHOLE, "owned_by": _TEXT}),
    "Models": _object({"object": _TEXT | {"const": "list"}, "data": _list(ref("Model"))}),
    "Alive": _object({"status": _TEXT | {"const": "alive"}}),
    "Ready": _object({"status": _TEXT | {"const": "ready"}}),
    "NotReady": _object({"status": _TEXT | {"const": "not ready"}, "reason": _TEXT}),
    "Job": _object(_JOB, optional=("started_at", "finished_at", "position", "error"), is_open=True),
    "Jobs": _object(
        {
            "object": _TEXT | {"const": "list"},
            "data": _list(ref("Job")),
            "has_more": {"type": "boolean"},
            "total": _WHOLE,
        },
        optional=("total",),
    ),
    "Upload": _object(
        {
            "object": _TEXT | {"const": "upload"},
            "id": _TEXT,
            "name": _TEXT,
            "offset": _WHOLE,
            "length": _WHOLE,
            "job": _TEXT,
        },
        optional=("job",),
    ),
    "Forgotten": _object({"object": _TEXT | {"const": "transcription.job.forgotten"}, "id": _TEXT}),
    "Version": _object(_VERSION),
    "Versions": _object({"object": _TEXT | {"const": "list"}, "data": _list(ref("Version"))}),
    "Conflict": _object({"error": _ERROR, "latest": ref("Version")}),
    "TranscriptVersion": _object(
        _VERSION
        | {
            "object": _TEXT | {"const": "transcription.transcript"},
            "latest": _WHOLE,
            "transcript": {"type": "object", "description": "as `Transcript`, without the list of all words"},
        }
    ),
    "Alignment": _object(
        {
            "object": _TEXT | {"const": "transcription.alignment"},
            "version": _WHOLE,
            "start": _SECONDS,
            "end": _SECONDS,
            "estimated": _WHOLE,
            "words": _list(_object(_TIMED_WORD)),
        }
    ),
    "MediaLink": _object(
        {"object": _TEXT | {"const": "transcription.media_link"}, "url": _TEXT, "expires_at": _NUMBER}
    ),
    "Peaks": _object(
        {
            "object": _TEXT | {"const": "transcription.peaks"},
            "duration": _SECONDS,
            "per_second": _NUMBER,
            "peaks": _list(_WHOLE | {"minimum": 0, "maximum": 100}),
        }
    ),
    "SearchResults": _object(
        {
            "object": _TEXT | {"const": "list"},
            "data": _list(_object({"job": ref("Job"), "matches": _list(_object(_MATCH))})),
            "has_more": {"type": "boolean"},
        }
    ),
    "Pruned": _object({}, is_open=True),
}
