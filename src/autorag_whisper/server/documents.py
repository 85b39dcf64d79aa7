"""What the OpenAPI document says of routes whose body is read by hand."""

from __future__ import annotations

import copy
from typing import Any

_TEXT, _FLAG = {"type": "string"}, {"type": "boolean", "default": False}

FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "audio or video, in any format"},
                        "model": _TEXT | {"description": "one that is here; any other name means the default"},
                        "language": _TEXT | {"description": "a code or an English name; absent, it is detected"},
                        "prompt": _TEXT,
                        "response_format": _TEXT | {"enum": ["json", "text", "srt", "verbose_json", "vtt"]},
                        "temperature": {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
                        "timestamp_granularities[]": {
                            "type": "array",
                            "items": _TEXT | {"enum": ["word", "segment"]},
                            "description": "of verbose_json; segments where nothing is asked for",
                        },
                        "stream": _FLAG | {"description": "server-sent events as the text comes"},
                        "languages[]": {"type": "array", "items": _TEXT, "description": "to be detected"},
                        "keywords[]": {"type": "array", "items": _TEXT, "description": "likely words"},
                        "include[]": {
                            "type": "array",
                            "items": _TEXT | {"enum": ["logprobs"]},
                            "description": "with json: the log-probability of each word",
                        },
                        "service_tier": _TEXT
                        | {
                            "enum": ["auto", "default", "priority", "flex"],
                            "default": "auto",
                            "description": "flex: nobody waits for it, others go first",
                        },
                        "chunking_strategy": _TEXT | {"description": "auto, or server_vad as JSON"},
                    },
                }
            }
        },
    }
}

JOB_FORM: dict[str, Any] = copy.deepcopy(FORM) | {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": _TEXT,
            "description": "a second request with it is the same job",
        }
    ]
}
_JOB_FIELDS: dict[str, Any] = {
    "priority": {"type": "integer", "minimum": -100, "maximum": 100, "default": 0},
    "task": _TEXT | {"enum": ["transcribe", "translate"], "default": "transcribe"},
    "options": _TEXT | {"description": "a JSON object with fields of TranscribeOptions"},
    "folder": _TEXT | {"maxLength": 200, "description": "under which you keep the job; no file lies there"},
    "webhook": _TEXT | {"description": "is told of the end, where the operator lets webhooks be sent"},
}
JOB_FORM["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"] |= _JOB_FIELDS
JOB_FORM["requestBody"]["content"]["application/json"] = {
    "schema": {
        "type": "object",
        "anyOf": [{"required": ["path"]}, {"required": ["upload"]}],
        "properties": {
            "path": _TEXT
            | {"description": "absolute, of a file on the server under a folder that its operator allows"},
            "upload": _TEXT | {"description": "the id of an upload that is whole (`POST /v1/uploads`)"},
            "model": _TEXT,
            "language": _TEXT,
            **_JOB_FIELDS,
            "options": {"type": "object", "description": "fields of TranscribeOptions"},
        },
    }
}

_QUERY = {
    "encode": "false: raw 16 kHz mono signed 16 bit",
    "task": "transcribe or translate",
    "language": "a code",
    "initial_prompt": "text as if said before",
    "output": "txt, vtt, srt, tsv or json",
}
ASR: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": _TEXT, "description": told}
        for name, told in _QUERY.items()
    ],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["audio_file"],
                    "properties": {"audio_file": {"type": "string", "format": "binary"}},
                }
            }
        },
    },
}
